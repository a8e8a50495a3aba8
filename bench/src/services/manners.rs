//! A TCP server that behaves as its client asks: the first byte of a connection says how. What became of connections
//! that end badly can be asked for on another one. And a UDP echo (RFC 862) on the same port.
//!
//! Receives connections and datagrams, hands on what [`Manner`] says. Each connection is a thread; their number is bounded.

use super::{LOOK_EVERY, say};
use core::time::Duration;
use naio_sys::clock;
use rustix::net::{AddressFamily, SocketType, sockopt};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Port of both.
pub const PORT: u16 = 5010;
/// Nobody has this one: connections to it are refused.
pub const CLOSED_PORT: u16 = 5011;
/// What [`Manner::Count`] answers, before the number.
pub const ANSWER_LEN: usize = 100_000;
/// Local port of [`Manner::Call`]: both calls come from the same.
pub const CALLER_PORT: u16 = 5012;
/// Connections at a time.
const CONNECTIONS_MAX: usize = 64;
/// A silent client is left after this.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How long [`Manner::Stall`] reads nothing.
const STALL: Duration = Duration::from_secs(4);
/// How long an outcome is waited for, and a port that is still in use.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a connection is treated, by its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Manner {
    /// Every byte comes back.
    Echo = b'e',
    /// Reads to the end, and only then sends [`ANSWER_LEN`] bytes and the number of those it has read (u64, little-endian).
    Count = b'c',
    /// Ends its own half at once, then reads to the end; the outcome says how much.
    EndFirst = b'f',
    /// Resets the connection.
    Reset = b'r',
    /// Reads nothing for some seconds, then to the end; the outcome says how much.
    Stall = b's',
    /// Says what became of the last connection that has an outcome, and ends.
    Outcome = b'o',
    /// The two bytes that follow are a port (little-endian): connects there twice, the second time from the same port as
    /// soon as the first connection is over, and reads each to its end.
    Call = b'k',
    /// The same port, called by [`CROWD`] clients at once, each from a port of its own, who read to their ends.
    Crowd = b'm',
}

/// Clients of [`Manner::Crowd`].
pub const CROWD: usize = 4;

impl Manner {
    /// All of them.
    const ALL: [Manner; 8] = [
        Manner::Echo,
        Manner::Count,
        Manner::EndFirst,
        Manner::Reset,
        Manner::Stall,
        Manner::Outcome,
        Manner::Call,
        Manner::Crowd,
    ];

    /// The byte that asks for it.
    #[must_use]
    pub fn byte(self) -> u8 {
        self as u8
    }

    fn of(byte: u8) -> Option<Manner> {
        Manner::ALL.into_iter().find(|manner| manner.byte() == byte)
    }
}

/// What became of the last connection that has an outcome, until somebody asks.
type Outcome = Arc<Mutex<Option<String>>>;

/// Serves until the listener fails.
///
/// # Errors
/// The listener's.
pub fn serve(listener: &TcpListener) -> io::Result<()> {
    let (active, outcome) = (Arc::new(AtomicUsize::new(0)), Outcome::default());
    loop {
        let (stream, peer) = listener.accept()?;
        if active.load(Ordering::Relaxed) >= CONNECTIONS_MAX {
            continue;
        }
        active.fetch_add(1, Ordering::Relaxed);
        let (active, outcome) = (Arc::clone(&active), Arc::clone(&outcome));
        std::thread::spawn(move || {
            if let Err(error) = treat(stream, peer.ip(), &outcome) {
                say(&format!("{peer}: {error}"));
            }
            active.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// Sends each datagram back, until the socket fails.
///
/// # Errors
/// The socket's.
pub fn echo_datagrams(socket: &UdpSocket) -> io::Result<()> {
    let mut datagram = vec![0; 1 << 16];
    loop {
        match socket.recv_from(&mut datagram) {
            Ok((len, from)) => {
                let _ = socket.send_to(&datagram[..len], from);
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(error) => return Err(error),
        }
    }
}

fn treat(mut stream: TcpStream, peer: IpAddr, outcome: &Outcome) -> io::Result<()> {
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    stream.set_write_timeout(Some(SILENCE_MAX))?;
    let mut first = [0];
    stream.read_exact(&mut first)?;
    match Manner::of(first[0]) {
        Some(Manner::Echo) => {
            let mut reader = stream.try_clone()?;
            io::copy(&mut reader, &mut stream)?;
            stream.shutdown(Shutdown::Write)
        }
        Some(Manner::Count) => {
            let count = io::copy(&mut stream, &mut io::sink())?;
            stream.write_all(&answer())?;
            stream.write_all(&count.to_le_bytes())
        }
        Some(Manner::EndFirst) => {
            stream.shutdown(Shutdown::Write)?;
            tell(outcome, ended(&mut stream));
            Ok(())
        }
        Some(Manner::Reset) => Ok(sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?),
        Some(Manner::Stall) => {
            std::thread::sleep(STALL);
            tell(outcome, ended(&mut stream));
            Ok(())
        }
        Some(Manner::Outcome) => stream.write_all(await_outcome(outcome).as_bytes()),
        Some(Manner::Crowd) => {
            let to = port_of(&mut stream, peer)?;
            let clients = [(); CROWD].map(|()| std::thread::spawn(move || call(0, to)));
            let ends = clients.map(|client| match client.join() {
                Ok(Ok(end)) => end,
                Ok(Err(error)) => error.to_string(),
                Err(_) => "a client's thread died".to_owned(),
            });
            tell(outcome, ends.join("; "));
            Ok(())
        }
        Some(Manner::Call) => {
            let to = port_of(&mut stream, peer)?;
            let calls = [(); 2].map(|()| call(CALLER_PORT, to).unwrap_or_else(|error| error.to_string()));
            tell(outcome, calls.join("; "));
            Ok(())
        }
        None => Err(io::Error::new(io::ErrorKind::InvalidData, "its first byte means nothing")),
    }
}

/// The bytes that [`Manner::Count`] sends.
#[must_use]
pub fn answer() -> Vec<u8> {
    let mut bytes = vec![0; ANSWER_LEN];
    fastrand::Rng::with_seed(ANSWER_LEN as u64).fill(&mut bytes);
    bytes
}

/// Reads to the end and says how that was.
fn ended(stream: &mut TcpStream) -> String {
    let mut bytes = vec![0; 1 << 16];
    let mut count = 0;
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return format!("{count} bytes, ended"),
            Ok(len) => count += len,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                return format!("{count} bytes, reset");
            }
            Err(error) => return format!("{count} bytes, {error}"),
        }
    }
}

/// The port that a client names, of its own host.
fn port_of(stream: &mut TcpStream, peer: IpAddr) -> io::Result<SocketAddr> {
    let mut port = [0; 2];
    stream.read_exact(&mut port)?;
    Ok(SocketAddr::new(peer, u16::from_le_bytes(port)))
}

/// One call from this port, or from any if it is 0.
fn call(from: u16, to: SocketAddr) -> io::Result<String> {
    let start = clock::now();
    let mut stream = loop {
        match connect_from(from, to) {
            Ok(stream) => break stream,
            // The last connection has not quite ended yet.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable)
                    && clock::now().since(start) < PATIENCE =>
            {
                std::thread::sleep(LOOK_EVERY);
            }
            Err(error) => return Err(error),
        }
    };
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    Ok(ended(&mut stream))
}

fn connect_from(port: u16, to: SocketAddr) -> io::Result<TcpStream> {
    let (family, local) = match to {
        SocketAddr::V4(_) => (AddressFamily::INET, SocketAddr::from(([0, 0, 0, 0], port))),
        SocketAddr::V6(_) => (AddressFamily::INET6, SocketAddr::from(([0u16; 8], port))),
    };
    let socket = rustix::net::socket(family, SocketType::STREAM, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &local)?;
    rustix::net::connect(&socket, &to)?;
    Ok(TcpStream::from(socket))
}

fn tell(outcome: &Outcome, text: String) {
    say(&text);
    if let Ok(mut outcome) = outcome.lock() {
        *outcome = Some(text);
    }
}

fn await_outcome(outcome: &Outcome) -> String {
    let start = clock::now();
    while clock::now().since(start) < PATIENCE {
        let told = outcome.lock().ok().and_then(|mut outcome| outcome.take());
        if let Some(text) = told {
            return text;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    "no outcome".to_owned()
}
