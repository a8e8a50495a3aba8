//! How eagerly the queue polls.
//!
//! The cost of a byte falls with the number of frames that a turn finds, so under load it pays to
//! wait a little for a burst to gather. When idle it does not: latency would be lost for nothing.

use naio_sys::clock::{self, Time};
use naio_sys::mark;
use std::time::Duration;

/// Longest pause for a burst: more would be felt as latency.
pub(crate) const RX_COALESCE_MAX: Duration = Duration::from_millis(10);

/// How the queue waits between turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Under load, let frames gather for up to this long (8254x interrupts would do the same): between two turns, unless
    /// something was sent on a connection that had nothing under way; and in-order data of bursts that follow each other
    /// at once becomes one segment for as long.
    pub rx_coalesce: Duration,
    /// Give the CPU away in a turn that finds nothing: right on a shared CPU, wasteful on one that
    /// belongs to the queue alone.
    pub yield_when_empty: bool,
}

impl Default for Pace {
    /// 50 µs, yielding.
    fn default() -> Pace {
        Pace { rx_coalesce: Duration::from_micros(50), yield_when_empty: true }
    }
}

impl Pace {
    /// Waits until `rx_coalesce` after `since`; returns the number of looks at the clock, each of
    /// which counts as an empty turn.
    pub(crate) fn gather(&self, since: Time) -> u64 {
        let end = since.after(self.rx_coalesce);
        let mut looks = 0;
        loop {
            mark::mark::<{ mark::TURN_BEGINS }>();
            if clock::now() >= end {
                return looks;
            }
            looks += 1;
            self.idle();
            mark::mark::<{ mark::TURN_WAS_EMPTY }>();
        }
    }

    /// What to do in a turn that found nothing.
    pub(crate) fn idle(&self) {
        if self.yield_when_empty {
            std::thread::yield_now();
        } else {
            std::hint::spin_loop();
        }
    }
}
