//! `naio-bench`: what naio's data path costs, as numbers that repeat. The experiments against a real peer are programs
//! of their own (`naio-send`, `naio-recv`, …), and `cargo rig compare` runs them.
#![forbid(unsafe_code)]

mod callgrind;
mod far;
mod gates;
mod send;

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
    /// acknowledges; valgrind's callgrind counts the instructions of naio alone, without those of card and peer, and
    /// without copying and checksums, which are shown apart. Counts repeat exactly on one machine.
    ///
    ///   $ cargo run --release -p naio-bench -- gates
    ///   $ cargo run --release -p naio-bench -- gates --json
    #[command(verbatim_doc_comment)]
    Gates(gates::Arguments),
}

fn main() -> ExitCode {
    let Arguments { command: Command::Gates(arguments) } = Arguments::parse();
    match gates::run(&arguments, &ALLOCATOR) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "naio-bench: {error}");
            ExitCode::FAILURE
        }
    }
}
