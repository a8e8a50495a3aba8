//! Operations that complete more than once: periodic timeouts, and changes of the link.
//!
//! Each has at most one completion in the queue that the program has not collected; what happens
//! meanwhile is added up or the latest is reported, so that a slow program is never flooded.

use crate::completion::{Completion, Kind};
use crate::error::{SubmitError, SubmitReason};
use crate::op::{OpKey, Request};
use crate::queue::EventQueue;
use naio_nic::Link;
use naio_sys::clock::Time;
use std::time::Duration;

/// Shortest period of a timeout.
pub const TIMEOUT_PERIOD_MIN: Duration = Duration::from_millis(1);

/// When a timeout completes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Once, after this time.
    After(Duration),
    /// Once, at this point of the queue's clock ([`EventQueue::now`]).
    At(Time),
    /// Again and again with this period, at least [`TIMEOUT_PERIOD_MIN`], until it is cancelled.
    Every(Duration),
}

impl From<Duration> for When {
    fn from(span: Duration) -> When {
        When::After(span)
    }
}

impl EventQueue {
    /// Completes when the time has come: once, or with a period (each completion but the last then
    /// has [`Flags::has_more`](crate::Flags::has_more), and [`Kind::Timeout`] says how many periods have
    /// passed that none before has told of). A period counts in whole microseconds.
    ///
    /// # Errors
    /// [`SubmitReason::QueueFull`], [`SubmitReason::Period`].
    ///
    /// ```no_run
    /// # use aio_api::When;
    /// # use std::time::Duration;
    /// # fn example(queue: &mut aio_api::EventQueue) -> Result<(), Box<dyn std::error::Error>> {
    /// queue.timeout(Duration::from_millis(250), 3)?;
    /// let ticks = queue.timeout(When::Every(Duration::from_secs(1)), 4)?;
    /// queue.cancel(ticks);
    /// # Ok(())
    /// # }
    /// ```
    pub fn timeout(&mut self, when: impl Into<When>, user_data: u64) -> Result<OpKey, SubmitError> {
        let now = self.clock.now();
        let (at, period) = match when.into() {
            When::After(span) => (now.after(span), None),
            When::At(at) => (at, None),
            When::Every(period) if period < TIMEOUT_PERIOD_MIN => {
                return Err(SubmitReason::Period { min: TIMEOUT_PERIOD_MIN }.into());
            }
            When::Every(period) => (now.after(period), Some(period)),
        };
        self.admit(1 + usize::from(period.is_some()))?;
        let request = Request::Timeout { period, expirations: 0 };
        let key = self.insert(user_data, request)?;
        self.timers.insert(at, key);
        Ok(key)
    }

    /// Completes with [`Kind::Link`] for each change of the link, first with the link as it is,
    /// until it is cancelled. A flap that is over before the program looks is not reported.
    ///
    /// # Errors
    /// [`SubmitReason::QueueFull`].
    pub fn watch_link(&mut self, user_data: u64) -> Result<OpKey, SubmitError> {
        self.admit(2)?;
        let key = self.insert(user_data, Request::WatchLink { reported: None })?;
        self.watchers.push(key);
        Ok(key)
    }

    /// Completes with [`Kind::Address`] for each change of our IPv4 address (DHCP gives it and takes
    /// it), first with the address as it is, until it is cancelled.
    ///
    /// # Errors
    /// [`SubmitReason::QueueFull`].
    pub fn watch_address(&mut self, user_data: u64) -> Result<OpKey, SubmitError> {
        self.admit(2)?;
        let key = self.insert(user_data, Request::WatchAddress { reported: None })?;
        self.watchers.push(key);
        Ok(key)
    }

    /// Tells those who watch what our address is now.
    pub(crate) fn progress_address(&mut self) {
        for at in 0..self.watchers.len() {
            let (key, address) = (self.watchers[at], self.stack.address());
            if !self.ops.may_tell(key) {
                continue;
            }
            let Some(op) = self.ops.peek_mut(key) else { continue };
            let Request::WatchAddress { reported } = &mut op.request else { continue };
            if reported.replace(address) != Some(address) {
                self.notify(key, Kind::Address { address });
            }
        }
    }

    /// Ends or continues timeouts that are due; returns how many.
    pub(crate) fn progress_timeouts(&mut self) -> usize {
        let mut due = 0;
        while let Some((at, key)) = self.timers.pop_due(self.now) {
            due += 1;
            let may_tell = self.ops.may_tell(key);
            let Some(op) = self.ops.peek_mut(key) else { continue };
            let Request::Timeout { period: Some(period), expirations } = &mut op.request else {
                self.finish(key, Ok(()));
                continue;
            };
            // A turn that comes late skips periods, but counts them.
            let period_us = u64::try_from(period.as_micros()).unwrap_or(u64::MAX);
            let passed = 1 + self.now.as_micros().saturating_sub(at.as_micros()) / period_us;
            *expirations += passed;
            self.timers.insert(at.after(Duration::from_micros(passed.saturating_mul(period_us))), key);
            if may_tell {
                let kind = Kind::Timeout { expirations: std::mem::take(expirations) };
                self.notify(key, kind);
            }
        }
        due
    }

    /// Tells those who watch what the link is now.
    pub(crate) fn progress_link(&mut self, link: Link) {
        for at in 0..self.watchers.len() {
            let key = self.watchers[at];
            if !self.ops.may_tell(key) {
                continue;
            }
            let Some(op) = self.ops.peek_mut(key) else { continue };
            let Request::WatchLink { reported } = &mut op.request else { continue };
            if reported.replace(link) != Some(link) {
                self.notify(key, Kind::Link { link });
            }
        }
    }

    /// Tells something of an operation that goes on, where it [may](crate::op::OpTable::may_tell).
    fn notify(&mut self, key: OpKey, kind: Kind) {
        let Some(op) = self.ops.peek(key) else { return };
        let done = Completion::new(key, op.user_data, kind, Ok(()));
        self.tell(done);
    }

    /// Puts a completion that is not the last of its operation into the queue, in the place that is kept for it.
    pub(crate) fn tell(&mut self, mut done: Completion) {
        let told = self.ops.tell(done.key);
        debug_assert!(told, "there is a place for {done:?}");
        done.flags.more = true;
        self.completed.push_back(done);
    }

    /// The program has taken a completion that was not the last one: the next may come.
    pub(crate) fn collected(&mut self, done: &Completion) {
        // A datagram stood in the place of its buffer.
        let is_datagram = done.kind == Kind::RecvFrom && done.result.is_ok();
        if is_datagram || !self.ops.collected(done.key) {
            return;
        }
        match self.ops.peek(done.key).map(|op| &op.request) {
            // What arrived meanwhile may be enough for the next part.
            Some(Request::Recv { socket, .. }) => self.sockets.touch(*socket),
            // The next error may be told.
            Some(Request::RecvFromMany { socket, .. }) => self.udp.touch(*socket),
            _ => {}
        }
    }
}
