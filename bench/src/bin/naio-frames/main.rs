//! The driver alone: frames through `naio-e1000` over VFIO, no stack, no queue, one thread that polls.
//!
//! Receives a command line; hands the card to [`transmit`], [`receive`] or [`serve`] and prints what came of it. What
//! crosses the wire is of no use to anybody: datagrams between addresses for benchmarks.
#![forbid(unsafe_code)]

mod card;
mod feed;
mod measure;
mod receive;
mod report;
mod serve;
#[cfg(test)]
mod tests;
mod transmit;

use card::Card;
use clap::{Parser, ValueEnum};
use feed::Feed;
use measure::Plan;
use report::{Failure, Report};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Sends or receives raw frames with naio's driver, without its stack, and says what that cost.
///
///   naio-frames txonly --device vfio:0000:00:02.0 --size 64 --frames 1000000
///   naio-frames rxonly --device vfio:0000:00:02.0 --frames 1000000
///
/// txonly sends as fast as the card takes them, rxonly counts what arrives, serve sends batches to whoever asks.
/// The card must be bound to vfio-pci; a wrong state of the machine is explained. These are the jobs of the same
/// names that DPDK's testpmd does, and `cargo rig compare driver` runs both in one guest.
///
/// With --feed PATH, rxonly asks for frames whenever it has none, and serve brings them: two FIFOs, PATH.want and
/// PATH.here, carry a byte each way. So the receiver always finds whole bursts, whatever either side costs:
///
///   mkfifo /tmp/f.want /tmp/f.here
///   naio-frames serve  --device vfio:0000:00:03.0 --feed /tmp/f --size 64 &
///   naio-frames rxonly --device vfio:0000:00:02.0 --feed /tmp/f --frames 200000
///
/// The marks for the rig's counting plugin stand around the frames after --warm-up; a poll that finds nothing
/// is an empty turn, and waiting for a feed is part of one.
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment)]
struct Arguments {
    /// What to do.
    #[arg(value_enum)]
    mode: Mode,
    /// The card: vfio: and its PCI address.
    #[arg(long, default_value = "vfio:0000:00:02.0")]
    device: String,
    /// Bytes of a frame without its checksum (FCS), which the card adds; what is sent.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(60..=1514))]
    size: u16,
    /// Frames to measure; serve ends with its receiver.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..))]
    frames: u64,
    /// Frames before that.
    #[arg(long, default_value_t = 8192)]
    warm_up: u64,
    /// Frames of a poll at most, and of one doorbell.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=256))]
    burst: u16,
    /// Frames that serve sends when it is asked.
    #[arg(long, default_value_t = 4096, value_parser = clap::value_parser!(u64).range(1..=8192))]
    batch: u64,
    /// Descriptors of each ring.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(80..=4096))]
    ring: u32,
    /// How a frame is described when it is sent.
    #[arg(long, value_enum, default_value_t = Shape::Header)]
    shape: Shape,
    /// Where serve and rxonly meet.
    #[arg(long, value_name = "PATH")]
    feed: Option<PathBuf>,
    /// rxonly gives up when nothing has arrived for so many seconds.
    #[arg(long, default_value_t = 20)]
    patience: u64,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Send.
    Txonly,
    /// Receive.
    Rxonly,
    /// Send a batch whenever a receiver asks for one.
    Serve,
}

/// How a frame lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shape {
    /// 42 bytes of headers in the packet, the rest by reference: two descriptors, as naio's stack sends. The card completes the UDP checksum.
    Header,
    /// The headers written into the page in front of the rest, all by reference: one descriptor, as testpmd sends.
    Whole,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments).and_then(|report| print(&report, arguments.json)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            if let Some(help) = failure.help() {
                eprintln!("help: {help}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<Report, Failure> {
    let feed = || arguments.feed.as_deref().ok_or(Failure::NoFeed);
    let mut card = Card::open(&arguments.device, arguments.ring)?;
    let (plan, shape) = (Plan::new(arguments), arguments.shape);
    match arguments.mode {
        Mode::Txonly => transmit::run(&mut card, &plan, shape),
        Mode::Rxonly => {
            let mut feed = arguments.feed.as_deref().map(Feed::receiver).transpose()?;
            let patience = Duration::from_secs(arguments.patience);
            receive::run(card.nic.as_mut(), feed.as_mut(), &plan, patience)
        }
        Mode::Serve => {
            let mut feed = Feed::sender(feed()?)?;
            serve::run(&mut card, &mut feed, &plan, shape, arguments.batch)
        }
    }
}

fn print(report: &Report, json: bool) -> Result<(), Failure> {
    let text = if json { report.to_json()? + "\n" } else { report.to_string() };
    io::stdout().lock().write_all(text.as_bytes()).map_err(Failure::Print)
}
