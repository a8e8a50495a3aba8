//! The limits of the data path, and whether they are kept.
//!
//! Each part runs twice: once under callgrind, for instructions and copies, once without, for allocations. Every figure
//! that decides is printed with its limit; those that explain it stand beside them.

mod gate;
mod profile;
mod receiving;
mod sending;

use crate::callgrind;
use crate::recv::{Delivery, Plan};
use crate::send::Cut;
use clap::ValueEnum;
use naio_sys::allocations::Counting;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::Command;

/// Bytes until windows have grown, and bytes that count.
const WARM_UP: u64 = 8 << 20;
const MEASURED: u64 = 4 << 20;
/// Frames that a turn finds where limits are held: as many as were acknowledged at once where the limits come from.
const FRAMES: u32 = 40;
const MIB: f64 = 1_048_576.0;

/// How to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// What to measure: everything unless told.
    parts: Vec<Part>,
    /// One JSON object per figure instead of a table.
    #[arg(long)]
    json: bool,
    /// Also print where the instructions of receiving are, by function, source file and line.
    #[arg(long, conflicts_with = "json")]
    profile: bool,
    /// Segments that the peer acknowledges at once. 16 is what a Linux receiver that merges a burst does.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=64))]
    ack_every: u32,
    /// Sockets that send.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    sockets: u32,
    /// Connections in the parts that receive on one among many.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(2..=20_000))]
    flows: u32,
    /// Internal: what callgrind runs.
    #[arg(long, hide = true)]
    part: Option<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Part {
    /// Sending, segments cut by the card.
    SendCut,
    /// Sending over a card that does not cut: the driver does.
    SendCutByDriver,
    /// Sending, every segment made by smoltcp, as it would be without either. Nothing decides here but the copies.
    SendUncut,
    /// Receiving into posted buffers, in bursts of twenty, two of them a turn.
    #[value(name = "recv-20")]
    Recv20,
    /// The same with twenty frames a turn: each burst has a turn and an acknowledgment of its own. Nothing decides here.
    #[value(name = "recv-20-each")]
    Recv20Each,
    /// Receiving without copies, in bursts of twenty.
    #[value(name = "recv-20-lent")]
    Recv20Lent,
    /// Receiving into posted buffers, in bursts of one: no frames become one segment.
    #[value(name = "recv-1")]
    Recv1,
    /// The same with one frame a turn. Nothing decides here.
    #[value(name = "recv-1-each")]
    Recv1Each,
    /// Bursts of twenty from a card that says nothing of checksums. Nothing decides here.
    #[value(name = "recv-20-unchecked")]
    Recv20Unchecked,
    /// Bursts of twenty on one connection, all others idle.
    #[value(name = "recv-20-beside")]
    Recv20Beside,
    /// Bursts of one on one connection, all others idle.
    #[value(name = "recv-1-beside")]
    Recv1Beside,
    /// Twenty frames a turn, each turn on another connection. Nothing decides here.
    #[value(name = "recv-20-around")]
    Recv20Around,
    /// One frame a turn, each turn on another connection. Nothing decides here.
    #[value(name = "recv-1-around")]
    Recv1Around,
}

/// What a part does.
enum Play {
    Send(Cut),
    Receive(Plan),
}

impl Part {
    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    fn play(self, flows: u32) -> Play {
        let plan = |burst| {
            let delivery = Delivery::Posted;
            Plan { burst, bursts: FRAMES / burst, beside: 0, around: false, verdict: true, delivery }
        };
        let each = |burst| Plan { bursts: 1, ..plan(burst) };
        let beside = |burst| Plan { beside: flows - 1, ..plan(burst) };
        let around = |burst| Plan { around: true, bursts: 1, ..beside(burst) };
        match self {
            Part::SendCut => Play::Send(Cut::Card),
            Part::SendCutByDriver => Play::Send(Cut::Driver),
            Part::SendUncut => Play::Send(Cut::Nobody),
            Part::Recv20 => Play::Receive(plan(20)),
            Part::Recv20Lent => Play::Receive(Plan { delivery: Delivery::Lent, ..plan(20) }),
            Part::Recv20Each => Play::Receive(each(20)),
            Part::Recv1 => Play::Receive(plan(1)),
            Part::Recv1Each => Play::Receive(each(1)),
            Part::Recv20Unchecked => Play::Receive(Plan { verdict: false, ..plan(20) }),
            Part::Recv20Beside => Play::Receive(beside(20)),
            Part::Recv1Beside => Play::Receive(beside(1)),
            Part::Recv20Around => Play::Receive(around(20)),
            Part::Recv1Around => Play::Receive(around(1)),
        }
    }

    /// The part on one connection alone that this one is held against.
    fn alone(self) -> Option<Part> {
        match self {
            Part::Recv20Beside => Some(Part::Recv20),
            Part::Recv1Beside => Some(Part::Recv1),
            _ => None,
        }
    }

    /// How callgrind is to run it.
    fn arguments(self, with: &Arguments) -> Vec<String> {
        let numbers = [("--ack-every", with.ack_every), ("--sockets", with.sockets), ("--flows", with.flows)];
        let mut all = vec!["gates".to_owned(), "--part".to_owned(), self.name()];
        all.extend(numbers.into_iter().flat_map(|(name, value)| [name.to_owned(), value.to_string()]));
        all
    }
}

/// Measures and prints; true if every limit is kept.
pub(crate) fn run(arguments: &Arguments, allocator: &Counting) -> io::Result<bool> {
    if let Some(part) = arguments.part {
        match part.play(arguments.flows) {
            Play::Send(cut) => {
                sending::play(cut, arguments.sockets, arguments.ack_every, allocator)?;
            }
            Play::Receive(plan) => {
                receiving::play(plan, allocator)?;
            }
        }
        return Ok(true);
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        return Err(io::Error::other(
            "valgrind counts the instructions and is not installed: `apt-get install valgrind`",
        ));
    }
    let parts = if arguments.parts.is_empty() { Part::value_variants() } else { &arguments.parts[..] };
    let mut kept = true;
    let mut alone = BTreeMap::new();
    for part in parts {
        writeln!(io::stderr(), "measuring: {} …", part.name())?;
        for gate in measure(*part, arguments, allocator, &mut alone)? {
            kept &= gate.ok;
            gate.print(arguments.json)?;
        }
    }
    Ok(kept)
}

/// One part, with and without callgrind. What a segment costs on one connection alone is kept for the parts that are
/// held against it.
fn measure(
    part: Part,
    arguments: &Arguments,
    allocator: &Counting,
    alone: &mut BTreeMap<Part, f64>,
) -> io::Result<Vec<gate::Gate>> {
    let again = part.arguments(arguments);
    let name = part.name();
    let plan = match part.play(arguments.flows) {
        Play::Send(cut) => {
            let crossed = sending::play(cut, arguments.sockets, arguments.ack_every, allocator)?;
            let counted = callgrind::run(&again)?;
            return Ok(sending::gates(&name, cut, crossed, &counted));
        }
        Play::Receive(plan) => plan,
    };
    let crossed = receiving::play(plan, allocator)?;
    let counted = callgrind::run(&again)?;
    let mut gates = receiving::gates(&name, plan, &crossed, &counted)?;
    let cost = receiving::per_segment(&crossed, &counted);
    alone.insert(part, cost);
    let against = part.alone().and_then(|part| alone.get(&part));
    gates.extend(against.map(|alone| receiving::ratio(&name, cost, *alone)));
    if arguments.profile {
        profile::print(&name, &counted, crossed.segments as f64)?;
    }
    Ok(gates)
}
