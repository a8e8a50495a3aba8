//! An echo server on naio (RFC 862): listens, accepts, sends back what it receives. A small example of a server.
//!
//! Connections are bounded by the accepts that wait: where none waits, peers stay in the backlog, and beyond it
//! their SYNs are dropped, counted, and tried again.
#![forbid(unsafe_code)]

use aio_api::{Buffer, Completion, Kind, ListenerId, OpError, RecvOptions, SocketId, Wait};
use clap::Parser;
use naio_bench::account;
use naio_bench::cpu::Snapshot;
use naio_bench::failure::{Failure, conclude};
use naio_bench::report::Report;
use naio_bench::sending;
use naio_bench::session::{CardArguments, OutputArguments, Session};
use naio_bench::size::Size;
use std::io::Write as _;
use std::process::ExitCode;

/// Connections that are believed to be meant.
const LIMIT_MAX: usize = 4096;
/// Cookie of the accepts; connections have the number of their slot.
const ACCEPT: u64 = u64::MAX / 2;

/// Sends back what clients send, through a card of its own.
///
///   here#  naio-echo --device vfio:0000:00:02.0 --address 10.9.0.2/24 --port 5003
///   other$ sync-echo --remote 10.9.0.2:5003
///
/// Serves until it is ended, or until --connections have come and gone; then it says what that cost.
///
/// NAIO_LOG=debug in the environment logs on standard error what the stack decides.
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment)]
struct Arguments {
    #[command(flatten)]
    card: CardArguments,
    /// Port to listen on.
    #[arg(long, default_value_t = 5003)]
    port: u16,
    /// Connections served at the same time; as many again wait to be accepted.
    #[arg(long, default_value_t = 64)]
    limit: usize,
    /// Bytes of each connection's buffer.
    #[arg(long, default_value_t = Size(16 << 10))]
    buffer: Size,
    /// End after so many connections.
    #[arg(long)]
    connections: Option<u64>,
    #[command(flatten)]
    output: OutputArguments,
}

struct Server {
    session: Session,
    listener: ListenerId,
    /// Each connection's socket, and its buffer while it is in no operation.
    slots: Vec<Option<SocketId>>,
    buffers: Vec<Option<Buffer>>,
    accepting: bool,
    /// Still to be accepted, if there is an end.
    left: Option<u64>,
    open: usize,
    echoed: u64,
    completions: u64,
    failed: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    conclude(run(&arguments), arguments.output.json)
}

fn run(arguments: &Arguments) -> Result<Report, Failure> {
    if !(1..=LIMIT_MAX).contains(&arguments.limit) {
        return Err(Failure::Usage(format!("--limit must be 1 to {LIMIT_MAX}")));
    }
    let len = sending::length("--buffer", arguments.buffer)?;
    let mut session = Session::open(&arguments.card, "any client")?;
    let buffers = session.queue.buffers(arguments.limit, len).map_err(Failure::submit)?;
    let listener = session.queue.listen(arguments.port, arguments.limit).map_err(Failure::submit)?;
    let mut server = Server {
        session,
        listener,
        slots: vec![None; arguments.limit],
        buffers: buffers.into_iter().map(Some).collect(),
        accepting: false,
        left: arguments.connections,
        open: 0,
        echoed: 0,
        completions: 0,
        failed: 0,
    };
    // For whoever starts clients; a closed standard error must not end the server.
    let _ = writeln!(std::io::stderr(), "listening: {}, port {}", arguments.card.device, arguments.port);
    let counters = server.session.queue.counters();
    let before = Snapshot::take();
    server.serve()?;
    let usage = Snapshot::take().since(&before);

    let mut report = Report::new("naio-echo", server.echoed, &usage);
    report.calls = server.completions;
    account::between(&mut report, &counters, &server.session.queue.counters());
    server.session.queue.close_listener(server.listener);
    server.session.finish(&[])?;
    report.counters = account::by_name(&server.session.queue.counters());
    report.counters.insert("connections_failed".into(), server.failed);
    let held = server.session.queue.census();
    let left = [
        ("left_operations", server.session.queue.outstanding()),
        ("left_sockets", held.flows),
        ("left_keys", held.keys),
        ("left_timers", held.timers),
        ("left_listeners", held.listeners),
        ("left_tx_pages", held.lent_pages),
    ];
    report.counters.extend(left.map(|(name, count)| (name.to_owned(), count as u64)));
    Ok(report)
}

impl Server {
    fn serve(&mut self) -> Result<(), Failure> {
        let mut list = Vec::new();
        loop {
            self.accept()?;
            if self.left == Some(0) && self.open == 0 {
                return Ok(());
            }
            if self.left.is_some() {
                // Somebody counts on the end: they must not wait for ever.
                list = self.session.completions()?;
            } else {
                self.session.queue.wait(&mut list, Wait::for_one())?;
            }
            for done in list.drain(..) {
                self.take(done)?;
            }
        }
    }

    /// Waits for the next connection if there is room for one.
    fn accept(&mut self) -> Result<(), Failure> {
        if !self.accepting && self.open < self.slots.len() && self.left != Some(0) {
            self.session.queue.accept(self.listener, ACCEPT).map_err(Failure::submit)?;
            self.accepting = true;
        }
        Ok(())
    }

    fn take(&mut self, done: Completion) -> Result<(), Failure> {
        self.completions += 1;
        if self.session.is_link(&done) {
            return Ok(());
        }
        if done.result == Err(OpError::CardGone) {
            return Err(Failure::operation("cannot serve any longer")(OpError::CardGone));
        }
        if done.kind == Kind::Accept {
            self.accepting = false;
            done.result.map_err(Failure::operation("cannot accept"))?;
            return self.welcome(done.socket);
        }
        let slot = done.user_data as usize;
        let Some(socket) = self.slots[slot] else { return Ok(()) };
        if done.kind == Kind::Close {
            self.leave(slot);
            return Ok(());
        }
        let Some(buffer) = done.buffer else { return Ok(()) };
        if done.result.is_err() {
            // The peer reset it: nothing is left to be closed in order.
            self.failed += 1;
            self.buffers[slot] = Some(buffer);
            self.session.queue.abort(socket);
            self.leave(slot);
            return Ok(());
        }
        let queue = &mut self.session.queue;
        let submitted = match done.kind {
            Kind::Recv if done.bytes > 0 => queue.send(socket, buffer, 0..done.bytes as usize, slot as u64),
            Kind::Recv => {
                self.buffers[slot] = Some(buffer);
                queue.close(socket, slot as u64)
            }
            _ => {
                self.echoed += done.bytes;
                queue.recv(socket, buffer, RecvOptions::default(), slot as u64)
            }
        };
        submitted.map(drop).map_err(Failure::submit)
    }

    fn welcome(&mut self, socket: Option<SocketId>) -> Result<(), Failure> {
        let free = self.slots.iter().position(Option::is_none);
        let (Some(socket), Some(slot)) = (socket, free) else { return Ok(()) };
        let Some(buffer) = self.buffers[slot].take() else { return Ok(()) };
        self.slots[slot] = Some(socket);
        self.open += 1;
        self.left = self.left.map(|left| left - 1);
        let posted = self.session.queue.recv(socket, buffer, RecvOptions::default(), slot as u64);
        posted.map(drop).map_err(Failure::submit)
    }

    fn leave(&mut self, slot: usize) {
        self.slots[slot] = None;
        self.open -= 1;
    }
}
