//! Sending through the kernel: several non-blocking sockets on one epoll, with `send()`, copying or
//! not (`MSG_ZEROCOPY`), or `sendfile()`.
//!
//! The clock and the marks stand where `naio_sender` has them: begin before the requests are sent, end when the
//! sink has answered on every connection.

use crate::cpu::Snapshot;
use crate::failure::Failure;
use crate::payload::Payload;
use crate::progress::Progress;
use crate::protocol::REQUEST_LEN;
use crate::report::Report;
use crate::sending::{self, ANSWER_MAX, SendArguments};
use crate::sha::Hasher;
use crate::sink::unless_would_block;
use crate::zerocopy::{Buffers, Sent};
use naio_sys::clock;
use naio_sys::mark::{RUN_BEGINS, RUN_ENDS, mark};
use naio_sys::zerocopy;
use rustix::event::{Timespec, epoll};
use rustix::fs::sendfile;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

/// How long the connections may take to open, tries included: a kernel NIC that was just bound needs seconds.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Pause between two tries to connect.
const CONNECT_PAUSE: Duration = Duration::from_millis(100);
/// How long nothing at all may happen. Long, because the remote hashes before it answers.
const SILENCE_LIMIT: Duration = Duration::from_secs(120);
/// Seed of the bytes in the buffers.
const SEED: u64 = 0x6e61_696f;

/// Where the bytes come from.
#[derive(Debug)]
pub enum Supply {
    /// `send()` from one buffer a connection, filled once.
    Buffer {
        /// Its bytes.
        len: usize,
    },
    /// `send()` with `MSG_ZEROCOPY` from a few buffers a connection, filled once.
    ZeroCopy {
        /// Bytes of each.
        len: usize,
    },
    /// `sendfile()` from a file, repeated.
    File {
        /// The file.
        payload: Payload,
        /// Most bytes of one call.
        piece: usize,
    },
}

struct Stream {
    socket: TcpStream,
    share: u64,
    left: u64,
    request: [u8; REQUEST_LEN],
    requested: usize,
    buffer: Vec<u8>,
    /// Empty unless sending with `MSG_ZEROCOPY`.
    buffers: Buffers,
    /// Nothing can be sent before a completion has come.
    held: bool,
    hasher: Option<Hasher>,
    answer: [u8; ANSWER_MAX],
    answered: usize,
    done: bool,
}

/// Connects to `remote`, trying again while the way there comes up.
///
/// # Errors
/// The last try's.
pub fn connect(remote: SocketAddr) -> io::Result<TcpStream> {
    let start = clock::now();
    loop {
        let left = CONNECT_LIMIT.saturating_sub(clock::now().since(start));
        match TcpStream::connect_timeout(&remote, left.max(CONNECT_PAUSE)) {
            Ok(stream) => return Ok(stream),
            Err(error) if left.is_zero() => return Err(error),
            Err(_) => std::thread::sleep(CONNECT_PAUSE),
        }
    }
}

/// Sends and says what that cost.
///
/// # Errors
/// [`Failure`].
pub fn run(program: &str, arguments: &SendArguments, supply: &Supply) -> Result<Report, Failure> {
    let mut sender = Sender::open(arguments, supply)?;
    let mut progress = Progress::new(arguments.output.progress, arguments.size.0);

    let before = Snapshot::take();
    mark::<RUN_BEGINS>();
    while sender.unanswered > 0 {
        sender.step()?;
        progress.step(sender.sent);
    }
    mark::<RUN_ENDS>();
    let usage = Snapshot::take().since(&before);

    let mut report = Report::new(program, arguments.size.0, &usage);
    report.calls = sender.calls;
    report.sockets = Some(arguments.sockets);
    if matches!(supply, Supply::ZeroCopy { .. }) {
        let total = |f: &dyn Fn(&Buffers) -> u64| sender.streams.iter().map(|s| f(&s.buffers)).sum();
        report.counters.insert("zerocopy_completed".to_owned(), total(&|b| b.completed));
        report.counters.insert("zerocopy_copied".to_owned(), total(&|b| b.copied));
    }
    for stream in sender.streams {
        let right = stream.check(arguments.sha256, supply)?;
        report.sha256_ok = right.map(|right| right && report.sha256_ok != Some(false));
    }
    Ok(report)
}

struct Sender<'a> {
    remote: SocketAddr,
    answer_len: usize,
    supply: &'a Supply,
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
    streams: Vec<Stream>,
    unanswered: usize,
    calls: u64,
    sent: u64,
}

impl<'a> Sender<'a> {
    /// Connects everything.
    fn open(arguments: &SendArguments, supply: &'a Supply) -> Result<Self, Failure> {
        let remote = arguments.remote;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)
            .map_err(|e| Failure::io("cannot make an epoll instance")(e.into()))?;
        let mut rng = fastrand::Rng::with_seed(SEED);
        let mut streams = Vec::new();
        for share in arguments.shares()? {
            let connected = connect(remote).and_then(|socket| {
                socket.set_nonblocking(true)?;
                let data = epoll::EventData::new_u64(streams.len() as u64);
                epoll::add(&epoll, &socket, data, epoll::EventFlags::OUT)?;
                Ok(socket)
            });
            let socket = connected.map_err(Failure::io(format!("cannot connect to {remote}")))?;
            let (mut buffer, mut buffers) = (Vec::new(), Buffers::default());
            match supply {
                Supply::Buffer { len } => {
                    buffer.resize(*len, 0);
                    rng.fill(&mut buffer);
                }
                Supply::ZeroCopy { len } => {
                    zerocopy::enable(&socket).map_err(Failure::NoZeroCopy)?;
                    buffers = Buffers::new(*len, &mut rng);
                }
                Supply::File { .. } => {}
            }
            let request = arguments.request().encode();
            let hasher = (arguments.sha256 && !matches!(supply, Supply::File { .. })).then(Hasher::new);
            let (requested, answer, answered, done) = (0, [0; ANSWER_MAX], 0, false);
            let left = share;
            streams.push(Stream {
                socket,
                share,
                left,
                request,
                requested,
                buffer,
                buffers,
                held: false,
                hasher,
                answer,
                answered,
                done,
            });
        }
        let events = Vec::with_capacity(streams.len());
        let (unanswered, answer_len) = (streams.len(), arguments.answer_len());
        Ok(Sender { remote, answer_len, supply, epoll, events, streams, unanswered, calls: 0, sent: 0 })
    }

    /// Waits once and moves every connection that is ready.
    fn step(&mut self) -> Result<(), Failure> {
        let timeout = Timespec { tv_sec: SILENCE_LIMIT.as_secs().cast_signed(), tv_nsec: 0 };
        self.events.clear();
        let waited =
            epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.events), Some(&timeout));
        match waited {
            Ok(0) => return Err(Failure::Silence { peer: self.remote.to_string(), within: SILENCE_LIMIT }),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(self.broke(error.into())),
        }
        for at in 0..self.events.len() {
            let number = self.events[at].data.u64();
            self.advance(number).map_err(|error| self.broke(error))?;
        }
        Ok(())
    }

    fn advance(&mut self, number: u64) -> io::Result<()> {
        let stream = &mut self.streams[number as usize];
        if matches!(self.supply, Supply::ZeroCopy { .. }) {
            stream.buffers.reap(&stream.socket)?;
        }
        let was_held = stream.held;
        if stream.left > 0 || stream.requested < REQUEST_LEN {
            self.sent += stream.send(self.supply, &mut self.calls)?;
            if stream.left == 0 && stream.requested == REQUEST_LEN {
                stream.socket.shutdown(Shutdown::Write)?;
                let data = epoll::EventData::new_u64(number);
                epoll::modify(&self.epoll, &stream.socket, data, epoll::EventFlags::IN)?;
            } else if stream.held != was_held {
                // A completion is an error event, which needs no asking; "writable" would be reported for ever.
                let wanted = if stream.held { epoll::EventFlags::empty() } else { epoll::EventFlags::OUT };
                epoll::modify(&self.epoll, &stream.socket, epoll::EventData::new_u64(number), wanted)?;
            }
            return Ok(());
        }
        if (stream.done || stream.receive(self.answer_len)?) && stream.buffers.is_idle() {
            // Level-triggered: what has ended would be reported for ever.
            epoll::delete(&self.epoll, &stream.socket)?;
            self.unanswered -= 1;
        }
        Ok(())
    }

    fn broke(&self, source: io::Error) -> Failure {
        Failure::io(format!("the transfer to {} broke off", self.remote))(source)
    }
}

impl Stream {
    /// Sends until the kernel takes no more or everything is sent; returns the payload bytes.
    fn send(&mut self, supply: &Supply, calls: &mut u64) -> io::Result<u64> {
        let before = self.left;
        while self.requested < REQUEST_LEN {
            match unless_would_block(self.socket.write(&self.request[self.requested..]))? {
                Some(bytes) => self.requested += bytes,
                None => return Ok(0),
            }
        }
        while self.left > 0 {
            let taken = match supply {
                Supply::Buffer { .. } => {
                    let bytes = self.left.min(self.buffer.len() as u64) as usize;
                    self.socket.write(&self.buffer[..bytes])
                }
                Supply::ZeroCopy { .. } => return self.send_held(calls),
                Supply::File { payload, piece } => {
                    let mut offset = (self.share - self.left) % payload.len();
                    let bytes = (payload.len() - offset).min(self.left).min(*piece as u64) as usize;
                    sendfile(&self.socket, payload.file(), Some(&mut offset), bytes).map_err(io::Error::from)
                }
            };
            let Some(bytes) = unless_would_block(taken)? else { break };
            if bytes == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(hasher) = &mut self.hasher {
                hasher.update(&self.buffer[..bytes]);
            }
            *calls += 1;
            self.left -= bytes as u64;
        }
        Ok(before - self.left)
    }

    /// The same with `MSG_ZEROCOPY`, until every buffer is held by the kernel at the latest.
    fn send_held(&mut self, calls: &mut u64) -> io::Result<u64> {
        let before = self.left;
        self.held = false;
        while self.left > 0 {
            match self.buffers.send(&self.socket, self.left)? {
                Sent::Bytes([]) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Sent::Bytes(bytes) => {
                    if let Some(hasher) = &mut self.hasher {
                        hasher.update(bytes);
                    }
                    *calls += 1;
                    self.left -= bytes.len() as u64;
                }
                Sent::Full => break,
                Sent::AllHeld => {
                    self.held = true;
                    break;
                }
            }
        }
        Ok(before - self.left)
    }

    /// Reads the answer; true once the sink has closed.
    fn receive(&mut self, expected: usize) -> io::Result<bool> {
        let Some(bytes) = unless_would_block(self.socket.read(&mut self.answer[self.answered..expected]))?
        else {
            return Ok(false);
        };
        self.answered += bytes;
        self.done = bytes == 0 || self.answered == expected;
        Ok(self.done)
    }

    fn check(self, hashed: bool, supply: &Supply) -> Result<Option<bool>, Failure> {
        let digest = match (hashed, supply) {
            (false, _) => None,
            (true, Supply::Buffer { .. } | Supply::ZeroCopy { .. }) => self.hasher.map(Hasher::finish),
            (true, Supply::File { payload, .. }) => {
                Some(payload.digest(self.share).map_err(Failure::io("cannot hash the file"))?)
            }
        };
        sending::check_answer(&self.answer[..self.answered], self.share, digest.as_ref())
    }
}
