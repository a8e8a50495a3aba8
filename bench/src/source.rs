//! The source port: answers each request with payload straight from the page cache by `sendfile()`.
//!
//! One blocking thread a connection, because a connection is nothing but one long `sendfile()`; the number of
//! threads is bounded. Every wait on a socket has a deadline, so a silent peer costs a thread only so long.

use crate::payload::Payload;
use crate::protocol::{DecodeError, REQUEST_LEN, Request};
use core::time::Duration;
use rustix::fs::sendfile;
use rustix::io::Errno;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;

/// How long a peer may neither send its request nor take a byte before it is given up.
pub const IDLE_LIMIT: Duration = Duration::from_secs(60);
/// Pause after a failed `accept()`, so that running out of descriptors does not become a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How many bytes a peer may still send after its request before the drain gives up on it.
const DRAIN_MAX: u64 = 1 << 20;

/// What both ports are allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections served at the same time on one port.
    pub connections: usize,
    /// Payload bytes of one connection.
    pub bytes: u64,
}

/// What became of one connection, for the log line and for `--once`.
#[derive(Debug)]
pub struct Served {
    /// `"source"` or `"sink"`.
    pub port: &'static str,
    /// Who it was.
    pub peer: String,
    /// Payload bytes moved, or why it ended early.
    pub outcome: Result<u64, ServeError>,
}

/// Why a connection ended before it was done.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The socket or the payload file failed, or the peer was silent for too long.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The peer speaks something else.
    #[error("{0}")]
    Request(#[from] DecodeError),
    /// The peer asks for, or sends, more than one connection may have.
    #[error("{asked} bytes are more than --max-bytes {limit}")]
    TooMuch {
        /// Bytes asked for or sent.
        asked: u64,
        /// The limit.
        limit: u64,
    },
    /// Too many connections at once; this one was closed unserved.
    #[error("more than {0} connections at once (--limit)")]
    Busy(usize),
}

/// Serves `listener` until the receiver of `served` is gone.
pub fn serve(listener: &TcpListener, payload: &Arc<Payload>, limits: Limits, served: &Sender<Served>) {
    let active = Arc::new(AtomicUsize::new(0));
    loop {
        let (stream, peer) = match listener.accept() {
            Ok((stream, peer)) => (stream, peer.to_string()),
            Err(error) => {
                let outcome = Err(error.into());
                if served.send(Served { port: "source", peer: String::new(), outcome }).is_err() {
                    return;
                }
                std::thread::sleep(ACCEPT_PAUSE);
                continue;
            }
        };
        // Only this thread adds, so the count cannot pass the limit between the look and the addition.
        if active.load(Ordering::Relaxed) >= limits.connections {
            let outcome = Err(ServeError::Busy(limits.connections));
            if served.send(Served { port: "source", peer, outcome }).is_err() {
                return;
            }
            continue;
        }
        active.fetch_add(1, Ordering::Relaxed);
        let (payload, served, active) = (Arc::clone(payload), served.clone(), Arc::clone(&active));
        std::thread::spawn(move || {
            let outcome = answer(stream, &payload, limits.bytes);
            active.fetch_sub(1, Ordering::Relaxed);
            // Nobody listens any more when the program is about to end.
            let _ = served.send(Served { port: "source", peer, outcome });
        });
    }
}

/// Serves one connection; returns the payload bytes sent.
fn answer(mut stream: TcpStream, payload: &Payload, max_bytes: u64) -> Result<u64, ServeError> {
    stream.set_read_timeout(Some(IDLE_LIMIT))?;
    stream.set_write_timeout(Some(IDLE_LIMIT))?;
    let mut wire = [0; REQUEST_LEN];
    stream.read_exact(&mut wire)?;
    let request = Request::decode(&wire)?;
    if request.bytes > max_bytes {
        return Err(ServeError::TooMuch { asked: request.bytes, limit: max_bytes });
    }
    send_payload(&stream, payload, request.bytes)?;
    if request.sha256 {
        stream.write_all(&payload.digest(request.bytes)?)?;
    }
    stream.shutdown(Shutdown::Write)?;
    // Closing with unread bytes would send RST and may destroy payload the peer has not read yet.
    io::copy(&mut stream.take(DRAIN_MAX), &mut io::sink())?;
    Ok(request.bytes)
}

fn send_payload(stream: &TcpStream, payload: &Payload, bytes: u64) -> io::Result<()> {
    let (mut left, mut offset) = (bytes, 0u64);
    while left > 0 {
        let piece = usize::try_from(left.min(payload.len() - offset)).unwrap_or(usize::MAX);
        match sendfile(stream, payload.file(), Some(&mut offset), piece) {
            Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the payload file shrank")),
            Ok(sent) => left -= sent as u64,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if offset >= payload.len() {
            offset = 0;
        }
    }
    Ok(())
}
