//! What waiting for a burst costs and brings: frames a turn finds, CPU time, and how long the last frame of a burst waits.
//!
//! The whole receiving path runs in virtual time, frames arrive at the line's rate, and turns take what they take on a
//! machine that was measured: so the figures repeat, and show what the pause of
//! [`Pace::rx_coalesce`](aio_api::Pace::rx_coalesce) does, alone. They do not show what a scheduler, a virtual machine, a
//! PCI bus or a cache does, nor that waiting looks at the clock meanwhile.

mod line;

use crate::recv::{Delivery, Plan, Receiver};
use hdrhistogram::Histogram;
use line::{Costs, Line};
use serde::Serialize;
use std::io::{self, Write};

/// Trains of frames that are measured, and requests.
const TRAINS: u32 = 2_000;
const REQUESTS: u32 = 2_000;
const MIB: f64 = 1_048_576.0;

/// What to measure with.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Pauses to compare, in microseconds.
    #[arg(long, value_delimiter = ',', default_values_t = [0, 20, 50, 100], value_parser = clap::value_parser!(u64).range(0..=10_000))]
    rx_coalesce_us: Vec<u64>,
    /// Frames of a burst that arrives on an idle line.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=200))]
    burst: u32,
    /// Microseconds that the peer of requests and responses takes between a response and the next request.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(0..=1_000_000))]
    peer_us: u64,
    /// Nanoseconds of a turn that finds frames, without them.
    #[arg(long, default_value_t = line::TURN_NS, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    turn_ns: u64,
    /// Nanoseconds of each of them.
    #[arg(long, default_value_t = line::FRAME_NS, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    frame_ns: u64,
    /// Nanoseconds of a turn that finds nothing.
    #[arg(long, default_value_t = line::EMPTY_NS, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    empty_ns: u64,
    /// Measure the three on this machine first, and use them; figures do not repeat exactly then.
    #[arg(long)]
    measure: bool,
    /// Seed of the pauses between bursts.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One JSON object per pause instead of a table.
    #[arg(long)]
    json: bool,
}

/// What one pause does.
#[derive(Debug, Serialize)]
struct Row {
    rx_coalesce_us: u64,
    /// A stream at line rate, in trains as long as Linux makes them.
    stream: Figures,
    /// Bursts on an idle line.
    bursts: Figures,
    /// From a request at the card to the response handed to it.
    response_us_p50: f64,
    response_us_p99: f64,
}

/// Of a number of trains.
#[derive(Debug, Serialize)]
struct Figures {
    /// Mean of the turns that found any.
    frames_per_turn: f64,
    /// CPU time of those turns.
    cpu_us_per_mib: f64,
    /// From the last frame of a train at the card to the completion that has its bytes.
    completion_us_p50: f64,
    completion_us_p99: f64,
}

/// Measures and prints.
pub(crate) fn run(arguments: &Arguments) -> io::Result<()> {
    let mut costs =
        Costs { turn_ns: arguments.turn_ns, frame_ns: arguments.frame_ns, empty_ns: arguments.empty_ns };
    if arguments.measure {
        costs = measure()?;
    }
    let mut out = io::stdout().lock();
    if !arguments.json {
        writeln!(
            out,
            "a turn takes {} ns and {} ns a frame, {} ns if it finds none",
            costs.turn_ns, costs.frame_ns, costs.empty_ns
        )?;
        writeln!(
            out,
            "{:>8} | {:^42} | {:^42} | response µs",
            "pause",
            "stream at line rate",
            format!("bursts of {}", arguments.burst)
        )?;
        let figures = format!("{:>11} {:>10} {:>9} {:>9}", "frames/turn", "CPU µs/MiB", "µs p50", "p99");
        writeln!(out, "{:>8} | {figures} | {figures} | {:>8} {:>8}", "µs", "p50", "p99")?;
    }
    for pause in &arguments.rx_coalesce_us {
        let row = row(arguments, costs, *pause)?;
        if arguments.json {
            writeln!(out, "{}", serde_json::to_string(&row)?)?;
        } else {
            let (p50, p99) = (row.response_us_p50, row.response_us_p99);
            writeln!(
                out,
                "{pause:>8} | {} | {} | {p50:>8.1} {p99:>8.1}",
                row.stream.cells(),
                row.bursts.cells()
            )?;
        }
    }
    Ok(())
}

fn row(arguments: &Arguments, costs: Costs, pause_us: u64) -> io::Result<Row> {
    let line = || -> io::Result<Line> { Ok(Line::new(receiver(1)?, costs, pause_us * 1_000)) };
    let mut random = fastrand::Rng::with_seed(arguments.seed);
    let stream = figures(line()?, line::TRAIN, || 0)?;
    let bursts = figures(line()?, arguments.burst, || random.u64(0..line::IDLE_NS_MAX))?;
    let mut responses = histogram()?;
    line()?.answer(REQUESTS, arguments.peer_us * 1_000, &mut responses).map_err(io::Error::other)?;
    let (response_us_p50, response_us_p99) = (quantile(&responses, 0.5), quantile(&responses, 0.99));
    Ok(Row { rx_coalesce_us: pause_us, stream, bursts, response_us_p50, response_us_p99 })
}

/// Trains of so many frames, each so long after the end of the one before.
fn figures(mut line: Line, train: u32, mut idle_ns: impl FnMut() -> u64) -> io::Result<Figures> {
    let mut waited = histogram()?;
    for _ in 0..TRAINS {
        line.train(train, idle_ns());
    }
    let seen = line.receive(&mut waited).map_err(io::Error::other)?;
    Ok(Figures {
        frames_per_turn: seen.frames as f64 / seen.turns as f64,
        cpu_us_per_mib: seen.busy_ns as f64 / 1e3 / (seen.bytes as f64 / MIB),
        completion_us_p50: quantile(&waited, 0.5),
        completion_us_p99: quantile(&waited, 0.99),
    })
}

impl Figures {
    fn cells(&self) -> String {
        let Figures { frames_per_turn, cpu_us_per_mib, completion_us_p50, completion_us_p99 } = self;
        format!(
            "{frames_per_turn:>11.1} {cpu_us_per_mib:>10.0} {completion_us_p50:>9.1} {completion_us_p99:>9.1}"
        )
    }
}

fn receiver(burst: u32) -> io::Result<Receiver> {
    let plan = Plan { burst, bursts: 1, beside: 0, around: false, verdict: true, delivery: Delivery::Posted };
    Receiver::new(plan).map_err(|error| io::Error::other(error.to_string()))
}

/// What turns take on this machine.
fn measure() -> io::Result<Costs> {
    let us = |burst| receiver(burst).map(|mut receiver| receiver.turn_us());
    let (none, one, many) = (us(0)?, us(1)?, us(20)?);
    let frame = ((many - one) / 19.0).max(0.001);
    let ns = |us: f64| (us * 1e3).round().max(1.0) as u64;
    Ok(Costs { turn_ns: ns(one - frame), frame_ns: ns(frame), empty_ns: ns(none) })
}

fn histogram() -> io::Result<Histogram<u64>> {
    Histogram::new(3).map_err(|error| io::Error::other(error.to_string()))
}

/// In microseconds.
fn quantile(nanoseconds: &Histogram<u64>, at: f64) -> f64 {
    nanoseconds.value_at_quantile(at) as f64 / 1e3
}
