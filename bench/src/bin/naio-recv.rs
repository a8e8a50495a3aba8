//! The asynchronous arm: pulls N bytes with receives posted ahead, through naio's own driver and stack.
//!
//! The clock and the marks stand where `sync-recv` has them: begin before the request is sent, end after the
//! last payload byte (and behind the hash, if one was asked for).
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a command prints its results")]

use aio_api::{
    Buffer, BuildError, Builder, CardOptions, Cidr, Completion, EventQueue, Kind, Pace, RecvOptions, RingLen,
    SocketId, SocketOptions, Wait,
};
use clap::Parser;
use naio_bench::account;
use naio_bench::cpu::Snapshot;
use naio_bench::fill::FillSizes;
use naio_bench::progress::Progress;
use naio_bench::protocol::{DIGEST_LEN, REQUEST_LEN, Request};
use naio_bench::report::Report;
use naio_bench::sha::{self, Verifier};
use naio_bench::size::Size;
use naio_sys::mark::{RUN_BEGINS, RUN_ENDS, mark};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

/// How long the connection may take to open.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How long the remote may be silent. Long, because it hashes the payload before it sends a trailer.
const SILENCE_LIMIT: Duration = Duration::from_secs(120);
/// How long the end of the connection may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);
/// Receive buffers that are believed to be meant.
const BUFFERS_MAX: usize = 4096;
const BUFFER_MAX: u64 = 1 << 30;

/// Cookies: what a completion belongs to.
const CONNECT: u64 = 1;
const REQUEST: u64 = 2;
const RECEIVE: u64 = 3;
const CLOSE: u64 = 4;

/// Receives --size bytes from naio-remote through a card of its own and says what that cost.
///
///   other$ naio-remote
///   here#  naio-recv --device vfio:0000:00:02.0 --address 10.9.0.2/24 --remote 10.9.0.1:5001
///
/// The card must be bound to vfio-pci; a wrong state of the machine is explained. Root is needed only for what
/// VFIO needs it for: the group's device file and locked memory. Compare the figures with sync-recv's over the
/// same cable. Without --sha256 nothing looks at the bytes.
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment)]
struct Arguments {
    /// The card.
    #[arg(long, default_value = "vfio:0000:00:02.0")]
    device: String,
    /// Address of this side and length of the network's prefix.
    #[arg(long, default_value = "10.9.0.2/24")]
    address: Cidr,
    /// Router for other networks.
    #[arg(long)]
    gateway: Option<Ipv4Addr>,
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
    /// Receive ring of the socket: the largest window. Rounded up to a legal size.
    #[arg(long, default_value_t = Size(1 << 20))]
    ring: Size,
    /// Receive descriptors of the card, 80 to 4096.
    #[arg(long)]
    rx_ring: Option<u32>,
    /// Microseconds that frames may gather under load.
    #[arg(long, default_value_t = 50)]
    coalesce_us: u64,
    /// Keep the CPU in turns that find nothing.
    #[arg(long)]
    no_yield: bool,
    /// Hash the payload and compare with the remote's hash; costs more than receiving does.
    #[arg(long)]
    sha256: bool,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// Say every second on standard error how far it is.
    #[arg(long)]
    progress: bool,
    /// Accepted for symmetry: the marks are always there and cost nothing.
    #[arg(long, hide = true)]
    marks: bool,
    /// Go on answering (ping, ARP) for so many seconds after the transfer, before the report.
    #[arg(long, default_value_t = 0)]
    linger: u64,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Usage(&'static str),
    #[error("cannot open {device}: {source}")]
    Open { device: String, source: BuildError },
    #[error("{0}")]
    Submit(String),
    #[error("{what}: {source}")]
    Operation { what: &'static str, source: aio_api::OpError },
    #[error("nothing was heard from {remote} for {} s", .within.as_secs())]
    Silence { remote: SocketAddr, within: Duration },
    #[error("the remote ended after {received} of {expected} bytes")]
    EndedEarly { received: u64, expected: u64 },
    #[error(transparent)]
    Wait(#[from] aio_api::WaitError),
    #[error("cannot write the report: {0}")]
    Report(#[from] serde_json::Error),
}

impl Failure {
    fn help(&self) -> Option<String> {
        match self {
            Failure::Open { source, .. } => source.help(),
            Failure::Operation { .. } | Failure::Silence { .. } | Failure::EndedEarly { .. } => {
                Some("is naio-remote running there, and does the address answer a ping?".into())
            }
            _ => None,
        }
    }
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("error: the payload's SHA-256 is not what the remote sent");
            ExitCode::FAILURE
        }
        Err(failure) => {
            eprintln!("error: {failure}");
            let mut cause = std::error::Error::source(&failure).and_then(|e| e.source());
            while let Some(deeper) = cause {
                eprintln!("  because: {deeper}");
                cause = deeper.source();
            }
            if let Some(help) = failure.help() {
                eprintln!("help: {help}");
            }
            ExitCode::FAILURE
        }
    }
}

/// Runs the transfer and prints the report; false if the hash differs.
fn run(arguments: &Arguments) -> Result<bool, Failure> {
    let mut transfer = Transfer::connect(arguments)?;
    let report = transfer.receive(arguments)?;
    if arguments.json {
        println!("{}", report.to_json()?);
    } else {
        print!("{report}");
    }
    Ok(report.sha256_ok != Some(false))
}

/// A connected socket and the queue it belongs to.
struct Transfer {
    queue: EventQueue,
    socket: SocketId,
    remote: SocketAddr,
    completions: Vec<Completion>,
}

impl Transfer {
    fn connect(arguments: &Arguments) -> Result<Transfer, Failure> {
        let remote = arguments.remote;
        let mut queue = open(arguments)?;
        let ring = usize::try_from(arguments.ring.0).map_err(|_| Failure::Usage("--ring is too large"))?;
        let options = SocketOptions { rx_ring: RingLen::at_least(ring), ..SocketOptions::default() };
        let socket = queue.socket(options).map_err(submit)?;
        queue.connect(socket, remote, CONNECT).map_err(submit)?;
        let mut transfer = Transfer { queue, socket, remote, completions: Vec::new() };
        let connected = transfer.next(CONNECT_WITHIN)?;
        connected.result.map_err(|source| Failure::Operation { what: "cannot connect", source })?;
        Ok(transfer)
    }

    fn receive(&mut self, arguments: &Arguments) -> Result<Report, Failure> {
        let payload = arguments.size.0;
        let expected = payload + if arguments.sha256 { DIGEST_LEN as u64 } else { 0 };
        let mut verifier = arguments.sha256.then(|| Verifier::new(payload));
        let mut progress = Progress::new(arguments.progress, payload);
        let mut fills = FillSizes::new(arguments.buffer.0);
        let request = self.prepare(arguments)?;

        let counters = self.queue.counters();
        let before = Snapshot::take();
        mark::<RUN_BEGINS>();
        self.queue.send(self.socket, request, 0..REQUEST_LEN, REQUEST).map_err(submit)?;
        let mut received = 0;
        while received < expected {
            self.wait(SILENCE_LIMIT)?;
            for done in std::mem::take(&mut self.completions).drain(..) {
                done.result
                    .map_err(|source| Failure::Operation { what: "the transfer broke off", source })?;
                if done.kind != Kind::Recv {
                    continue;
                }
                let Some(buffer) = done.buffer else { continue };
                if let Some(verifier) = &mut verifier {
                    verifier.update(&buffer[..done.bytes as usize]);
                }
                received += done.bytes;
                fills.record(done.bytes);
                progress.step(received);
                if done.flags.is_eof() && received < expected {
                    return Err(Failure::EndedEarly { received, expected });
                }
                self.post(buffer)?;
            }
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
        let after = self.queue.counters();
        account::between(&mut report, &counters, &after);
        self.finish(arguments)?;
        let end = self.queue.counters();
        report.counters = account::by_name(&end);
        Ok(report)
    }

    /// Posts every receive and makes the request.
    fn prepare(&mut self, arguments: &Arguments) -> Result<Buffer, Failure> {
        let len = usize::try_from(arguments.buffer.0).ok().filter(|_| arguments.buffer.0 <= BUFFER_MAX);
        let len = len.filter(|len| *len > 0).ok_or(Failure::Usage("--buffer must be 1 byte to 1 GiB"))?;
        if !(1..=BUFFERS_MAX).contains(&arguments.buffers) {
            return Err(Failure::Usage("--buffers must be 1 to 4096"));
        }
        for buffer in self.queue.buffers(arguments.buffers, len).map_err(submit)? {
            self.post(buffer)?;
        }
        let mut request = self.queue.buffers(1, REQUEST_LEN).map_err(submit)?.remove(0);
        let wanted = Request { bytes: arguments.size.0, sha256: arguments.sha256 };
        request.copy_from_slice(&wanted.encode());
        Ok(request)
    }

    fn post(&mut self, buffer: Buffer) -> Result<(), Failure> {
        self.queue.recv(self.socket, buffer, RecvOptions::default(), RECEIVE).map(drop).map_err(submit)
    }

    /// Closes in order, then goes on answering for as long as was asked.
    fn finish(&mut self, arguments: &Arguments) -> Result<(), Failure> {
        self.queue.close(self.socket, CLOSE).map_err(submit)?;
        let mut closed = false;
        while !closed {
            self.completions.clear();
            self.wait(CLOSE_WITHIN)?;
            closed = self.completions.iter().any(|done| done.user_data == CLOSE);
        }
        self.completions.clear();
        if arguments.linger > 0 {
            let end = self.queue.timeout(Duration::from_secs(arguments.linger), 0).map_err(submit)?;
            while !self.completions.iter().any(|done| done.key == end) {
                self.queue.wait(&mut self.completions, Wait::for_one())?;
            }
        }
        Ok(())
    }

    /// Waits for at least one completion, or says that nobody answers.
    fn wait(&mut self, within: Duration) -> Result<(), Failure> {
        match self.queue.wait(&mut self.completions, Wait::for_one().within(within))? {
            0 => Err(Failure::Silence { remote: self.remote, within }),
            _ => Ok(()),
        }
    }

    fn next(&mut self, within: Duration) -> Result<Completion, Failure> {
        self.wait(within)?;
        Ok(self.completions.remove(0))
    }
}

fn open(arguments: &Arguments) -> Result<EventQueue, Failure> {
    let pace = Pace {
        rx_coalesce: Duration::from_micros(arguments.coalesce_us),
        yield_when_empty: !arguments.no_yield,
    };
    let card = CardOptions { rx_ring: arguments.rx_ring, ..CardOptions::default() };
    let mut builder = Builder::new(arguments.address).pace(pace).card(card);
    if let Some(gateway) = arguments.gateway {
        builder = builder.gateway(gateway);
    }
    builder
        .open(&arguments.device)
        .map_err(|source| Failure::Open { device: arguments.device.clone(), source })
}

fn submit(error: impl std::error::Error) -> Failure {
    Failure::Submit(error.to_string())
}
