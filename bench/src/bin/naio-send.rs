//! The asynchronous sender: ten connections by default, sends submitted ahead, through naio's own driver and stack.
#![forbid(unsafe_code)]

use clap::Parser;
use naio_bench::failure::conclude;
use naio_bench::naio_sender::{self, Supply};
use naio_bench::sending::{self, SendArguments};
use naio_bench::session::CardArguments;
use naio_bench::size::Size;
use std::process::ExitCode;

/// Sends --size bytes to naio-remote over several connections, through a card of its own, and says what that cost.
///
///   other$ naio-remote
///   here#  naio-send --device vfio:0000:00:02.0 --address 10.9.0.2/24 --remote 10.9.0.1:5002
///
/// Compare the figures with sync-send's over the same cable. The time ends when the remote has said on every
/// connection how much it read. Without --sha256 nothing looks at the bytes.
///
/// NAIO_LOG=debug in the environment logs on standard error what the stack decides.
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment)]
struct Arguments {
    #[command(flatten)]
    card: CardArguments,
    #[command(flatten)]
    send: SendArguments,
    /// Bytes of each send.
    #[arg(long, default_value_t = Size(64 << 10))]
    buffer: Size,
    /// Sends submitted at a time on each connection.
    #[arg(long, default_value_t = 4)]
    buffers: usize,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let report = sending::length("--buffer", arguments.buffer).and_then(|len| {
        let supply = Supply::Buffers { len };
        naio_sender::run("naio-send", &arguments.card, &arguments.send, &supply, arguments.buffers)
    });
    conclude(report, arguments.send.output.json)
}
