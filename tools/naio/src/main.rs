//! The program `naio`: what naio does, shown on a machine with nothing, and the operator's command.
//!
//! Receives a command line and hands it to the room of the sub-command, one file each; prints what went wrong.
#![forbid(unsafe_code)]

mod card;
mod demo;
mod failure;
mod lossy;
mod model;
mod replay;

use clap::{Parser, Subcommand};
use failure::Failure;
use std::io::{self, Write as _};
use std::process::ExitCode;

/// A user-space network stack over a documented card: try it without a card.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Receives and sends over a card in software, asynchronously and synchronously, and draws the figures.
    ///
    /// Needs no device, no emulator and no rights. The measured side is naio: a driver, a TCP stack and an event queue
    /// in one thread, over a card in software, which is a thread too. Its partner is the TCP of this machine's Linux,
    /// over a TAP in a private network, where the system allows that; otherwise a second naio over a wire in memory.
    /// It says which it is and why. Compare the arms with each other, not with real cards.
    ///
    /// Examples:
    ///   naio demo                            tables here, charts in target/naio/index.html
    ///   naio demo --wire pair --runs 9       both ends naio, nine runs of each arm
    ///   naio demo --loss 1%                  a bad wire, and still the right bytes
    ///   naio demo --pcap demo.pcap           every frame, for tcpdump -n -r demo.pcap
    ///   naio demo --json runs.json           one object a run, for your own charts
    #[command(verbatim_doc_comment)]
    Demo(demo::Arguments),
    /// Moves hashed bytes over a wire that loses frames: naio with this machine's Linux, beside Linux with Linux.
    ///
    /// Needs what `naio demo --wire tap` needs: a private network and a TAP in it, which most systems let every user
    /// have. Nothing of the machine's own network is touched.
    ///
    /// Examples:
    ///   naio lossy                              100 MB each way at 0, 0.02, 0.2 and 1 % loss
    ///   naio lossy --size 10MB --loss 0.5%      one share of losses, quicker
    ///   naio lossy --json transfers.json        one object a transfer
    #[command(verbatim_doc_comment)]
    Lossy(lossy::Arguments),
    /// A card in software to play with: its parts, its registers, frames that pass, faults.
    #[command(subcommand)]
    Model(model::Verb),
    /// Pushes a capture through a card in software and its driver into the stack, and says what became of each frame.
    ///
    /// Every frame ends under exactly one name: card_* if the card kept it from its driver, driver_* if the driver
    /// dropped it, stack_* for the counter of the stack that it moved (rx_ was used, drop_ was not). Time passes as in
    /// the capture, but nothing waits. What the stack answers goes nowhere; it is counted.
    ///
    /// Examples:
    ///   naio replay capture.pcap                        as the receiver that the capture was made for
    ///   naio replay capture.pcapng -v                   a line for each frame
    ///   naio replay capture.pcap --listen 80            with somebody behind port 80
    ///   naio replay capture.pcap --mac 02:00:5e:10:00:02 --address 10.9.0.2/24
    ///   naio demo --wire pair --pcap demo.pcap && naio replay demo.pcap
    #[command(verbatim_doc_comment)]
    Replay(replay::Arguments),
    /// The partner's process of `naio demo`.
    #[command(hide = true)]
    Remote(demo::remote::process::Arguments),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().verb {
        Verb::Demo(arguments) => demo::run(&arguments),
        Verb::Lossy(arguments) => lossy::run(&arguments),
        Verb::Model(verb) => model::run(&verb),
        Verb::Replay(arguments) => replay::run(&arguments),
        Verb::Remote(arguments) => demo::remote::process::run(&arguments).map_err(Failure::Remote),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(io::stderr(), "{}", failure.told());
            ExitCode::FAILURE
        }
    }
}

/// A line for the user. Somebody who closed standard output wants no more of it.
fn say(line: impl std::fmt::Display) {
    let _ = writeln!(io::stdout(), "{line}");
}
