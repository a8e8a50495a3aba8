//! The asynchronous arm: pulls N bytes with receives posted ahead, through naio's own driver and stack.
//!
//! The clock and the marks stand where `sync-recv` has them: begin before the request is sent, end after the
//! last payload byte (and behind the hash, if one was asked for).
#![forbid(unsafe_code)]

use aio_api::{Buffer, Completion, Kind, RecvOptions, RingLen, SocketId, SocketOptions};
use clap::Parser;
use naio_bench::account;
use naio_bench::cpu::Snapshot;
use naio_bench::failure::{Failure, conclude};
use naio_bench::fill::FillSizes;
use naio_bench::progress::Progress;
use naio_bench::protocol::{DIGEST_LEN, REQUEST_LEN, Request};
use naio_bench::report::Report;
use naio_bench::sending;
use naio_bench::session::{CardArguments, OutputArguments, Session};
use naio_bench::sha::{self, Verifier};
use naio_bench::size::Size;
use naio_sys::mark::{RUN_BEGINS, RUN_ENDS, mark};
use std::net::SocketAddr;
use std::process::ExitCode;

/// Receive buffers that are believed to be meant.
const BUFFERS_MAX: usize = 4096;

/// Cookies: what a completion belongs to.
const REQUEST: u64 = 1;
const RECEIVE: u64 = 2;

/// Receives --size bytes from naio-remote through a card of its own and says what that cost.
///
///   other$ naio-remote
///   here#  naio-recv --device vfio:0000:00:02.0 --address 10.9.0.2/24 --remote 10.9.0.1:5001
///
/// The card must be bound to vfio-pci; a wrong state of the machine is explained. Root is needed only for what
/// VFIO needs it for: the group's device file and locked memory. Compare the figures with sync-recv's over the
/// same cable. Without --sha256 nothing looks at the bytes.
///
/// NAIO_LOG=debug in the environment logs on standard error what the stack decides.
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment)]
struct Arguments {
    #[command(flatten)]
    card: CardArguments,
    /// Source port of a naio-remote.
    #[arg(long, default_value = "10.9.0.1:5001")]
    remote: SocketAddr,
    /// Payload to receive.
    #[arg(long, default_value_t = Size(256 << 20))]
    size: Size,
    /// Bytes of each receive buffer.
    #[arg(long, default_value_t = Size(64 << 10))]
    buffer: Size,
    /// Receives posted at a time.
    #[arg(long, default_value_t = 8)]
    buffers: usize,
    /// Do not copy: look at the bytes where the card wrote them.
    #[arg(long)]
    lent: bool,
    /// Receive ring of the socket: the largest window. Rounded up to a legal size.
    #[arg(long, default_value_t = Size(1 << 20))]
    ring: Size,
    /// Hash the payload and compare with the remote's hash; costs more than receiving does.
    #[arg(long)]
    sha256: bool,
    #[command(flatten)]
    output: OutputArguments,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    conclude(run(&arguments), arguments.output.json)
}

fn run(arguments: &Arguments) -> Result<Report, Failure> {
    let ring = sending::length("--ring", arguments.ring)?;
    let options = SocketOptions { rx_ring: RingLen::at_least(ring), ..SocketOptions::default() };
    let mut session = Session::open(&arguments.card, &arguments.remote.to_string())?;
    let socket = session.connect(1, arguments.remote, options)?.remove(0);
    Transfer { session, socket }.receive(arguments)
}

/// A connected socket and the queue it belongs to.
struct Transfer {
    session: Session,
    socket: SocketId,
}

impl Transfer {
    fn receive(&mut self, arguments: &Arguments) -> Result<Report, Failure> {
        let payload = arguments.size.0;
        let expected = payload + if arguments.sha256 { DIGEST_LEN as u64 } else { 0 };
        let mut verifier = arguments.sha256.then(|| Verifier::new(payload));
        let mut progress = Progress::new(arguments.output.progress, payload);
        let mut fills = FillSizes::new(arguments.buffer.0);
        let lent_len = sending::length("--buffer", arguments.buffer)?;
        let request = self.prepare(arguments)?;

        let counters = self.session.queue.counters();
        let before = Snapshot::take();
        mark::<RUN_BEGINS>();
        self.session.queue.send(self.socket, request, 0..REQUEST_LEN, REQUEST).map_err(Failure::submit)?;
        let mut received = 0;
        while received < expected {
            let mut list = self.session.completions()?;
            for done in list.drain(..) {
                done.result.map_err(Failure::operation("the transfer broke off"))?;
                if done.kind != Kind::Recv {
                    continue;
                }
                if let Some(verifier) = &mut verifier {
                    look(verifier, &done);
                }
                received += done.bytes;
                fills.record(done.bytes);
                progress.step(received);
                if done.flags.is_eof() && received < expected {
                    return Err(Failure::EndedEarly { received, expected });
                }
                match done.buffer {
                    Some(buffer) => self.post(buffer)?,
                    None => self.ask(lent_len)?,
                }
            }
            self.session.recycle(list);
        }
        mark::<RUN_ENDS>();
        let usage = Snapshot::take().since(&before);

        let mut report = Report::new("naio-recv", payload, &usage);
        report.calls = fills.count();
        report.bytes_per_completion = Some(fills.summary());
        if let Some((digest, right)) = verifier.map(Verifier::finish) {
            report.sha256 = Some(sha::hex(&digest));
            report.sha256_ok = Some(right);
        }
        account::between(&mut report, &counters, &self.session.queue.counters());
        self.session.finish(&[self.socket])?;
        report.counters = account::by_name(&self.session.queue.counters());
        Ok(report)
    }

    /// Posts every receive and makes the request.
    fn prepare(&mut self, arguments: &Arguments) -> Result<Buffer, Failure> {
        let len = sending::length("--buffer", arguments.buffer)?;
        if !(1..=BUFFERS_MAX).contains(&arguments.buffers) {
            return Err(Failure::Usage(format!("--buffers must be 1 to {BUFFERS_MAX}")));
        }
        if arguments.lent {
            (0..arguments.buffers).try_for_each(|_| self.ask(len))?;
        } else {
            for buffer in self.session.queue.buffers(arguments.buffers, len).map_err(Failure::submit)? {
                self.post(buffer)?;
            }
        }
        let mut request = self.session.queue.buffers(1, REQUEST_LEN).map_err(Failure::submit)?.remove(0);
        let wanted = Request { bytes: arguments.size.0, sha256: arguments.sha256 };
        request.copy_from_slice(&wanted.encode());
        Ok(request)
    }

    /// Asks for bytes to be lent.
    fn ask(&mut self, most: usize) -> Result<(), Failure> {
        let asked = self.session.queue.recv_lent(self.socket, most, RecvOptions::default(), RECEIVE);
        asked.map(drop).map_err(Failure::submit)
    }

    fn post(&mut self, buffer: Buffer) -> Result<(), Failure> {
        let posted = self.session.queue.recv(self.socket, buffer, RecvOptions::default(), RECEIVE);
        posted.map(drop).map_err(Failure::submit)
    }
}

/// Hashes what was received, wherever it lies.
fn look(verifier: &mut Verifier, done: &Completion) {
    if let Some(buffer) = &done.buffer {
        verifier.update(&buffer[..done.bytes as usize]);
    }
    done.lent.iter().flat_map(|lent| lent.parts()).for_each(|part| verifier.update(part));
}
