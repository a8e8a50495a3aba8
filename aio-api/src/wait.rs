//! Waiting for completions; the calling thread drives the card meanwhile.

use crate::completion::Completion;
use crate::error::WaitError;
use crate::queue::EventQueue;
use naio_sys::clock::Time;
use std::time::Duration;

/// How long to wait, and for how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    min: usize,
    within: Option<Duration>,
}

impl Wait {
    /// Until there is one completion, however long it takes.
    #[must_use]
    pub fn for_one() -> Wait {
        Wait::for_at_least(1)
    }

    /// Until there are `min` completions.
    #[must_use]
    pub fn for_at_least(min: usize) -> Wait {
        Wait { min, within: None }
    }

    /// …but no longer than `within`.
    #[must_use]
    pub fn within(self, within: Duration) -> Wait {
        Wait { within: Some(within), ..self }
    }
}

impl EventQueue {
    /// Drives the card until the completions asked for are there or the time is over; appends every
    /// completion there is (they may be more than asked for) and returns how many.
    ///
    /// Returning fewer than asked for means that the time is over, or that no more can come. The
    /// calling thread is busy meanwhile: this is a polling stack.
    ///
    /// # Errors
    /// [`WaitError`] if what is waited for can never come. Nothing is lost: completions that exist
    /// are always handed out first.
    ///
    /// ```no_run
    /// # use aio_api::{EventQueue, Wait};
    /// # use std::time::Duration;
    /// # fn example(queue: &mut EventQueue) -> Result<(), aio_api::WaitError> {
    /// let mut completions = Vec::new();
    /// if queue.wait(&mut completions, Wait::for_one().within(Duration::from_secs(1)))? == 0 {
    ///     println!("nothing for a second");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn wait(&mut self, completions: &mut Vec<Completion>, wait: Wait) -> Result<usize, WaitError> {
        let deadline = wait.within.map_or(Time::FAR_FUTURE, |within| self.clock.now().after(within));
        loop {
            self.turn_paced();
            let over = self.now() >= deadline;
            if self.completions_waiting() >= wait.min || over {
                return Ok(self.collect(completions));
            }
            let hopeless = if self.is_down() {
                // Every operation has ended: there is no more to come.
                WaitError::CardGone
            } else if wait.within.is_none() && self.within_reach() < wait.min {
                WaitError::NothingOutstanding
            } else {
                continue;
            };
            let collected = self.collect(completions);
            return if collected == 0 { Err(hopeless) } else { Ok(collected) };
        }
    }

    /// Completions that exist or may come before these are collected.
    fn within_reach(&self) -> usize {
        self.completed.len() + self.ops.within_reach() + self.groups.within_reach()
    }

    /// When [`poll`](EventQueue::poll) next has something to do even if no frame arrives: a time that has passed if
    /// it has now, `None` once the card is gone. For a program that has other things to wait for.
    ///
    /// It may be early, never late; frames that arrive are not foretold.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        let has_touched = self.sockets.is_dirty() || self.udp.is_dirty() || self.groups.has_called();
        if has_touched || !self.completed.is_empty() || self.has_packets_waiting() || self.windows.is_busy() {
            return Some(self.now);
        }
        if self.is_down() {
            return None;
        }
        [self.stack.next_deadline(), self.timers.next(), Some(self.next_health)].into_iter().flatten().min()
    }

    /// Drives the card for one turn, without waiting; appends what has completed and returns how
    /// many.
    ///
    /// ```no_run
    /// # fn example(queue: &mut aio_api::EventQueue) {
    /// let mut completions = Vec::new();
    /// while queue.poll(&mut completions) == 0 {
    ///     // Something else of the program's own, a little at a time.
    /// }
    /// # }
    /// ```
    pub fn poll(&mut self, completions: &mut Vec<Completion>) -> usize {
        self.turn();
        self.collect(completions)
    }
}
