//! Everything that was counted, room by room.

use crate::windows::WindowCounters;

/// What the queue itself counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueCounters {
    /// Turns of the loop.
    pub turns: u64,
    /// Turns that found nothing to do, and pauses that waited for a burst.
    pub empty_turns: u64,
    /// Turns that found frames.
    pub rx_turns: u64,
    /// Frames found by them.
    pub rx_frames: u64,
    /// Operations submitted.
    pub submitted: u64,
    /// Terminal completions produced; equal to `submitted` when nothing is outstanding.
    pub completed: u64,
    /// Submissions refused because the queue was full.
    pub refused_full: u64,
    /// Times that a multishot receive found bytes or datagrams waiting, and its group without a buffer for it: if it
    /// grows, provide more buffers, or sooner.
    pub empty_group_waits: u64,
    /// Packets that the card's ring did not take at once and that waited for the next turn.
    pub tx_deferred: u64,
}

impl QueueCounters {
    /// Mean frames of a turn that found any.
    #[must_use]
    pub fn frames_per_turn(&self) -> f64 {
        if self.rx_turns == 0 { 0.0 } else { self.rx_frames as f64 / self.rx_turns as f64 }
    }
}

/// A snapshot of all counters.
#[derive(Clone, Debug)]
pub struct Counters {
    /// The card and its driver.
    pub nic: naio_nic::Counters,
    /// The protocol stack.
    pub stack: naio_stack::Counters,
    /// The queue.
    pub queue: QueueCounters,
    /// Files that are sent.
    pub files: WindowCounters,
}
