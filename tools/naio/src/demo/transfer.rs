//! Moves payload through one event queue, either way, asynchronously or synchronously.
//!
//! Receives a queue, a connected socket and an amount; hands on what was moved. It knows nothing of experiments,
//! runs and figures. The four loops differ in nothing but what their names say:
//!
//! - *asynchronous receive*: several registered buffers are posted; each is looked at where it is and posted again.
//! - *synchronous receive*: `poll()` and `recv()`. The queue is driven until the socket is readable; then what has
//!   arrived is copied into the program's own memory, 64 KiB at the most.
//! - *asynchronous send*: the payload lies in registered buffers, which are sent again as they come back.
//! - *synchronous send*: the shape of `poll()` and `send()`. The payload lies in the program's own memory and is
//!   copied for each call into a registered buffer of a pool, the "socket buffer"; the call waits while none is free.

use crate::failure::Failure;
use aio_api::{Buffer, Completion, EventQueue, Kind, RecvOptions, SocketId, Taken, Wait};
use naio_bench::protocol::{REQUEST_LEN, Request};
use naio_bench::sha::{Digest, Hasher};
use std::collections::VecDeque;
use std::time::Duration;

/// Bytes of one call and of one registered buffer.
pub(crate) const CHUNK: usize = 64 << 10;
/// Receives posted at a time, asynchronously.
pub(crate) const RECEIVES: usize = 8;
/// Buffers of a sender, and distinct pieces of payload: a megabyte that repeats.
pub(crate) const SENDS: usize = 16;
/// How long nothing may move. Longer than TCP's longest pauses on a wire that loses one frame in ten.
const PATIENCE: Duration = Duration::from_secs(60);
/// Seed of the payload. Fixed, so that a failure can be repeated.
const SEED: u64 = 0x6e61_696f;
/// Cookie of a send of payload; a request has another.
const PIECE: u64 = 1;

/// How a program uses the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Asynchronous,
    Synchronous,
}

/// What a receiver got.
#[derive(Debug, Default)]
pub(crate) struct Received {
    pub(crate) bytes: u64,
    /// Of the payload, if it was asked for.
    pub(crate) digest: Option<Digest>,
    /// What followed the payload.
    pub(crate) tail: Vec<u8>,
}

/// Pieces of pseudo-random payload, [`SENDS`] of them.
pub(crate) fn pieces() -> Vec<Vec<u8>> {
    let mut random = fastrand::Rng::with_seed(SEED);
    let piece = |random: &mut fastrand::Rng| {
        let mut piece = vec![0; CHUNK];
        random.fill(&mut piece);
        piece
    };
    (0..SENDS).map(|_| piece(&mut random)).collect()
}

/// SHA-256 of the first `bytes` bytes of the repeated pieces.
pub(crate) fn digest(pieces: &[Vec<u8>], bytes: u64) -> Digest {
    let mut hasher = Hasher::new();
    let mut left = bytes;
    for piece in pieces.iter().cycle() {
        let len = left.min(piece.len() as u64);
        hasher.update(&piece[..len as usize]);
        left -= len;
        if left == 0 {
            break;
        }
    }
    hasher.finish()
}

/// Waits for completions; an error if nothing moves.
pub(crate) fn wait(queue: &mut EventQueue, done: &mut Vec<Completion>) -> Result<(), Failure> {
    if queue.wait(done, Wait::for_one().within(PATIENCE))? == 0 {
        return Err(Failure::Stalled(PATIENCE.as_secs()));
    }
    Ok(())
}

/// Drives the queue until nothing is outstanding: what is left of one connection shall not meet the next.
pub(crate) fn settle(queue: &mut EventQueue) -> Result<(), Failure> {
    let mut done = Vec::new();
    while queue.outstanding() > 0 {
        wait(queue, &mut done)?;
        done.clear();
    }
    Ok(())
}

/// A registered buffer that holds `bytes`.
pub(crate) fn letter(queue: &EventQueue, bytes: &[u8]) -> Result<Buffer, Failure> {
    let mut buffer = queue.buffers(1, bytes.len())?.remove(0);
    buffer.copy_from_slice(bytes);
    Ok(buffer)
}

/// Reads the request that every connection begins with.
pub(crate) fn read_request(queue: &mut EventQueue, socket: SocketId) -> Result<Request, Failure> {
    let buffer = queue.buffers(1, REQUEST_LEN)?.remove(0);
    queue.recv(socket, buffer, RecvOptions::wait_all(), 0)?;
    let mut done = Vec::new();
    loop {
        wait(queue, &mut done)?;
        if let Some(done) = done.drain(..).find(|done| done.kind == Kind::Recv) {
            done.result.map_err(|error| Failure::Operation("the receive of a request", error))?;
            let wire = done.buffer.as_deref().and_then(|bytes| bytes.first_chunk::<REQUEST_LEN>());
            return match wire.filter(|_| done.bytes == REQUEST_LEN as u64) {
                Some(wire) => Ok(Request::decode(wire)?),
                None => Err(Failure::EndedEarly { moved: done.bytes, expected: REQUEST_LEN as u64 }),
            };
        }
    }
}

/// Receives payload, and what follows it.
pub(crate) struct Receiver {
    style: Style,
    buffers: Vec<Buffer>,
    /// The program's own memory, of a synchronous program.
    own: Vec<u8>,
    hasher: Option<Hasher>,
    got: Received,
}

impl Receiver {
    /// Registers what it needs; not for the measured part.
    pub(crate) fn new(queue: &EventQueue, style: Style, hashed: bool) -> Result<Receiver, Failure> {
        let buffers = match style {
            Style::Asynchronous => queue.buffers(RECEIVES, CHUNK)?,
            Style::Synchronous => Vec::new(),
        };
        let hasher = hashed.then(Hasher::new);
        Ok(Receiver { style, buffers, own: vec![0xff; CHUNK], hasher, got: Received::default() })
    }

    /// Receives `payload` bytes, or all until the end of the stream, and `tail` bytes after them.
    pub(crate) fn run(
        mut self,
        queue: &mut EventQueue,
        socket: SocketId,
        payload: Option<u64>,
        tail: usize,
        step: &mut dyn FnMut(u64),
    ) -> Result<Received, Failure> {
        let expected = payload.unwrap_or(u64::MAX);
        match self.style {
            Style::Asynchronous => self.posted(queue, socket, (expected, tail), step)?,
            Style::Synchronous => self.copied(queue, socket, (expected, tail), step)?,
        }
        let is_short = payload.is_some_and(|payload| self.got.bytes < payload) || self.got.tail.len() < tail;
        if is_short {
            return Err(Failure::EndedEarly { moved: self.got.bytes, expected });
        }
        Ok(Received { digest: self.hasher.map(Hasher::finish), ..self.got })
    }

    /// Buffers are posted and posted again as they come back.
    fn posted(
        &mut self,
        queue: &mut EventQueue,
        socket: SocketId,
        (expected, tail): (u64, usize),
        step: &mut dyn FnMut(u64),
    ) -> Result<(), Failure> {
        for buffer in std::mem::take(&mut self.buffers) {
            queue.recv(socket, buffer, RecvOptions::default(), 0)?;
        }
        let (mut ended, mut done) = (false, Vec::new());
        while !ended && (self.got.bytes < expected || self.got.tail.len() < tail) {
            wait(queue, &mut done)?;
            for done in done.drain(..) {
                done.result.map_err(|error| Failure::Operation("a receive", error))?;
                let Some(buffer) = done.buffer.filter(|_| done.kind == Kind::Recv) else { continue };
                self.take(&buffer[..done.bytes as usize], expected, tail);
                step(self.got.bytes);
                ended |= done.flags.is_eof();
                if !ended {
                    queue.recv(socket, buffer, RecvOptions::default(), 0)?;
                }
            }
        }
        Ok(())
    }

    /// Whatever has arrived is copied out, once the socket is readable.
    fn copied(
        &mut self,
        queue: &mut EventQueue,
        socket: SocketId,
        (expected, tail): (u64, usize),
        step: &mut dyn FnMut(u64),
    ) -> Result<(), Failure> {
        let mut own = std::mem::take(&mut self.own);
        let (mut done, mut moved_at) = (Vec::new(), queue.now());
        while self.got.bytes < expected || self.got.tail.len() < tail {
            match queue.recv_now(socket, &mut own)? {
                Taken::Bytes(len) => {
                    self.take(&own[..len], expected, tail);
                    step(self.got.bytes);
                    moved_at = queue.now();
                }
                Taken::End => break,
                Taken::Nothing => {
                    while !queue.is_readable(socket) {
                        if queue.now().since(moved_at) > PATIENCE {
                            return Err(Failure::Stalled(PATIENCE.as_secs()));
                        }
                        // One turn, with the same pause for a burst as the other way has.
                        queue.wait(&mut done, Wait::for_one().within(Duration::ZERO))?;
                        done.clear();
                    }
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, bytes: &[u8], expected: u64, tail: usize) {
        let of_payload = (expected - self.got.bytes).min(bytes.len() as u64) as usize;
        let (payload, behind) = bytes.split_at(of_payload);
        if let Some(hasher) = &mut self.hasher {
            hasher.update(payload);
        }
        self.got.bytes += of_payload as u64;
        let room = tail - self.got.tail.len();
        self.got.tail.extend_from_slice(&behind[..room.min(behind.len())]);
    }
}

/// Sends the repeated pieces.
pub(crate) struct Sender<'a> {
    style: Style,
    pieces: &'a [Vec<u8>],
    free: VecDeque<Buffer>,
}

impl<'a> Sender<'a> {
    /// Registers what it needs; an asynchronous sender has its payload there from the beginning.
    pub(crate) fn new(
        queue: &EventQueue,
        style: Style,
        pieces: &'a [Vec<u8>],
    ) -> Result<Sender<'a>, Failure> {
        let mut free: VecDeque<Buffer> = queue.buffers(SENDS, CHUNK)?.into();
        for (buffer, piece) in free.iter_mut().zip(pieces) {
            buffer.copy_from_slice(piece);
        }
        Ok(Sender { style, pieces, free })
    }

    /// Sends until the peer has acknowledged all.
    pub(crate) fn run(
        mut self,
        queue: &mut EventQueue,
        socket: SocketId,
        bytes: u64,
        step: &mut dyn FnMut(u64),
    ) -> Result<(), Failure> {
        let (mut sent, mut acknowledged, mut done) = (0, 0, Vec::new());
        let mut pieces = self.pieces.iter().cycle();
        while acknowledged < bytes {
            while sent < bytes
                && let Some(mut buffer) = self.free.pop_front()
                && let Some(piece) = pieces.next()
            {
                let len = (bytes - sent).min(CHUNK as u64) as usize;
                if self.style == Style::Synchronous {
                    buffer[..len].copy_from_slice(&piece[..len]);
                }
                queue.send(socket, buffer, 0..len, PIECE)?;
                sent += len as u64;
            }
            wait(queue, &mut done)?;
            for done in done.drain(..).filter(|done| done.kind == Kind::Send) {
                done.result.map_err(|error| Failure::Operation("a send", error))?;
                if done.user_data == PIECE {
                    acknowledged += done.bytes;
                    // Sends complete in order, so the buffer holds the piece that comes next in its turn.
                    self.free.extend(done.buffer);
                }
            }
            step(acknowledged);
        }
        Ok(())
    }
}
