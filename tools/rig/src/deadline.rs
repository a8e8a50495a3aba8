//! Deadlines: every child process and every wait of the rig has one.

use core::time::Duration;
use naio_sys::clock::{self, Time};

/// A moment by which something must have happened.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    at: Time,
    limit: Duration,
}

impl Deadline {
    /// `limit` from now.
    #[must_use]
    pub fn after(limit: Duration) -> Self {
        Self { at: clock::now().after(limit), limit }
    }

    /// Whether the moment has passed.
    #[must_use]
    pub fn has_passed(&self) -> bool {
        clock::now() >= self.at
    }

    /// How long it was when it was set.
    #[must_use]
    pub fn limit(&self) -> Duration {
        self.limit
    }
}
