//! The program `naio`: what naio does, shown on a machine with nothing.
//!
//! Receives a command line, prints tables and progress. What is measured and how is in [`demo`].
#![forbid(unsafe_code)]

mod chart;
mod demo;
mod failure;
mod page;
mod record;
mod remote;
mod transfer;

use clap::{Parser, Subcommand};
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
    /// Receives and sends over two cards in software, asynchronously and synchronously, and draws the figures.
    ///
    /// Needs no device, no emulator and no rights. Both ends are naio: each is a driver, a TCP stack and an event
    /// queue in a thread of its own over a card in software, which is a thread too; the cards are joined by a
    /// wire in memory. Compare the arms with each other, not with real cards.
    Demo(demo::Arguments),
}

fn main() -> ExitCode {
    let Arguments { verb: Verb::Demo(arguments) } = Arguments::parse();
    match demo::run(&arguments) {
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
