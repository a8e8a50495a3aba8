//! Received bytes lent to the program where the card put them, and the way back.
//!
//! Receives the pieces of a stream, or one datagram, from the stack; hands them out in a completion as [`Lent`]. What
//! is dropped, on whatever thread, lies in [`Home`] until the next turn takes it back to the stack. Nothing here
//! decides whether bytes are lent or copied: the stack does, by how many pages are out.

use crate::complete::Filled;
use crate::error::{SubmitError, SubmitReason};
use crate::op::{OpKey, Request};
use crate::queue::EventQueue;
use crate::receiving::RecvOptions;
use crossbeam_queue::ArrayQueue;
use naio_dma::Pool;
use naio_stack::{Piece, RecvError, SocketId, UdpId};
use std::sync::Arc;

/// Where pages come back to.
#[derive(Debug)]
pub(crate) struct Home {
    pool: Pool,
    /// What was dropped, as long as there is a page in it: room for as many as the pool has pages, so that no push can
    /// fail.
    dropped: ArrayQueue<Vec<Piece>>,
}

impl Home {
    pub(crate) fn new(pool: Pool) -> Arc<Home> {
        let dropped = ArrayQueue::new((pool.capacity() as usize).max(1));
        Arc::new(Home { pool, dropped })
    }
}

/// Empty lists of pieces, kept for their memory.
#[derive(Debug, Default)]
pub(crate) struct Lists(Vec<Vec<Piece>>);

/// Lists that are kept.
const LISTS_MAX: usize = 64;

impl Lists {
    fn take(&mut self) -> Vec<Piece> {
        self.0.pop().unwrap_or_default()
    }

    fn give(&mut self, list: Vec<Piece>) {
        if self.0.len() < LISTS_MAX {
            self.0.push(list);
        }
    }
}

/// Received bytes that the program may read where the card wrote them: consecutive bytes of one stream in as many parts
/// as there were frames, or one datagram in one part.
///
/// Dropping it gives the card its pages back, from any thread; the queue takes note in its next turn. A program may keep
/// it as long as it likes: while many pages are out, the next receives hand out copies instead and say so
/// ([`Flags::is_copied`](crate::Flags::is_copied)), so that the card never runs dry. It stays readable when the queue
/// is gone.
///
/// ```no_run
/// # use aio_api::{EventQueue, RecvOptions, SocketId, Wait};
/// # fn example(queue: &mut EventQueue, socket: SocketId) -> Result<(), Box<dyn std::error::Error>> {
/// queue.recv_lent(socket, 64 << 10, RecvOptions::default(), 1)?;
/// let mut completions = Vec::new();
/// queue.wait(&mut completions, Wait::for_one())?;
/// for done in completions.drain(..) {
///     for part in done.lent.iter().flat_map(|lent| lent.parts()) {
///         println!("{} bytes: {part:02x?}", part.len());
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "what is dropped at once might as well not have been received"]
pub struct Lent {
    pieces: Vec<Piece>,
    home: Arc<Home>,
}

impl Lent {
    /// The bytes, in order.
    pub fn parts(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.pieces.iter().map(|piece| piece.bytes(&self.home.pool))
    }

    /// How many bytes there are in all parts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pieces.iter().map(Piece::len).sum()
    }

    /// Whether there are none: at the end of a stream, for example.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pieces.iter().all(Piece::is_empty)
    }

    /// A copy of all bytes in one stretch.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        self.parts().fold(Vec::with_capacity(self.len()), |mut all, part| {
            all.extend_from_slice(part);
            all
        })
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if self.pieces.iter().any(Piece::is_page) {
            // There is room: each list in there has a page of the pool.
            let _ = self.home.dropped.push(std::mem::take(&mut self.pieces));
        }
    }
}

impl std::fmt::Debug for Lent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lent").field("parts", &self.pieces.len()).field("len", &self.len()).finish()
    }
}

/// A receive that is to be lent, and how far it is.
#[derive(Debug)]
pub(crate) struct Lending {
    lent: Lent,
    options: RecvOptions,
    most: usize,
    bytes: usize,
    copied: bool,
}

impl Lending {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_copied(&self) -> bool {
        self.copied
    }

    pub(crate) fn into_lent(self) -> Lent {
        self.lent
    }
}

impl EventQueue {
    /// Receives without copying: the completion lends the bytes where the card wrote them
    /// ([`Completion::lent`](crate::Completion::lent)), in as many parts as there were frames. May be submitted before
    /// the connection is there, several at a time, and together with [`recv`](EventQueue::recv): they complete in this
    /// order.
    ///
    /// Completes with at least the bytes that `options` asks for (clamped to `most`) and at most `most`, but always
    /// with whole frames, so that one frame may be more than `most`; or with fewer and
    /// [`Flags::is_eof`](crate::Flags::is_eof) at the end of the stream. Bytes that came out of order, or when the
    /// program held so many that the card might run short of pages, are copies in memory of their own; the completion
    /// says so. The [incremental](RecvOptions::incremental) option means nothing here.
    ///
    /// # Errors
    /// [`SubmitError`]; nothing was submitted. `most` must not be zero.
    pub fn recv_lent(
        &mut self,
        socket: SocketId,
        most: usize,
        options: RecvOptions,
        user_data: u64,
    ) -> Result<OpKey, SubmitError> {
        self.admit_socket(socket, 1)?;
        if most == 0 {
            return Err(SubmitReason::Range.into());
        }
        let lent = Lent { pieces: self.lists.take(), home: self.home.clone() };
        let lending = Lending { lent, options, most, bytes: 0, copied: false };
        let key = self.insert(user_data, Request::RecvLent { socket, lending })?;
        if let Some(ops) = self.sockets.ops(socket) {
            ops.recv.push_back(key);
        }
        self.sockets.touch(socket);
        Ok(key)
    }

    /// Receives one datagram without copying: the completion lends it where the card wrote it
    /// ([`Completion::lent`](crate::Completion::lent)) and says who sent it ([`Completion::peer`](crate::Completion::peer)).
    /// One that came in fragments, or while pages were short, is a copy, and the completion says so. Completes in order
    /// with [`recv_from`](EventQueue::recv_from), and with the same errors.
    ///
    /// # Errors
    /// [`SubmitError`]; nothing was submitted.
    ///
    /// ```no_run
    /// # use aio_api::{EventQueue, UdpId};
    /// # fn example(queue: &mut EventQueue, socket: UdpId) -> Result<(), Box<dyn std::error::Error>> {
    /// // A burst of datagrams comes out of one `wait`.
    /// for _ in 0..32 {
    ///     queue.recv_from_lent(socket, 1)?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn recv_from_lent(&mut self, socket: UdpId, user_data: u64) -> Result<OpKey, SubmitError> {
        self.admit_udp(socket, 1)?;
        let key = self.insert(user_data, Request::RecvFromLent { socket })?;
        self.udp.wait_for_datagrams(socket, key);
        Ok(key)
    }

    /// Takes what the stack has into one receive; also says whether it is enough to complete.
    pub(crate) fn fill_lent(&mut self, socket: SocketId, key: OpKey) -> Option<(Filled, bool)> {
        let Request::RecvLent { lending, .. } = &mut self.ops.peek_mut(key)?.request else { return None };
        let min = lending.options.min_of(lending.most);
        loop {
            if lending.bytes >= lending.most {
                return Some((Filled::Full, true));
            }
            match self.stack.lend(socket, lending.most - lending.bytes, &mut lending.lent.pieces) {
                Ok(got) if got.bytes == 0 => return Some((Filled::Dry, lending.bytes >= min)),
                Ok(got) => {
                    lending.bytes += got.bytes;
                    lending.copied |= got.copied;
                }
                Err(RecvError::Finished) => return Some((Filled::Eof, true)),
                Err(_) => return Some((Filled::Broken, false)),
            }
        }
    }

    /// Lends the oldest datagram to one receive; false if there is none.
    pub(crate) fn lend_datagram(&mut self, socket: UdpId, key: OpKey) -> bool {
        let Some((from, piece, copied)) = self.stack.udp_lend(socket) else { return false };
        let mut lent = Lent { pieces: self.lists.take(), home: self.home.clone() };
        let bytes = piece.len() as u64;
        lent.pieces.push(piece);
        self.finish_with(key, Ok(()), |done| {
            (done.peer, done.lent, done.bytes) = (Some(from), Some(lent), bytes);
            done.flags.copied = copied;
        });
        true
    }

    /// Pages that programs are done with go back to the stack.
    pub(crate) fn take_home(&mut self) {
        while let Some(mut list) = self.home.dropped.pop() {
            self.stack.take_back(&mut list);
            self.lists.give(list);
        }
    }
}
