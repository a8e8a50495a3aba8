//! `naio-bench`: what naio's data path costs, as numbers that repeat. The experiments against a real peer are programs
//! of their own (`naio-send`, `naio-recv`, …), and `cargo rig compare` runs them.
#![forbid(unsafe_code)]

mod callgrind;
mod far;
mod gates;
mod origin;
mod pace;
mod recv;
mod segment;
mod send;
mod yardstick;

use clap::{Parser, Subcommand};
use naio_sys::allocations::Counting;
use std::io::{self, Write};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

/// Measures the data path of naio.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Hold the data path against its limits; the exit status says whether they are kept.
    ///
    /// The whole path (queue, stack, driver) runs in virtual time over the card in software, against a peer that only
    /// acknowledges, or one that sends full segments as far as the window goes; valgrind's callgrind counts the
    /// instructions of naio alone, without those of card and peer, and without copying and checksums, which are shown
    /// apart. Counts repeat exactly on one machine.
    ///
    ///   $ cargo run --release -p naio-bench -- gates
    ///   $ cargo run --release -p naio-bench -- gates recv-20 recv-1 --profile
    ///   $ cargo run --release -p naio-bench -- gates --json
    #[command(verbatim_doc_comment)]
    Gates(gates::Arguments),
    /// Compare pauses for a burst: what they bring a stream, and what they cost bursts and requests.
    ///
    /// The whole receiving path runs in virtual time; full frames arrive at 1 Gb/s, 12.3 microseconds each. Turns begin
    /// when the queue's own pace would begin them and take what they took on a machine that was measured (or on this
    /// one: --measure), so that figures repeat. Nothing of schedulers, buses or virtual machines is in them.
    ///
    ///   $ cargo run --release -p naio-bench -- pace
    ///   $ cargo run --release -p naio-bench -- pace --rx-coalesce-us 0,10,30 --burst 44 --json
    #[command(verbatim_doc_comment)]
    Pace(pace::Arguments),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Gates(arguments) => gates::run(&arguments, &ALLOCATOR),
        Command::Pace(arguments) => pace::run(&arguments).map(|()| true),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "naio-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent_and_parts_have_the_names_of_their_figures() {
        Arguments::command().debug_assert();
        for line in ["gates", "gates recv-20 recv-1-beside --flows 200 --profile", "gates send-cut --json"] {
            let words = ["naio-bench"].into_iter().chain(line.split(' '));
            assert!(Arguments::try_parse_from(words).is_ok(), "{line}");
        }
        assert!(
            Arguments::try_parse_from(["naio-bench", "pace", "--rx-coalesce-us", "0,7", "--json"]).is_ok()
        );
        for line in [
            "pace --burst 0",
            "pace --rx-coalesce-us 20000",
            "gates recv-3",
            "gates --flows 1",
            "gates --profile --json",
        ] {
            let words = ["naio-bench"].into_iter().chain(line.split(' '));
            assert!(Arguments::try_parse_from(words).is_err(), "{line}");
        }
    }
}
