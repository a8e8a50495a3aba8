//! The sink port: reads what clients send and answers with its length, and its SHA-256 when asked.
//!
//! One thread and one epoll instance for all connections, so that ten senders cost ten sockets and not ten
//! threads. The table of connections is bounded and every connection has an idle deadline.

use crate::protocol::{DIGEST_LEN, REQUEST_LEN, Request};
use crate::sha::Hasher;
use crate::source::{IDLE_LIMIT, Limits, ServeError, Served};
use core::time::Duration;
use naio_sys::clock::{self, Time};
use rustix::event::{Timespec, epoll};
use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::mpsc::Sender;

const LISTENER: u64 = 0;
/// Most events taken from one wait.
const EVENTS: usize = 64;
/// One read; also what one connection may take before the next has its turn.
const READ_CHUNK: usize = 1 << 18;
/// How often idle connections are looked for.
const SWEEP: Duration = Duration::from_secs(1);
/// Answer: u64 length and, if asked, a SHA-256.
const ANSWER_MAX: usize = 8 + DIGEST_LEN;

/// What one connection waits for.
enum Stage {
    Request { wire: [u8; REQUEST_LEN], filled: usize },
    Payload { hasher: Option<Hasher> },
    Answer { wire: [u8; ANSWER_MAX], len: usize, sent: usize },
}

struct Connection {
    stream: TcpStream,
    peer: String,
    stage: Stage,
    bytes: u64,
    last_active: Time,
}

/// What a readiness event led to.
enum Step {
    Waiting,
    Done,
}

struct Sink<'a> {
    epoll: OwnedFd,
    connections: HashMap<u64, Connection>,
    next_key: u64,
    limits: Limits,
    served: &'a Sender<Served>,
    chunk: Vec<u8>,
}

/// Serves `listener` until the receiver of `served` is gone.
///
/// # Errors
/// epoll cannot be set up or fails; errors of one connection are reported through `served` instead.
pub fn serve(listener: &TcpListener, limits: Limits, served: &Sender<Served>) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)?;
    let connections = HashMap::new();
    let mut sink =
        Sink { epoll, connections, next_key: LISTENER + 1, limits, served, chunk: vec![0; READ_CHUNK] };
    let timeout = Timespec { tv_sec: SWEEP.as_secs().cast_signed(), tv_nsec: 0 };
    let mut events = Vec::with_capacity(EVENTS);
    loop {
        events.clear();
        match epoll::wait(&sink.epoll, rustix::buffer::spare_capacity(&mut events), Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let now = clock::now();
        for event in &events {
            let alive = match event.data.u64() {
                LISTENER => sink.accept(listener, now)?,
                key => sink.advance(key, now),
            };
            if !alive {
                return Ok(());
            }
        }
        if !sink.sweep(now) {
            return Ok(());
        }
    }
}

impl Sink<'_> {
    /// Takes one waiting connection. Returns whether anybody still wants to hear of results.
    fn accept(&mut self, listener: &TcpListener, now: Time) -> io::Result<bool> {
        let (stream, peer) = match listener.accept() {
            Ok((stream, peer)) => (stream, peer.to_string()),
            // The peer went away between the event and the accept, or descriptors ran out: the event repeats.
            Err(_) => return Ok(true),
        };
        if self.connections.len() >= self.limits.connections {
            return Ok(self.tell(peer, Err(ServeError::Busy(self.limits.connections))));
        }
        stream.set_nonblocking(true)?;
        let key = self.next_key;
        self.next_key += 1;
        epoll::add(&self.epoll, &stream, epoll::EventData::new_u64(key), epoll::EventFlags::IN)?;
        let stage = Stage::Request { wire: [0; REQUEST_LEN], filled: 0 };
        self.connections.insert(key, Connection { stream, peer, stage, bytes: 0, last_active: now });
        Ok(true)
    }

    /// Moves one connection as far as one event allows. Returns whether anybody still wants to hear of results.
    fn advance(&mut self, key: u64, now: Time) -> bool {
        // An event may be older than the closing of its connection.
        let Some(connection) = self.connections.get_mut(&key) else { return true };
        connection.last_active = now;
        let was_answering = matches!(connection.stage, Stage::Answer { .. });
        match connection.step(&mut self.chunk, self.limits.bytes) {
            Ok(Step::Waiting) => {
                if !was_answering && matches!(connection.stage, Stage::Answer { .. }) {
                    let data = epoll::EventData::new_u64(key);
                    if let Err(error) =
                        epoll::modify(&self.epoll, &connection.stream, data, epoll::EventFlags::OUT)
                    {
                        return self.close(key, Err(io::Error::from(error).into()));
                    }
                }
                true
            }
            Ok(Step::Done) => {
                let bytes = connection.bytes;
                self.close(key, Ok(bytes))
            }
            Err(error) => self.close(key, Err(error)),
        }
    }

    fn sweep(&mut self, now: Time) -> bool {
        let idle = |c: &Connection| now.since(c.last_active) > IDLE_LIMIT;
        let keys: Vec<u64> = self.connections.iter().filter(|(_, c)| idle(c)).map(|(key, _)| *key).collect();
        let timeout = || ServeError::Io(io::Error::new(io::ErrorKind::TimedOut, "the peer was silent"));
        keys.into_iter().all(|key| self.close(key, Err(timeout())))
    }

    fn close(&mut self, key: u64, outcome: Result<u64, ServeError>) -> bool {
        match self.connections.remove(&key) {
            // Dropping the stream closes it, which also takes it out of the epoll set.
            Some(connection) => self.tell(connection.peer, outcome),
            None => true,
        }
    }

    fn tell(&self, peer: String, outcome: Result<u64, ServeError>) -> bool {
        self.served.send(Served { port: "sink", peer, outcome }).is_ok()
    }
}

impl Connection {
    fn step(&mut self, chunk: &mut [u8], max_bytes: u64) -> Result<Step, ServeError> {
        match &mut self.stage {
            Stage::Request { wire, filled } => {
                let Some(n) = unless_would_block(self.stream.read(&mut wire[*filled..]))? else {
                    return Ok(Step::Waiting);
                };
                if n == 0 {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                }
                *filled += n;
                if *filled == REQUEST_LEN {
                    let hasher = Request::decode(wire)?.sha256.then(Hasher::new);
                    self.stage = Stage::Payload { hasher };
                }
                Ok(Step::Waiting)
            }
            Stage::Payload { hasher } => {
                let Some(n) = unless_would_block(self.stream.read(chunk))? else { return Ok(Step::Waiting) };
                self.bytes += n as u64;
                if self.bytes > max_bytes {
                    return Err(ServeError::TooMuch { asked: self.bytes, limit: max_bytes });
                }
                if n > 0 {
                    if let Some(hasher) = hasher {
                        hasher.update(&chunk[..n]);
                    }
                    return Ok(Step::Waiting);
                }
                let hasher = hasher.take();
                self.stage = answer(self.bytes, hasher);
                Ok(Step::Waiting)
            }
            Stage::Answer { wire, len, sent } => {
                let Some(n) = unless_would_block(self.stream.write(&wire[*sent..*len]))? else {
                    return Ok(Step::Waiting);
                };
                *sent += n;
                Ok(if sent == len { Step::Done } else { Step::Waiting })
            }
        }
    }
}

fn answer(bytes: u64, hasher: Option<Hasher>) -> Stage {
    let mut wire = [0; ANSWER_MAX];
    wire[..8].copy_from_slice(&bytes.to_le_bytes());
    let len = match hasher {
        Some(hasher) => {
            wire[8..].copy_from_slice(&hasher.finish());
            ANSWER_MAX
        }
        None => 8,
    };
    Stage::Answer { wire, len, sent: 0 }
}

/// A call on a non-blocking socket; `None` means later.
pub(crate) fn unless_would_block(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(n) => Ok(Some(n)),
        Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(None),
        Err(e) => Err(e),
    }
}
