//! Sending through naio: several connections, each with sends submitted ahead, from buffers or from a file.
//!
//! The clock and the marks stand where `kernel_sender` has them: begin before the requests are sent, end when the
//! sink has answered on every connection.

use crate::account;
use crate::cpu::Snapshot;
use crate::failure::Failure;
use crate::payload::Payload;
use crate::progress::Progress;
use crate::protocol::REQUEST_LEN;
use crate::report::Report;
use crate::sending::{self, SendArguments};
use crate::session::{CardArguments, Session};
use crate::sha::{Digest, Hasher};
use aio_api::{Buffer, Completion, Kind, RecvOptions, SocketId, SocketOptions};
use naio_sys::mark::{RUN_BEGINS, RUN_ENDS, mark};
use std::fs::File;
use std::sync::Arc;

/// Sends in flight on one connection that are believed to be meant.
const AHEAD_MAX: usize = 4096;
/// Seed of the bytes in the buffers. Fixed, so that a failure can be repeated.
const SEED: u64 = 0x6e61_696f;

/// Where the bytes come from.
#[derive(Debug)]
pub enum Supply {
    /// Buffers of `len` bytes, filled once.
    Buffers {
        /// Bytes of each.
        len: usize,
    },
    /// A file, repeated.
    File {
        /// The file.
        payload: Payload,
        /// Most bytes of one operation.
        piece: u64,
    },
}

/// One connection.
struct Stream {
    socket: SocketId,
    share: u64,
    /// Payload that is not submitted yet.
    left: u64,
    spare: Vec<Buffer>,
    in_flight: usize,
    hasher: Option<Hasher>,
}

struct Sender<'a> {
    session: Session,
    arguments: &'a SendArguments,
    supply: &'a Supply,
    file: Option<Arc<File>>,
    ahead: usize,
    streams: Vec<Stream>,
    unanswered: usize,
    acknowledged: u64,
    completions: u64,
    sha256_ok: Option<bool>,
}

/// Sends and says what that cost; `ahead` sends are submitted at a time on each connection.
///
/// # Errors
/// [`Failure`].
pub fn run(
    program: &str,
    card: &CardArguments,
    arguments: &SendArguments,
    supply: &Supply,
    ahead: usize,
) -> Result<Report, Failure> {
    if !(1..=AHEAD_MAX).contains(&ahead) {
        return Err(Failure::Usage(format!("--buffers must be 1 to {AHEAD_MAX}")));
    }
    let shares = arguments.shares()?;
    let mut session = Session::open(card, &arguments.remote.to_string())?;
    let sockets = session.connect(arguments.sockets, arguments.remote, SocketOptions::default())?;
    let mut sender = Sender::new(session, arguments, supply, ahead)?;
    sender.prepare(&sockets, &shares)?;
    let requests = sender.requests()?;
    let answers =
        sender.session.queue.buffers(sockets.len(), arguments.answer_len()).map_err(Failure::submit)?;

    let counters = sender.session.queue.counters();
    let before = Snapshot::take();
    mark::<RUN_BEGINS>();
    sender.transfer(requests, answers)?;
    mark::<RUN_ENDS>();
    let usage = Snapshot::take().since(&before);

    let mut report = Report::new(program, arguments.size.0, &usage);
    report.calls = sender.completions;
    report.sockets = Some(arguments.sockets);
    report.sha256_ok = sender.sha256_ok;
    let mut session = sender.session;
    account::between(&mut report, &counters, &session.queue.counters());
    session.finish(&sockets)?;
    report.counters = account::by_name(&session.queue.counters());
    Ok(report)
}

impl<'a> Sender<'a> {
    fn new(
        session: Session,
        arguments: &'a SendArguments,
        supply: &'a Supply,
        ahead: usize,
    ) -> Result<Self, Failure> {
        let file = match supply {
            Supply::Buffers { .. } => None,
            Supply::File { payload, .. } => {
                let file = payload.file().try_clone().map_err(Failure::io("cannot share the file"))?;
                Some(Arc::new(file))
            }
        };
        let unanswered = arguments.sockets;
        let streams = Vec::with_capacity(unanswered);
        Ok(Sender {
            session,
            arguments,
            supply,
            file,
            ahead,
            streams,
            unanswered,
            acknowledged: 0,
            completions: 0,
            sha256_ok: None,
        })
    }

    /// Makes the streams with their buffers, each buffer with bytes of its own.
    fn prepare(&mut self, sockets: &[SocketId], shares: &[u64]) -> Result<(), Failure> {
        let mut rng = fastrand::Rng::with_seed(SEED);
        for (socket, share) in sockets.iter().zip(shares) {
            let mut spare = Vec::new();
            if let Supply::Buffers { len } = self.supply {
                spare = self.session.queue.buffers(self.ahead, *len).map_err(Failure::submit)?;
                spare.iter_mut().for_each(|buffer| rng.fill(buffer));
            }
            let hasher = (self.arguments.sha256 && self.file.is_none()).then(Hasher::new);
            let (socket, share) = (*socket, *share);
            self.streams.push(Stream { socket, share, left: share, spare, in_flight: 0, hasher });
        }
        Ok(())
    }

    /// One filled request for each stream.
    fn requests(&self) -> Result<Vec<Buffer>, Failure> {
        let mut requests =
            self.session.queue.buffers(self.streams.len(), REQUEST_LEN).map_err(Failure::submit)?;
        let wire = self.arguments.request().encode();
        requests.iter_mut().for_each(|request| request.copy_from_slice(&wire));
        Ok(requests)
    }

    fn transfer(&mut self, requests: Vec<Buffer>, answers: Vec<Buffer>) -> Result<(), Failure> {
        let mut progress = Progress::new(self.arguments.output.progress, self.arguments.size.0);
        for (at, (request, answer)) in requests.into_iter().zip(answers).enumerate() {
            let socket = self.streams[at].socket;
            let queue = &mut self.session.queue;
            queue.send(socket, request, 0..REQUEST_LEN, REQUEST + at as u64).map_err(Failure::submit)?;
            queue.recv(socket, answer, RecvOptions::wait_all(), at as u64).map_err(Failure::submit)?;
            self.feed(at)?;
        }
        while self.unanswered > 0 {
            let mut list = self.session.completions()?;
            for done in list.drain(..) {
                self.take(done)?;
            }
            self.session.recycle(list);
            progress.step(self.acknowledged);
        }
        Ok(())
    }

    fn take(&mut self, done: Completion) -> Result<(), Failure> {
        done.result.map_err(Failure::operation("the transfer broke off"))?;
        match done.kind {
            Kind::Send if done.user_data < REQUEST => {
                let at = done.user_data as usize;
                self.completions += 1;
                self.acknowledged += done.bytes;
                let stream = &mut self.streams[at];
                stream.in_flight -= 1;
                stream.spare.extend(done.buffer);
                self.feed(at)
            }
            Kind::Recv => {
                let answer = done.buffer.as_ref().map_or(&[][..], |buffer| &buffer[..done.bytes as usize]);
                self.answered(done.user_data as usize, answer)
            }
            _ => Ok(()),
        }
    }

    /// Submits sends as far as the connection may have them ahead, then the end of its stream.
    fn feed(&mut self, at: usize) -> Result<(), Failure> {
        let stream = &mut self.streams[at];
        let queue = &mut self.session.queue;
        if stream.left == 0 && stream.share > 0 {
            return Ok(());
        }
        while stream.left > 0 && stream.in_flight < self.ahead {
            let bytes = match (self.supply, &self.file) {
                (Supply::File { payload, piece }, Some(file)) => {
                    let offset = (stream.share - stream.left) % payload.len();
                    let bytes = stream.left.min(*piece).min(payload.len() - offset);
                    queue
                        .sendfile(stream.socket, Arc::clone(file), offset, bytes, at as u64)
                        .map_err(Failure::submit)?;
                    bytes
                }
                _ => {
                    let Some(mut buffer) = stream.spare.pop() else { return Ok(()) };
                    let bytes = stream.left.min(buffer.len() as u64);
                    if let Some(hasher) = &mut stream.hasher {
                        stamp(&mut buffer, stream.left);
                        hasher.update(&buffer[..bytes as usize]);
                    }
                    queue
                        .send(stream.socket, buffer, 0..bytes as usize, at as u64)
                        .map_err(Failure::submit)?;
                    bytes
                }
            };
            stream.left -= bytes;
            stream.in_flight += 1;
        }
        if stream.left == 0 {
            queue.shutdown(stream.socket, SHUTDOWN).map_err(Failure::submit)?;
        }
        Ok(())
    }

    fn answered(&mut self, at: usize, answer: &[u8]) -> Result<(), Failure> {
        let stream = &mut self.streams[at];
        let digest = match (self.arguments.sha256, self.supply) {
            (false, _) => None,
            (true, Supply::Buffers { .. }) => stream.hasher.take().map(Hasher::finish),
            (true, Supply::File { payload, .. }) => {
                let digest: Digest =
                    payload.digest(stream.share).map_err(Failure::io("cannot hash the file"))?;
                Some(digest)
            }
        };
        let right = sending::check_answer(answer, stream.share, digest.as_ref())?;
        self.sha256_ok = right.map(|right| right && self.sha256_ok != Some(false));
        self.unanswered -= 1;
        Ok(())
    }
}

/// Cookies above the numbers of the connections.
const REQUEST: u64 = 1 << 32;
const SHUTDOWN: u64 = 1 << 33;

/// Makes each use of a buffer another content, so that bytes sent twice or out of place change the hash.
fn stamp(buffer: &mut Buffer, number: u64) {
    for (byte, stamp) in buffer.iter_mut().zip(number.to_le_bytes()) {
        *byte = stamp;
    }
}
