//! Receiving from connections: what a receive may ask for, and the calls that submit one.
//!
//! Receives the buffers that the program posts and hands them on to the table of operations; hands out the parts of a
//! buffer that is used incrementally. Which bytes come, and when a receive is over, is decided in `complete`.

use crate::completion::{Completion, Kind};
use crate::error::{SubmitError, SubmitReason};
use crate::op::{OpKey, Request};
use crate::queue::EventQueue;
use naio_dma::Buffer;
use naio_stack::SocketId;

/// When a receive is complete, or may hand something out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecvOptions {
    min: u32,
    incremental: bool,
}

impl Default for RecvOptions {
    /// As soon as there is one byte.
    fn default() -> RecvOptions {
        RecvOptions { min: 1, incremental: false }
    }
}

impl RecvOptions {
    /// Complete with at least `min` bytes (clamped to 1 and the buffer's length), unless the stream
    /// ends or fails before.
    #[must_use]
    pub fn at_least(min: u32) -> RecvOptions {
        RecvOptions { min: min.max(1), ..RecvOptions::default() }
    }

    /// Complete with a full buffer only, unless the stream ends or fails before.
    #[must_use]
    pub fn wait_all() -> RecvOptions {
        RecvOptions { min: u32::MAX, ..RecvOptions::default() }
    }

    /// Use one large buffer little by little: whenever as many bytes have arrived as the options ask for (clamped to
    /// what is left of the buffer), a completion with [`Flags::has_more`](crate::Flags::has_more) hands out the filled
    /// part as a [`Buffer`] of its own, and the receive goes on in the rest. The last part, when the buffer is used up,
    /// the stream ends or fails, or the receive is cancelled, is the terminal completion; it may hold no byte.
    ///
    /// The parts follow each other in memory as the bytes do in the stream, and [`Buffer::unsplit`] joins them again.
    /// Of each receive only one such completion is in the queue at a time: until the program has collected it, what
    /// arrives gathers in the rest of the buffer. Such a receive therefore counts twice against
    /// [`Builder::completion_entries`](crate::Builder::completion_entries).
    ///
    /// ```no_run
    /// # use aio_api::{Buffer, EventQueue, RecvOptions, SocketId, Wait};
    /// # fn example(queue: &mut EventQueue, socket: SocketId) -> Result<(), Box<dyn std::error::Error>> {
    /// let buffer = queue.buffers(1, 1 << 20)?.remove(0);
    /// queue.recv(socket, buffer, RecvOptions::at_least(512).incremental(), 1)?;
    /// let (mut parts, mut completions) = (Vec::<Buffer>::new(), Vec::new());
    /// let mut goes_on = true;
    /// while goes_on {
    ///     queue.wait(&mut completions, Wait::for_one())?;
    ///     for done in completions.drain(..) {
    ///         goes_on = done.flags.has_more();
    ///         let part = done.buffer.expect("a receive has one");
    ///         println!("{:?}", &part[..done.bytes as usize]);
    ///         parts.push(part);
    ///     }
    /// }
    /// let whole = parts.into_iter().reduce(|front, rest| front.unsplit(rest).expect("neighbours"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn incremental(self) -> RecvOptions {
        RecvOptions { incremental: true, ..self }
    }

    pub(crate) fn is_incremental(self) -> bool {
        self.incremental
    }

    pub(crate) fn min_for(self, buffer: &Buffer) -> usize {
        self.min_of(buffer.len())
    }

    pub(crate) fn min_of(self, most: usize) -> usize {
        (self.min as usize).min(most)
    }
}

impl EventQueue {
    /// Receives into `buffer`, from its start. May be submitted before the connection is there, and
    /// several at a time: they are filled in this order.
    ///
    /// Completes with at least the bytes that `options` asks for, or with fewer and
    /// [`Flags::is_eof`](crate::Flags::is_eof) at the end of the stream; part by part if it is
    /// [incremental](RecvOptions::incremental).
    ///
    /// # Errors
    /// [`SubmitError`], with the buffer in it.
    ///
    /// ```no_run
    /// # use aio_api::{EventQueue, RecvOptions, SocketId};
    /// # fn example(queue: &mut EventQueue, socket: SocketId) -> Result<(), Box<dyn std::error::Error>> {
    /// for buffer in queue.buffers(8, 256 * 1024)? {
    ///     queue.recv(socket, buffer, RecvOptions::at_least(1), 1)?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn recv(
        &mut self,
        socket: SocketId,
        buffer: Buffer,
        options: RecvOptions,
        user_data: u64,
    ) -> Result<OpKey, SubmitError> {
        let reason = self.admit_socket(socket, 1 + usize::from(options.is_incremental())).err();
        let reason = reason.or(buffer.is_empty().then_some(SubmitReason::Range));
        if let Some(reason) = reason {
            return Err(SubmitError { reason, buffer: Some(buffer), buffers: Vec::new() });
        }
        let key = self.insert(user_data, Request::Recv { socket, buffer, options, filled: 0 })?;
        if let Some(ops) = self.sockets.ops(socket) {
            ops.recv.push_back(key);
        }
        self.sockets.touch(socket);
        Ok(key)
    }

    /// An incremental receive has enough for a part, and hands it out if it may. False if the receive is not
    /// incremental, and complete.
    pub(crate) fn hands_out_part(&mut self, key: OpKey) -> bool {
        let may_tell = self.ops.may_tell(key);
        let Some(op) = self.ops.peek_mut(key) else { return false };
        let user_data = op.user_data;
        let Request::Recv { buffer, options, filled, .. } = &mut op.request else { return false };
        if !options.is_incremental() {
            return false;
        }
        if may_tell && let Some(part) = buffer.split_to(*filled) {
            let mut done = Completion::new(key, user_data, Kind::Recv, Ok(()));
            done.bytes = std::mem::take(filled) as u64;
            // Once, from the page that the card wrote.
            done.flags.copied = true;
            done.buffer = Some(part);
            self.tell(done);
        }
        true
    }
}
