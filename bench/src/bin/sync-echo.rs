//! A client of an echo server, on kernel sockets: connections that are held, one bulk transfer, and short connections
//! that come and go meanwhile. Every byte that comes back is compared.
#![forbid(unsafe_code)]

use clap::Parser;
use naio_bench::cpu::Snapshot;
use naio_bench::failure::{Failure, conclude};
use naio_bench::kernel_sender::connect;
use naio_bench::report::Report;
use naio_bench::session::OutputArguments;
use naio_bench::size::Size;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

/// How long the server may be silent.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);
/// Bytes of a short message: an odd number, below every MSS.
const MESSAGE_LEN: u64 = 499;
/// One write of the bulk transfer.
const CHUNK: usize = 1 << 16;
/// How long the answer to a datagram may take, and how often one is sent.
const DATAGRAM_LIMIT: Duration = Duration::from_secs(1);
const DATAGRAM_TRIES: u32 = 10;
/// Most payload of a datagram over IPv4 (RFC 768, RFC 791): 65 535 with both headers.
const DATAGRAM_MAX: i64 = 65_535 - 28;
/// Connections that are believed to be meant.
const CONNECTIONS_MAX: u64 = 100_000;

/// Talks to an echo server over many connections and compares every byte.
///
///   here#  naio-echo --device vfio:0000:00:02.0 --address 10.9.0.2/24 --port 5003
///   other$ sync-echo --remote 10.9.0.2:5003 --held 50 --churn 200 --bulk 16MiB
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment)]
struct Arguments {
    /// The server.
    #[arg(long, default_value = "10.9.0.2:5003")]
    remote: SocketAddr,
    /// Connections that stay open from the beginning to the end.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(..=CONNECTIONS_MAX))]
    held: u64,
    /// Connections that are opened and closed meanwhile, one after the other.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(..=CONNECTIONS_MAX))]
    churn: u64,
    /// Payload of the bulk transfer that runs meanwhile, on a connection of its own.
    #[arg(long, default_value_t = Size(16 << 20))]
    bulk: Size,
    /// Datagrams to be sent to the same port, one after the other, when the connections are over.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=CONNECTIONS_MAX))]
    datagrams: u64,
    /// Bytes of the datagrams, in turn; those beyond the MTU travel in fragments.
    #[arg(long, value_delimiter = ',', default_value = "499",
          value_parser = clap::value_parser!(u16).range(1..=DATAGRAM_MAX))]
    datagram_sizes: Vec<u16>,
    #[command(flatten)]
    output: OutputArguments,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    conclude(run(&arguments), arguments.output.json)
}

fn run(arguments: &Arguments) -> Result<Report, Failure> {
    let before = Snapshot::take();
    let mut held = (0..arguments.held)
        .map(|seed| open(arguments.remote).and_then(|mut s| exchange(&mut s, seed).map(|()| s)))
        .collect::<io::Result<Vec<_>>>()
        .map_err(Failure::io("a connection that is to be held"))?;
    let (remote, bulk_bytes) = (arguments.remote, arguments.bulk.0);
    let bulk = thread::spawn(move || bulk(remote, bulk_bytes));
    for seed in 0..arguments.churn {
        open(remote)
            .and_then(|mut s| exchange(&mut s, seed).and_then(|()| end(&mut s)))
            .map_err(Failure::io(format!("short connection {seed}")))?;
    }
    let bulk = bulk.join().unwrap_or_else(|_| Err(io::Error::other("its thread died")));
    bulk.map_err(Failure::io("the bulk transfer"))?;
    for (seed, stream) in held.iter_mut().enumerate() {
        exchange(stream, !(seed as u64))
            .and_then(|()| end(stream))
            .map_err(Failure::io(format!("held connection {seed}")))?;
    }
    let sizes = arguments.datagram_sizes.iter().cycle().map(|size| usize::from(*size));
    let sizes: Vec<usize> = sizes.take(arguments.datagrams as usize).collect();
    datagrams(remote, &sizes).map_err(Failure::io("a datagram"))?;
    let usage = Snapshot::take().since(&before);
    let messages = 2 * arguments.held + arguments.churn;
    let datagram_bytes = sizes.iter().sum::<usize>() as u64;
    let mut report = Report::new("sync-echo", messages * MESSAGE_LEN + datagram_bytes + bulk_bytes, &usage);
    report.calls = arguments.held + arguments.churn + u64::from(bulk_bytes > 0);
    Ok(report)
}

fn open(remote: SocketAddr) -> io::Result<TcpStream> {
    let stream = connect(remote)?;
    stream.set_read_timeout(Some(SILENCE_LIMIT))?;
    stream.set_write_timeout(Some(SILENCE_LIMIT))?;
    Ok(stream)
}

/// One message there and back.
fn exchange(stream: &mut TcpStream, seed: u64) -> io::Result<()> {
    let message = bytes(&mut fastrand::Rng::with_seed(seed), MESSAGE_LEN as usize);
    stream.write_all(&message)?;
    let mut answer = vec![0; message.len()];
    stream.read_exact(&mut answer)?;
    if answer == message { Ok(()) } else { Err(io::Error::other("the answer is another message")) }
}

/// Ends our half and waits for the server to end its own.
fn end(stream: &mut TcpStream) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    match stream.read(&mut [0])? {
        0 => Ok(()),
        _ => Err(io::Error::other("the server sent more than it was sent")),
    }
}

/// Sends in one thread and reads in this one: an echo server stops reading while nobody reads from it.
fn bulk(remote: SocketAddr, total: u64) -> io::Result<()> {
    if total == 0 {
        return Ok(());
    }
    let mut stream = open(remote)?;
    let mut sender = stream.try_clone()?;
    let sending = thread::spawn(move || {
        let mut rng = fastrand::Rng::with_seed(total);
        chunks(total).try_for_each(|len| sender.write_all(&bytes(&mut rng, len)))
    });
    let mut rng = fastrand::Rng::with_seed(total);
    let mut answer = vec![0; CHUNK];
    for len in chunks(total) {
        stream.read_exact(&mut answer[..len])?;
        if answer[..len] != bytes(&mut rng, len) {
            return Err(io::Error::other("other bytes came back than were sent"));
        }
    }
    sending.join().unwrap_or_else(|_| Err(io::Error::other("the sending thread died")))?;
    end(&mut stream)
}

/// Sends each datagram until its answer comes: the network may lose them.
fn datagrams(remote: SocketAddr, sizes: &[usize]) -> io::Result<()> {
    let local = if remote.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(local)?;
    socket.connect(remote)?;
    socket.set_read_timeout(Some(DATAGRAM_LIMIT))?;
    let mut answer = vec![0; DATAGRAM_MAX as usize + 1];
    for (seed, len) in sizes.iter().enumerate() {
        let message = bytes(&mut fastrand::Rng::with_seed(seed as u64), *len);
        let answered = (0..DATAGRAM_TRIES).any(|_| {
            let arrived = socket.send(&message).and_then(|_| socket.recv(&mut answer));
            arrived.is_ok_and(|len| answer[..len] == message[..])
        });
        if !answered {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no right answer to datagram {seed} of {len} bytes"),
            ));
        }
    }
    Ok(())
}

/// Lengths of pieces that make up `total`.
fn chunks(total: u64) -> impl Iterator<Item = usize> {
    let piece = move |at: u64| (total - at).min(CHUNK as u64) as usize;
    (0..total).step_by(CHUNK).map(piece)
}

fn bytes(rng: &mut fastrand::Rng, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    rng.fill(&mut bytes);
    bytes
}
