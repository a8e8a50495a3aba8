//! The limits of the data path, and whether they are kept.
//!
//! Each part runs twice: once under callgrind, for instructions and copies, once without, for allocations. Every figure
//! that decides is printed with its limit; those that explain it stand beside them.

use crate::callgrind::{self, Counted};
use crate::send::{Cut, Sender};
use naio_sys::allocations::Counting;
use serde::Serialize;
use std::io::{self, Write};
use std::process::Command;

/// Bytes until windows have grown, and bytes that count.
const WARM_UP: u64 = 8 << 20;
const MEASURED: u64 = 4 << 20;
const MIB: f64 = 1_048_576.0;
/// The function whose callees count.
const FUNCTION: &str = "*naio_bench*send*measured*";

/// How to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// One JSON object per figure instead of a table.
    #[arg(long)]
    json: bool,
    /// Segments that the peer acknowledges at once. 16 is what a Linux receiver that merges a burst does.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=64))]
    ack_every: u32,
    /// Sockets that send.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    sockets: u32,
    /// Internal: what callgrind runs.
    #[arg(long, hide = true)]
    part: Option<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[expect(clippy::enum_variant_names, reason = "receiving comes beside it")]
enum Part {
    /// Sending, segments cut by the card.
    SendCut,
    /// Sending over a card that does not cut: the driver does.
    SendCutByDriver,
    /// Sending, every segment made by smoltcp, as it would be without either. Nothing decides here but the copies.
    SendUncut,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Part::SendCut => "send-cut",
            Part::SendCutByDriver => "send-cut-by-driver",
            Part::SendUncut => "send-uncut",
        }
    }
}

/// A figure, and its limit if it decides.
#[derive(Debug, Serialize)]
struct Gate {
    gate: String,
    value: f64,
    limit: Option<f64>,
    ok: bool,
}

impl Gate {
    fn new(gate: impl Into<String>, value: f64, limit: Option<f64>) -> Gate {
        Gate { gate: gate.into(), value, limit, ok: limit.is_none_or(|limit| value <= limit) }
    }

    fn shown(gate: impl Into<String>, value: f64) -> Gate {
        Gate { gate: gate.into(), value, limit: None, ok: true }
    }
}

/// What crossed the wire in the measured part.
#[derive(Clone, Copy, Debug)]
struct Crossed {
    bytes: u64,
    frames: u64,
    acknowledgments: u64,
    allocations: u64,
}

/// Measures and prints; true if every limit is kept.
pub(crate) fn run(arguments: &Arguments, allocator: &Counting) -> io::Result<bool> {
    if let Some(part) = arguments.part {
        return play(part, arguments, allocator).map(|_| true);
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        return Err(io::Error::other(
            "valgrind counts the instructions and is not installed: `apt-get install valgrind`",
        ));
    }
    let mut kept = true;
    for part in [Part::SendCut, Part::SendCutByDriver, Part::SendUncut] {
        writeln!(io::stderr(), "measuring: {} …", part.name())?;
        let crossed = play(part, arguments, allocator)?;
        let again = ["gates", "--part", part.name(), "--ack-every"].map(str::to_owned);
        let rest = [arguments.ack_every.to_string(), "--sockets".to_owned(), arguments.sockets.to_string()];
        let counted = callgrind::run(FUNCTION, &[&again[..], &rest[..]].concat())?;
        for gate in gates(part, crossed, &counted) {
            kept &= gate.ok;
            print(&gate, arguments.json)?;
        }
    }
    Ok(kept)
}

/// Warms up, then sends what counts.
fn play(part: Part, arguments: &Arguments, allocator: &Counting) -> io::Result<Crossed> {
    let cut = match part {
        Part::SendCut => Cut::Card,
        Part::SendCutByDriver => Cut::Driver,
        Part::SendUncut => Cut::Nobody,
    };
    let mut sender = Sender::new(arguments.sockets, cut, arguments.ack_every)
        .map_err(|error| io::Error::other(error.to_string()))?;
    sender.send(WARM_UP, None).map_err(io::Error::other)?;
    let before = sender.totals();
    let allocations = sender.send(MEASURED, Some(allocator)).map_err(io::Error::other)?;
    let after = sender.totals();
    if sender.copied() > 0 {
        return Err(io::Error::other(
            "sends were copied: the card in software completes checksums, so they need not be",
        ));
    }
    let (bytes, frames, acknowledgments) = (after.0 - before.0, after.1 - before.1, after.2 - before.2);
    Ok(Crossed { bytes, frames, acknowledgments, allocations })
}

/// What callgrind and the wire say together.
fn gates(part: Part, crossed: Crossed, counted: &Counted) -> Vec<Gate> {
    let name = part.name();
    let mib = crossed.bytes as f64 / MIB;
    let of = |what: &str| format!("{name}: {what}");
    let limit = match part {
        Part::SendCut => Some(120e3),
        Part::SendCutByDriver => Some(1.1e6),
        Part::SendUncut => None,
    };
    let copies = |room: &str| counted.copies.get(room).copied().unwrap_or(0) as f64;
    // smoltcp copies each byte once, from a ring of zeros: so many instructions are one copy.
    let ours = ["queue", "stack", "driver", "memory", "system", "other"].map(copies).iter().sum::<f64>();
    let per_byte = ours / copies("smoltcp").max(1.0);
    let driver = ["::post_tx", "::reap_tx", "::ring", "::tx_room"];
    let card: f64 = counted.with_callees("Doorbell>::ring") as f64;
    let driver: f64 = driver.iter().map(|verb| counted.driver_verb(verb) as f64).sum::<f64>() - card;
    let segments = crossed.frames as f64;
    let mut gates = vec![
        Gate::new(of("instructions per MiB"), counted.path() as f64 / mib, limit),
        Gate::new(of("user bytes copied per byte"), (per_byte * 100.0).round() / 100.0, Some(0.0)),
        Gate::new(of("allocations per segment"), crossed.allocations as f64 / segments, Some(0.0)),
    ];
    // A frame of its own for each segment: what testpmd, which needs 271 in the rig's guest, sends.
    let limit = (part == Part::SendUncut).then_some(271.0);
    gates.push(Gate::new(of("driver instructions per frame"), driver / segments, limit));
    for (room, cost) in &counted.rooms {
        gates.push(Gate::shown(of(&format!("{room} per MiB")), *cost as f64 / mib));
    }
    gates.push(Gate::shown(of("smoltcp's copies of zeros per MiB"), copies("smoltcp") / mib));
    gates.push(Gate::shown(of("segments per MiB"), segments / mib));
    gates.push(Gate::shown(of("acknowledgments per MiB"), crossed.acknowledgments as f64 / mib));
    gates
}

fn print(gate: &Gate, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        return writeln!(out, "{}", serde_json::to_string(gate)?);
    }
    let verdict = match (gate.limit, gate.ok) {
        (None, _) => String::new(),
        (Some(limit), true) => format!("at most {limit}: kept"),
        (Some(limit), false) => format!("at most {limit}: MISSED"),
    };
    writeln!(out, "{:<52} {:>14.2}  {verdict}", gate.gate, gate.value)
}
