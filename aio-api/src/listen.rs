//! Listening: ports that peers may connect to, and the accepts that wait for them.

use crate::error::{ListenError, OpError, SubmitError, SubmitReason};
use crate::op::{OpKey, Request};
use crate::queue::EventQueue;
use naio_stack::ListenerId;
use std::collections::{HashMap, VecDeque};

/// The accepts that wait at each listener, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    waiting: HashMap<ListenerId, VecDeque<OpKey>>,
    /// Kept for its memory.
    ids: Vec<ListenerId>,
}

impl Listeners {
    pub(crate) fn forget(&mut self, listener: ListenerId, key: OpKey) {
        if let Some(waiting) = self.waiting.get_mut(&listener) {
            waiting.retain(|other| *other != key);
        }
    }
}

impl EventQueue {
    /// Listens on `port`: up to `backlog` connections are answered and wait to be accepted; more SYNs
    /// are dropped and counted, and the peers try again.
    ///
    /// # Errors
    /// The port is taken or zero, the backlog zero, or there are too many listeners.
    ///
    /// ```no_run
    /// # fn example(queue: &mut aio_api::EventQueue) -> Result<(), Box<dyn std::error::Error>> {
    /// let listener = queue.listen(80, 128)?;
    /// queue.accept(listener, 1)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn listen(&mut self, port: u16, backlog: usize) -> Result<ListenerId, ListenError> {
        let listener = self.stack.listen(port, backlog)?;
        self.listeners.waiting.insert(listener, VecDeque::new());
        Ok(listener)
    }

    /// Waits for one connection. Completes with the connected socket in
    /// [`Completion::socket`](crate::Completion::socket). Several accepts may wait; connections go to
    /// them in order.
    ///
    /// # Errors
    /// [`SubmitReason`]; nothing was submitted.
    pub fn accept(&mut self, listener: ListenerId, user_data: u64) -> Result<OpKey, SubmitError> {
        self.admit(1)?;
        if !self.listeners.waiting.contains_key(&listener) {
            return Err(SubmitReason::NoListener.into());
        }
        let key = self.insert(user_data, Request::Accept { listener })?;
        if let Some(waiting) = self.listeners.waiting.get_mut(&listener) {
            waiting.push_back(key);
        }
        Ok(key)
    }

    /// Stops listening. Connections that nobody accepted are reset; waiting accepts end with
    /// [`OpError::Closed`]. False if there was no such listener.
    pub fn close_listener(&mut self, listener: ListenerId) -> bool {
        let Some(waiting) = self.listeners.waiting.remove(&listener) else { return false };
        // The stack knows it as long as we do.
        let _ = self.stack.close_listener(listener);
        for key in waiting {
            self.finish(key, Err(OpError::Closed));
        }
        true
    }

    /// Gives connections to the accepts that wait for them; returns how many.
    pub(crate) fn progress_accepts(&mut self) -> usize {
        let mut ids = std::mem::take(&mut self.listeners.ids);
        ids.extend(self.listeners.waiting.iter().filter(|(_, keys)| !keys.is_empty()).map(|(id, _)| *id));
        let mut accepted = 0;
        for listener in ids.drain(..) {
            while let Some(&key) = self.listeners.waiting.get(&listener).and_then(VecDeque::front) {
                let Some(socket) = self.stack.accept(listener) else { break };
                self.sockets.insert_connected(socket);
                self.sockets.touch(socket);
                self.finish_accept(key, socket);
                accepted += 1;
            }
        }
        self.listeners.ids = ids;
        accepted
    }
}
