//! How far the demonstration is, on standard error: a line for each run that is over, and on a terminal one that
//! moves while a run is under way.
//!
//! Receives amounts. It never fails: whoever closed standard error wants no progress.

use naio_sys::clock::{self, Time};
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

/// Least time between two changes of the moving line.
const INTERVAL: Duration = Duration::from_millis(200);

/// The line of one run.
pub(crate) struct Progress {
    label: String,
    total: u64,
    start: Time,
    last: Time,
    moving: bool,
}

impl Progress {
    /// Of a run that moves `total` bytes.
    pub(crate) fn new(label: String, total: u64) -> Progress {
        let start = clock::now();
        Progress { label, total, start, last: start, moving: io::stderr().is_terminal() }
    }

    /// `moved` bytes are through.
    pub(crate) fn step(&mut self, moved: u64) {
        if !self.moving {
            return;
        }
        let now = clock::now();
        if now.since(self.last) < INTERVAL {
            return;
        }
        self.last = now;
        let percent = 100 * moved / self.total.max(1);
        let rate = moved as f64 / 1e6 / now.since(self.start).as_secs_f64();
        let _ = write!(io::stderr(), "\r\x1b[K  {}: {percent} %, {rate:.1} MB/s", self.label);
    }

    /// The run is over; `what` stays on the screen.
    pub(crate) fn done(self, what: impl std::fmt::Display) {
        let clear = if self.moving { "\r\x1b[K" } else { "" };
        let _ = writeln!(io::stderr(), "{clear}  {}: {what}", self.label);
    }
}
