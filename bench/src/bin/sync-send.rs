//! The kernel's sender: ten connections by default, one epoll, `send()`.
#![forbid(unsafe_code)]

use clap::Parser;
use naio_bench::failure::conclude;
use naio_bench::kernel_sender::{self, Supply};
use naio_bench::sending::{self, SendArguments};
use naio_bench::size::Size;
use std::process::ExitCode;

/// Sends --size bytes to naio-remote over several connections of the kernel and says what that cost.
///
///   other$ naio-remote
///   here$  sync-send --remote 10.9.0.1:5002 --size 256MiB
///
/// Compare the figures with naio-send's over the same cable. Without --sha256 nothing looks at the bytes.
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment)]
struct Arguments {
    #[command(flatten)]
    send: SendArguments,
    /// Bytes of one send().
    #[arg(long, default_value_t = Size(64 << 10))]
    buffer: Size,
    /// Sends with MSG_ZEROCOPY, from four buffers a connection; the report says how many sends have completed, and for
    /// how many of them the kernel copied after all.
    #[arg(long)]
    zerocopy: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let report = sending::length("--buffer", arguments.buffer)
        .map(|len| if arguments.zerocopy { Supply::ZeroCopy { len } } else { Supply::Buffer { len } })
        .and_then(|supply| kernel_sender::run("sync-send", &arguments.send, &supply));
    conclude(report, arguments.send.output.json)
}
