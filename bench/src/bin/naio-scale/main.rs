//! What a segment, a turn and a connection cost beside many other connections: the stack alone, in virtual time, with
//! frames made beforehand. Counts instructions with callgrind where that is installed.
#![forbid(unsafe_code)]

mod server;

use clap::Parser;
use naio_sys::clock;
use serde::Serialize;
use server::Server;
use std::io::{self, Write};
use std::process::{Command, ExitCode};

/// Segments of the measured part, in bursts that go round the connections.
const SEGMENTS: u32 = 40_000;
const BURST: u32 = 20;
/// Turns of the measured part that find nothing.
const TURNS: u32 = 20_000;
/// Connections that come and go in the measured part.
const CHURN: u32 = 2_000;

/// Measures what a segment, an empty turn and a short connection cost beside other connections.
///
///   $ naio-scale                          1 and 10 000 connections, their ratio
///   $ naio-scale --connections 1,100,10000 --json
///
/// The stack runs alone, in virtual time, over frames made beforehand: no card, no memory of the driver's. Where valgrind
/// is installed the figures are instructions, which repeat; otherwise nanoseconds, which do not on a shared machine.
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment)]
struct Arguments {
    /// How many connections are held, one run each.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10_000], value_parser = clap::value_parser!(u32).range(1..=50_000))]
    connections: Vec<u32>,
    /// One JSON object per run instead of a table.
    #[arg(long)]
    json: bool,
    /// Time instead of instructions.
    #[arg(long)]
    time: bool,
    /// Internal: what callgrind runs.
    #[arg(long, hide = true)]
    part: Option<Part>,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Segment,
    Turn,
    Connection,
}

const PARTS: [Part; 3] = [Part::Segment, Part::Turn, Part::Connection];

impl Part {
    fn name(self) -> &'static str {
        match self {
            Part::Segment => "segment",
            Part::Turn => "turn",
            Part::Connection => "connection",
        }
    }

    fn count(self) -> u32 {
        match self {
            Part::Segment => SEGMENTS,
            Part::Turn => TURNS,
            Part::Connection => CHURN,
        }
    }

    /// Prepares `connections` connections.
    fn prepare(self, connections: u32) -> (Server, Vec<Vec<server::Frame>>) {
        let server = Server::new(connections, CHURN);
        let bursts = if self == Part::Segment { server.bursts(SEGMENTS, BURST) } else { Vec::new() };
        (server, bursts)
    }

    /// Nanoseconds of CPU that the measured part takes beside `connections` connections.
    fn time(self, connections: u32) -> u64 {
        let (mut server, bursts) = self.prepare(connections);
        let before = clock::thread_cpu();
        measured(self, &mut server, &bursts);
        (clock::thread_cpu() - before).as_nanos() as u64
    }
}

/// Callgrind counts what happens in here, by this name.
#[inline(never)]
fn measured(part: Part, server: &mut Server, bursts: &[Vec<server::Frame>]) {
    match part {
        Part::Segment => bursts.iter().for_each(|burst| server.serve(burst)),
        Part::Turn => (0..TURNS).for_each(|_| server.idle()),
        Part::Connection => (0..CHURN).for_each(|n| server.come_and_go(n)),
    }
}

#[derive(Serialize)]
struct Record {
    connections: u32,
    part: &'static str,
    count: u32,
    unit: &'static str,
    each: f64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let (Some(part), [connections]) = (arguments.part, &arguments.connections[..]) {
        // No look at the clock here: valgrind 3.19 does not stand rustix's way to it.
        let (mut server, bursts) = part.prepare(*connections);
        measured(part, &mut server, &bursts);
        let expected = if part == Part::Segment { u64::from(SEGMENTS) * server::PAYLOAD as u64 } else { 0 };
        assert_eq!(server.received(), expected, "bytes read of those that arrived");
        return ExitCode::SUCCESS;
    }
    match report(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "naio-scale: {error}");
            ExitCode::FAILURE
        }
    }
}

fn report(arguments: &Arguments) -> io::Result<()> {
    let counts = !arguments.time && Command::new("valgrind").arg("--version").output().is_ok();
    let mut out = io::stdout().lock();
    if !counts && !arguments.json {
        writeln!(
            out,
            "nanoseconds of CPU, which vary (with valgrind installed: instructions, which do not)"
        )?;
    }
    for part in PARTS {
        let mut first = None;
        for &connections in &arguments.connections {
            writeln!(io::stderr(), "measuring: {} beside {connections} connections …", part.name())?;
            let whole = if counts { instructions(part, connections)? } else { part.time(connections) };
            let unit = if counts { "instructions" } else { "ns" };
            let each = whole as f64 / f64::from(part.count());
            let record = Record { connections, part: part.name(), count: part.count(), unit, each };
            let ratio = each / *first.get_or_insert(each);
            if arguments.json {
                writeln!(out, "{}", serde_json::to_string(&record)?)?;
            } else {
                writeln!(
                    out,
                    "{:<10} {connections:>6} connections {each:>10.1} {unit} each, ratio {ratio:.3}",
                    part.name()
                )?;
            }
        }
    }
    Ok(())
}

/// Runs this program again under callgrind, which counts the measured part.
fn instructions(part: Part, connections: u32) -> io::Result<u64> {
    let out = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no"])
        .arg("--toggle-collect=*naio_scale*measured*")
        .arg(std::env::current_exe()?)
        .args(["--part", part.name(), "--connections", &connections.to_string()])
        .output()?;
    let said = String::from_utf8_lossy(&out.stderr);
    let collected = said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    collected.filter(|collected| *collected > 0 && out.status.success()).ok_or_else(|| {
        let last = said.lines().last().unwrap_or("nothing").to_owned();
        io::Error::other(format!("callgrind counted nothing ({last}); --time measures without it"))
    })
}
