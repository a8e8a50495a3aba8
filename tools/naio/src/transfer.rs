//! Moves payload through one event queue, either way, asynchronously or synchronously.
//!
//! Receives a queue, a connected socket and an amount; hands on a [`Moved`]. It knows nothing of experiments,
//! runs and figures. The four loops differ in nothing but what their names say:
//!
//! - *asynchronous receive*: several registered buffers are posted; each is looked at where it is and posted again.
//! - *synchronous receive*: the shape of `poll()` and `recv()`. One receive at a time says that there is something;
//!   its bytes are copied into the program's own buffer, and only then the next one is posted.
//! - *asynchronous send*: the payload lies in registered buffers, which are sent again as they come back.
//! - *synchronous send*: the shape of `poll()` and `send()`. The payload lies in the program's own memory and is
//!   copied for each call into a registered buffer of a pool, the "socket buffer"; the call waits while none is free.

use crate::failure::Failure;
use aio_api::{Buffer, Completion, EventQueue, Kind, RecvOptions, SocketId, Wait};
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

/// How a program uses the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Asynchronous,
    Synchronous,
}

/// What a transfer was.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moved {
    /// Of the payload, if the receiving side was asked.
    pub(crate) digest: Option<Digest>,
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

/// Receives `bytes` bytes.
pub(crate) struct Receiver {
    style: Style,
    buffers: Vec<Buffer>,
    /// The program's own memory, of a synchronous program.
    own: Vec<u8>,
    hasher: Option<Hasher>,
}

impl Receiver {
    /// Registers what it needs; not for the measured part.
    pub(crate) fn new(queue: &EventQueue, style: Style, hashed: bool) -> Result<Receiver, Failure> {
        let count = if style == Style::Asynchronous { RECEIVES } else { 1 };
        let buffers = queue.buffers(count, CHUNK)?;
        Ok(Receiver { style, buffers, own: vec![0xff; CHUNK], hasher: hashed.then(Hasher::new) })
    }

    /// Receives until all is there.
    pub(crate) fn run(
        mut self,
        queue: &mut EventQueue,
        socket: SocketId,
        expected: u64,
    ) -> Result<Moved, Failure> {
        for buffer in std::mem::take(&mut self.buffers) {
            queue.recv(socket, buffer, RecvOptions::default(), 0)?;
        }
        let (mut moved, mut done) = (0, Vec::new());
        while moved < expected {
            wait(queue, &mut done)?;
            for done in done.drain(..).filter(|done| done.kind == Kind::Recv) {
                done.result.map_err(|error| Failure::Operation("a receive", error))?;
                let Some(buffer) = done.buffer else { continue };
                self.handle(&buffer[..done.bytes as usize]);
                moved += done.bytes;
                if done.flags.is_eof() && moved < expected {
                    return Err(Failure::EndedEarly { moved, expected });
                }
                queue.recv(socket, buffer, RecvOptions::default(), 0)?;
            }
        }
        Ok(Moved { digest: self.hasher.map(Hasher::finish) })
    }

    fn handle(&mut self, bytes: &[u8]) {
        let bytes = match self.style {
            Style::Asynchronous => bytes,
            Style::Synchronous => {
                let own = &mut self.own[..bytes.len()];
                own.copy_from_slice(bytes);
                // Without a reader the optimiser would be free to leave the copy out.
                std::hint::black_box(&*own)
            }
        };
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
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
    ) -> Result<Moved, Failure> {
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
                queue.send(socket, buffer, 0..len, 0)?;
                sent += len as u64;
            }
            wait(queue, &mut done)?;
            for done in done.drain(..).filter(|done| done.kind == Kind::Send) {
                done.result.map_err(|error| Failure::Operation("a send", error))?;
                acknowledged += done.bytes;
                // Sends complete in order, so the buffer holds the piece that comes next in its turn.
                self.free.extend(done.buffer);
            }
        }
        Ok(Moved { digest: None })
    }
}
