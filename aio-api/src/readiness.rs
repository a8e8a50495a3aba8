//! The synchronous way: a program looks whether something has arrived, and copies it into memory of its own. For
//! programs that are ported from `poll()` and `recv()`, and to compare the two ways on one stack.
//!
//! Receives the program's own memory and fills it at once; no operation, no completion, no registered buffer. It never
//! waits: [`EventQueue::poll`] and [`EventQueue::wait`] still drive the card.

use crate::complete::op_error;
use crate::error::RecvNowError;
use crate::queue::EventQueue;
use naio_stack::{RecvError, SocketId};

/// What [`EventQueue::recv_now`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// So many bytes, at least one, from the start of the memory.
    Bytes(usize),
    /// Nothing has arrived that was not received before.
    Nothing,
    /// The peer has ended its stream, and everything in it has been received.
    End,
}

impl EventQueue {
    /// Whether [`recv_now`](EventQueue::recv_now) would say something other than [`Taken::Nothing`]: bytes, the end, or
    /// an error.
    #[must_use]
    pub fn is_readable(&self, socket: SocketId) -> bool {
        self.stack
            .status(socket)
            .is_none_or(|status| status.readable > 0 || status.recv_finished || status.failure.is_some())
    }

    /// Copies what has arrived into `into`, as much as fits, without waiting. The bytes are copied once more than those
    /// of [`recv`](EventQueue::recv) are.
    ///
    /// # Errors
    /// [`RecvNowError`]; in particular while receives are posted, whose turn it would be.
    ///
    /// ```no_run
    /// # use aio_api::{EventQueue, SocketId, Taken};
    /// # fn example(queue: &mut EventQueue, socket: SocketId) -> Result<(), Box<dyn std::error::Error>> {
    /// let (mut bytes, mut completions) = (vec![0; 64 << 10], Vec::new());
    /// loop {
    ///     match queue.recv_now(socket, &mut bytes)? {
    ///         Taken::Bytes(len) => println!("{:?}", &bytes[..len]),
    ///         Taken::Nothing => drop(queue.poll(&mut completions)),
    ///         Taken::End => return Ok(()),
    ///     }
    /// }
    /// # }
    /// ```
    pub fn recv_now(&mut self, socket: SocketId, into: &mut [u8]) -> Result<Taken, RecvNowError> {
        if into.is_empty() {
            return Err(RecvNowError::NoRoom);
        }
        if self.sockets.ops(socket).is_some_and(|ops| !ops.recv.is_empty()) {
            return Err(RecvNowError::Posted);
        }
        match self.stack.recv(socket, into) {
            Ok(0) => Ok(Taken::Nothing),
            Ok(len) => Ok(Taken::Bytes(len)),
            Err(RecvError::Finished) => Ok(Taken::End),
            Err(RecvError::Stale) => Err(RecvNowError::Stale),
            Err(RecvError::NotConnected) => Err(RecvNowError::NotConnected),
            Err(RecvError::Failed(failure)) => Err(RecvNowError::Failed(op_error(failure))),
        }
    }
}
