//! The asynchronous sender of a file: ten connections by default, `sendfile` operations submitted ahead.
#![forbid(unsafe_code)]

use clap::Parser;
use naio_bench::failure::conclude;
use naio_bench::naio_sender::{self, Supply};
use naio_bench::sending::{self, FileArguments, SendArguments};
use naio_bench::session::CardArguments;
use naio_bench::size::Size;
use std::process::ExitCode;

/// Sends a file to naio-remote over several connections, through a card of its own, and says what that cost.
///
///   other$ naio-remote
///   here#  naio-sendfile --device vfio:0000:00:02.0 --address 10.9.0.2/24 --remote 10.9.0.1:5002 --file video.mkv
///
/// Each connection sends its share of --size, beginning at the start of the file and repeating it. Compare the
/// figures with sync-sendfile's over the same cable. Without --sha256 nothing looks at the bytes.
///
/// NAIO_LOG=debug in the environment logs on standard error what the stack decides.
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment)]
struct Arguments {
    #[command(flatten)]
    card: CardArguments,
    #[command(flatten)]
    send: SendArguments,
    #[command(flatten)]
    file: FileArguments,
    /// Most bytes of one sendfile operation.
    #[arg(long, default_value_t = Size(1 << 20))]
    buffer: Size,
    /// Operations submitted at a time on each connection.
    #[arg(long, default_value_t = 2)]
    buffers: usize,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let supply = sending::length("--buffer", arguments.buffer)
        .and_then(|piece| Ok(Supply::File { payload: arguments.file.payload()?, piece: piece as u64 }));
    let report = supply.and_then(|supply| {
        naio_sender::run("naio-sendfile", &arguments.card, &arguments.send, &supply, arguments.buffers)
    });
    conclude(report, arguments.send.output.json)
}
