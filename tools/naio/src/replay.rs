//! `naio replay`: pushes a capture through a card in software and its driver into the stack, frame by frame, and says
//! what became of each.
//!
//! Receives the command line, reads the file, hands each packet to the bench and its fate to the report. It judges no
//! frame itself.

mod bench;
mod fate;
mod report;
mod station;

use crate::card::CardArguments;
use crate::failure::Failure;
use bench::Bench;
use naio_bench::address::Ipv6Choice;
use naio_e1000_model::wire::pcap::Capture;
use report::Report;
use station::{MacText, Station};
use std::fs;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The capture: pcap or pcapng of an Ethernet interface.
    file: PathBuf,
    /// Who we are on that network: station address [default: the most frequent receiver of IPv4 in the capture].
    #[arg(long, value_name = "MAC")]
    mac: Option<MacText>,
    /// Who we are: address and prefix length [default: that receiver's].
    #[arg(long, value_name = "ADDRESS/LENGTH")]
    address: Option<aio_api::Cidr>,
    /// Speak IPv6 as well, from this address.
    #[arg(long, value_name = "auto|ADDRESS/LENGTH")]
    ipv6: Option<Ipv6Choice>,
    /// Listen on this TCP port; may be given several times.
    #[arg(long, value_name = "PORT")]
    listen: Vec<u16>,
    /// Receive datagrams on this UDP port; may be given several times.
    #[arg(long, value_name = "PORT")]
    udp: Vec<u16>,
    /// Push only the first FRAMES frames.
    #[arg(long, value_name = "FRAMES")]
    limit: Option<usize>,
    /// A line for each frame.
    #[arg(long, short)]
    verbose: bool,
    /// Objects instead of a table: one for each frame with --verbose, then one for all.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    card: CardArguments,
}

/// Replays the file.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let path = &arguments.file;
    let bytes = fs::read(path).map_err(|source| Failure::Read { path: path.clone(), source })?;
    let capture = Capture::parse(&bytes).map_err(|source| Failure::Capture { path: path.clone(), source })?;
    drop(bytes);
    let station = Station::choose(arguments.mac, arguments.address, &capture.packets);
    let mut bench = Bench::open(arguments, &station)?;
    let mut report = Report::new(&station, &capture, arguments.verbose, arguments.json);
    let limit = arguments.limit.unwrap_or(usize::MAX);
    for (n, packet) in capture.packets.iter().take(limit).enumerate() {
        let fate = bench.push(packet, &station)?;
        report.frame(n + 1, packet, &fate)?;
    }
    report.finish(path, &bench.card.violations())
}
