//! Ending operations before their time.
//!
//! A cancelled operation still ends in its one terminal completion. If it had finished already, that
//! completion is the normal one and `cancel` says that it came too late.

#[cfg(doc)]
use crate::completion::Completion;
use crate::error::OpError;
use crate::op::{OpKey, Request};
use crate::queue::EventQueue;

impl EventQueue {
    /// Cancels an operation. True: it will end with [`OpError::Canceled`], carrying the bytes
    /// transferred so far. False: there is no such operation any more, its normal completion has
    /// been produced already, or it cannot be stopped (a send or shutdown whose bytes are in the
    /// stack's hands entirely, a close): it ends normally.
    ///
    /// A send that was partly taken ends like a short write: [`Completion::bytes`] of it go out, and a
    /// later send continues after them. A cancelled connect aborts the
    /// attempt; the socket can only be closed afterwards. After a cancelled shutdown the socket sends
    /// as before.
    ///
    /// ```no_run
    /// # use aio_api::EventQueue;
    /// # use std::time::Duration;
    /// # fn example(queue: &mut EventQueue) -> Result<(), Box<dyn std::error::Error>> {
    /// let reminder = queue.timeout(Duration::from_secs(5), 7)?;
    /// assert!(queue.cancel(reminder));
    /// # Ok(())
    /// # }
    /// ```
    pub fn cancel(&mut self, key: OpKey) -> bool {
        let Some(op) = self.ops.peek(key) else { return false };
        let stoppable = match &op.request {
            Request::Connect { .. }
            | Request::Accept { .. }
            | Request::Recv { .. }
            | Request::RecvLent { .. }
            | Request::RecvMany { .. }
            | Request::RecvFrom { .. }
            | Request::RecvFromMany { .. }
            | Request::RecvFromLent { .. }
            | Request::SendTo { .. }
            | Request::Timeout { .. }
            | Request::Resolve
            | Request::WatchAddress { .. }
            | Request::WatchLink { .. } => true,
            Request::Send { sending, .. } => sending.may_be_cancelled(),
            Request::Shutdown { requested, .. } => !requested,
            Request::Close { .. } | Request::Posted { .. } => false,
        };
        if !stoppable {
            return false;
        }
        match op.request {
            Request::Timeout { .. } => self.timers.forget(key),
            Request::Connect { socket } => {
                // Refused only if the stack has dropped the attempt already.
                let _ = self.stack.abort(socket);
            }
            Request::Shutdown { socket, .. } => {
                if let Some(ops) = self.sockets.ops(socket) {
                    // A close that was submitted after it still ends the stream.
                    ops.shut_down = ops.closing;
                }
            }
            _ => {}
        }
        self.finish(key, Err(OpError::Canceled));
        true
    }
}
