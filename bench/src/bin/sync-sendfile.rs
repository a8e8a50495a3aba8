//! The kernel's sender of a file: ten connections by default, one epoll, `sendfile()`.
#![forbid(unsafe_code)]

use clap::Parser;
use naio_bench::failure::conclude;
use naio_bench::kernel_sender::{self, Supply};
use naio_bench::sending::{self, FileArguments, SendArguments};
use naio_bench::size::Size;
use std::process::ExitCode;

/// Sends a file to naio-remote over several connections of the kernel and says what that cost.
///
///   other$ naio-remote
///   here$  sync-sendfile --remote 10.9.0.1:5002 --file video.mkv
///
/// Each connection sends its share of --size, beginning at the start of the file and repeating it. Compare the
/// figures with naio-sendfile's over the same cable. Without --sha256 nothing looks at the bytes.
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment)]
struct Arguments {
    #[command(flatten)]
    send: SendArguments,
    #[command(flatten)]
    file: FileArguments,
    /// Most bytes of one sendfile().
    #[arg(long, default_value_t = Size(1 << 20))]
    buffer: Size,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let supply = sending::length("--buffer", arguments.buffer)
        .and_then(|piece| Ok(Supply::File { payload: arguments.file.payload()?, piece }));
    let report = supply.and_then(|supply| kernel_sender::run("sync-sendfile", &arguments.send, &supply));
    conclude(report, arguments.send.output.json)
}
