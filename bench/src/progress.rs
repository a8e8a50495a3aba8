//! Progress of a long transfer on standard error: at most one line a second, and none when not asked for.
//!
//! `step` costs one comparison unless a whole report interval of bytes has passed, so it may stand between the
//! marks; with progress switched on, the clock and the terminal do too, which is why it is off by default.

use crate::size::MIB;
use core::time::Duration;
use naio_sys::clock::{self, Time};
use std::io::Write as _;

/// How many bytes pass between two looks at the clock.
const BYTES_PER_LOOK: u64 = MIB;
/// Least time between two lines.
const INTERVAL: Duration = Duration::from_secs(1);

/// Says how far a transfer is.
#[derive(Debug)]
pub struct Progress {
    enabled: bool,
    total: u64,
    start: Time,
    last: Time,
    next_look: u64,
}

impl Progress {
    /// Progress towards `total` bytes; silent unless `enabled`.
    #[must_use]
    pub fn new(enabled: bool, total: u64) -> Self {
        let start = clock::now();
        let next_look = if enabled { BYTES_PER_LOOK } else { u64::MAX };
        Self { enabled, total, start, last: start, next_look }
    }

    /// Reports that `done` bytes have been moved so far.
    #[inline]
    pub fn step(&mut self, done: u64) {
        if done >= self.next_look {
            self.look(done);
        }
    }

    #[cold]
    fn look(&mut self, done: u64) {
        self.next_look = done.saturating_add(BYTES_PER_LOOK);
        let now = clock::now();
        if self.enabled && now.since(self.last) >= INTERVAL {
            self.last = now;
            // A closed standard error must not end a measurement.
            let _ = writeln!(std::io::stderr(), "{}", self.line(done, now.since(self.start)));
        }
    }

    fn line(&self, done: u64, elapsed: Duration) -> String {
        let percent = if self.total == 0 { 100.0 } else { 100.0 * done as f64 / self.total as f64 };
        let rate = done as f64 / 1e6 / elapsed.as_secs_f64().max(1e-9);
        format!("{percent:5.1} %  {} of {} MiB  {rate:.1} MB/s", done / MIB, self.total / MIB)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_share_amount_and_rate() {
        let progress = Progress::new(true, 200 * MIB);
        let line = progress.line(50 * MIB, Duration::from_secs(2));
        assert_eq!(line.trim_start(), "25.0 %  50 of 200 MiB  26.2 MB/s");
    }

    #[test]
    fn silence_never_looks_at_the_clock() {
        let mut progress = Progress::new(false, 10);
        progress.step(u64::MAX - 1);
        assert_eq!(progress.next_look, u64::MAX);
    }
}
