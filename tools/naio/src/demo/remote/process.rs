//! The partner's process, `naio remote`: makes itself a private network with a TAP in it, hands the TAP over, and
//! serves the experiments from kernel sockets until the line ends.
//!
//! Started by `naio demo` only, with its end of the line as standard input. It leaves its network's only way out,
//! the TAP, to the one who started it.

use super::{HERE, THERE};
use crate::demo::record::Experiment;
use crate::demo::station::PREFIX_LEN;
use crate::lossy::client;
use naio_bench::payload::Payload;
use naio_bench::protocol::{SINK_PORT, SOURCE_PORT};
use naio_bench::source::{Limits, ServeError, Served};
use naio_bench::{sink, source};
use naio_sys::clock;
use naio_sys::handover::Line;
use naio_sys::interface::{Interface, silence_ipv6};
use naio_sys::namespace::{Right, enter_own_network};
use naio_sys::tap::Tap;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// First message: the TAP comes with it. Anything else is the reason why there is none.
pub(super) const GO_AHEAD: &[u8] = b"here is the TAP";
/// Question: CPU time so far? Answer: nanoseconds, 8 bytes, little-endian.
pub(super) const HOW_MUCH: &[u8] = b"how much?";

/// Questions to a client: move bytes, as many as the 8 bytes after it say, little-endian? Answer: nanoseconds, 8
/// bytes, little-endian, or the reason why not.
pub(super) const SEND: &[u8] = b"send";
pub(super) const RECEIVE: &[u8] = b"recv";

/// The TAP's name inside its network.
const TAP: &str = "naio0";
/// Payload before it repeats.
const PAYLOAD_LEN: u64 = 16 << 20;
/// One connection at a time is what the demonstration has; the one before may still be ending.
const LIMITS: Limits = Limits { connections: 4, bytes: u64::MAX };

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Make the network as root instead of in a user namespace.
    #[arg(long)]
    root: bool,
    /// Be a client at the measured side's address instead of the partner.
    #[arg(long)]
    client: bool,
}

/// Serves until the line ends.
pub(crate) fn run(arguments: &Arguments) -> io::Result<()> {
    let line = Line::from(io::stdin().as_fd().try_clone_to_owned()?);
    let right = if arguments.root { Right::Root } else { Right::User };
    let address = if arguments.client { HERE } else { THERE };
    match start(right, address) {
        // Our own copy of the TAP's descriptor is closed here: it shall not outlive the other one.
        Ok(tap) => line.send(GO_AHEAD, Some(tap.as_fd()))?,
        Err((what, error)) => return line.send(format!("{what}: {error}").as_bytes(), None),
    }
    while let Some(question) = line.receive(None)? {
        match answer(&question.bytes) {
            Ok(span) => {
                let nanoseconds = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
                line.send(&nanoseconds.to_le_bytes(), None)?;
            }
            // The space in front keeps a short reason from being taken for a number.
            Err(error) => line.send(format!("         {error}").as_bytes(), None)?,
        }
    }
    Ok(())
}

/// The span of time that a question asks for.
fn answer(question: &[u8]) -> io::Result<Duration> {
    let experiment = match question.get(..SEND.len()) {
        Some(SEND) => Experiment::Send,
        Some(RECEIVE) => Experiment::Receive,
        _ => return Ok(clock::process_cpu()),
    };
    let bytes = question[SEND.len()..].first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    client::transfer(experiment, bytes.unwrap_or(0))
}

/// Makes the network and starts the servers in it.
fn start(right: Right, address: Ipv4Addr) -> Result<Tap, (&'static str, io::Error)> {
    let because = |what| move |error| (what, error);
    enter_own_network(right).map_err(because(match right {
        Right::User => "no user namespace",
        Right::Root => "no network namespace",
    }))?;
    // A kernel without IPv6 has nothing to silence, and frames that nobody asked for do no harm.
    let _ = silence_ipv6();
    let tap = Tap::open(TAP).map_err(because("cannot use /dev/net/tun"))?;
    let interface = Interface::named(TAP).map_err(because("no socket"))?;
    interface.set_address(address, PREFIX_LEN).map_err(because("cannot set an address"))?;
    interface.bring_up().map_err(because("cannot bring the TAP up"))?;
    let payload = Payload::random(PAYLOAD_LEN).map_err(because("no memory for the payload"))?;
    let listen = |port| TcpListener::bind((address, port)).map_err(because("cannot listen"));
    serve(payload, listen(SOURCE_PORT)?, listen(SINK_PORT)?);
    Ok(tap)
}

fn serve(payload: Payload, source_listener: TcpListener, sink_listener: TcpListener) {
    let (tell, served) = mpsc::channel();
    let source_tell = tell.clone();
    thread::spawn(move || source::serve(&source_listener, &Arc::new(payload), LIMITS, &source_tell));
    thread::spawn(move || {
        if let Err(error) = sink::serve(&sink_listener, LIMITS, &tell) {
            let _ = tell.send(Served { port: "sink", peer: String::new(), outcome: Err(error.into()) });
        }
    });
    thread::spawn(move || served.iter().for_each(|served| complain(&served)));
}

/// What went wrong with a connection; what went right needs no word.
fn complain(served: &Served) {
    match &served.outcome {
        // The demonstration resets what it does not need any more.
        Ok(_) | Err(ServeError::Io(_)) => {}
        Err(error) => {
            let _ = writeln!(io::stderr(), "naio: the partner's {}: {error}", served.port);
        }
    }
}
