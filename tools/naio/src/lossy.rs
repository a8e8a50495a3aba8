//! `naio lossy`: hashed transfers over a wire that loses frames, naio with Linux beside Linux with Linux.
//!
//! Receives the command line; for each share of losses it opens both pairs of ends on the same kind of wire, moves
//! the payload each way, and hands on a table and a JSON file. The wire is a TAP to the host's own TCP, in a private
//! network; the seed of the losses is one for all, so that every pair meets the same.

pub(crate) mod client;
mod pair;

use crate::demo::record::{Arm, Experiment};
use crate::demo::remote::{Ends, Wire};
use crate::demo::share::Share;
use crate::demo::side::Side;
use crate::demo::transfer::{self, Style};
use crate::failure::Failure;
use crate::say;
use naio_bench::size::Size;
use serde::Serialize;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Payload of each transfer.
    #[arg(long, default_value = "100MB")]
    size: Size,
    /// Shares of all frames that the wire loses, both ways.
    #[arg(long, value_delimiter = ',', default_value = "0%,0.02%,0.2%,1%")]
    loss: Vec<Share>,
    /// Writes the transfers to FILE, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// One transfer whose bytes were right.
#[derive(Debug, Serialize)]
struct Transfer {
    /// What the client does: one of [`WAYS`].
    way: &'static str,
    loss_percent: f64,
    bytes: u64,
    seconds: f64,
    mb_per_s: f64,
    sha256_ok: bool,
}

/// The transfers of one share of losses.
struct Row {
    loss: Share,
    transfers: Vec<Transfer>,
}

/// What the client of a transfer does, in the order of the table. The other end is Linux in each.
const WAYS: [&str; 4] = ["naio sends", "naio receives", "Linux sends", "Linux receives"];

/// Moves everything.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    // A transfer of nothing has no speed.
    let bytes = arguments.size.0.max(1);
    say(format!(
        "{} MB each way, to and from this machine's Linux, over a TAP that loses frames both ways. The SHA-256 of \
         every transfer is compared. Beside naio, a Linux does the same, with the same losses between two TAPs.",
        bytes as f64 / 1e6
    ));
    let mut rows = Vec::new();
    for &loss in &arguments.loss {
        let mut transfers = ours(loss, bytes)?;
        transfers.extend(pair::transfers(loss, bytes)?);
        rows.push(Row { loss, transfers });
    }
    say("");
    say(table(&rows).trim_end());
    let Some(path) = &arguments.json else { return Ok(()) };
    let mut text = String::new();
    for transfer in rows.iter().flat_map(|row| &row.transfers) {
        text += &serde_json::to_string(transfer)?;
        text.push('\n');
    }
    fs::write(path, text).map_err(|source| Failure::Write { path: path.into(), source })
}

impl Transfer {
    fn new(way: &'static str, loss: Share, bytes: u64, seconds: f64) -> Transfer {
        let (loss_percent, mb_per_s) = (f64::from(loss.0) / 100.0, bytes as f64 / 1e6 / seconds.max(1e-6));
        Transfer { way, loss_percent, bytes, seconds, mb_per_s, sha256_ok: true }
    }
}

/// naio with Linux.
fn ours(loss: Share, bytes: u64) -> Result<Vec<Transfer>, Failure> {
    let pieces = Arc::new(transfer::pieces());
    let ends = Ends::open(Wire::Tap, Some(loss), None, &pieces)?;
    let mut side = Side::new(ends, pieces, bytes);
    let mut transfers = Vec::new();
    for (experiment, way) in [(Experiment::Send, WAYS[0]), (Experiment::Receive, WAYS[1])] {
        let record = side.check(Arm { experiment, style: Style::Asynchronous })?;
        transfers.push(Transfer::new(way, loss, bytes, record.seconds));
    }
    Ok(transfers)
}

fn table(rows: &[Row]) -> String {
    let mut text = String::from("MB/s      ");
    for way in WAYS {
        let _ = write!(text, "{way:>18}");
    }
    for row in rows {
        let _ = write!(text, "\n{:<10}", format!("loss {}", row.loss));
        for transfer in &row.transfers {
            let _ = write!(text, "{:>18.2}", transfer.mb_per_s);
        }
    }
    text
}
