//! The one place where the rig reads a clock; deadlines are values of [`Deadline`].

use core::time::Duration;
use rustix::time::{ClockId, clock_gettime};

/// Monotonic time since an arbitrary start; only differences mean anything.
#[must_use]
pub fn now() -> Duration {
    let t = clock_gettime(ClockId::Monotonic);
    // The kernel promises 0 <= tv_nsec < 1e9 and a monotonic clock that began at zero.
    Duration::new(t.tv_sec.unsigned_abs(), u32::try_from(t.tv_nsec).unwrap_or(0))
}

/// A moment by which something must have happened.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    at: Duration,
    limit: Duration,
}

impl Deadline {
    /// `limit` from now.
    #[must_use]
    pub fn after(limit: Duration) -> Self {
        Self { at: now().saturating_add(limit), limit }
    }

    /// Whether the moment has passed.
    #[must_use]
    pub fn has_passed(&self) -> bool {
        now() >= self.at
    }

    /// How long it was when it was set.
    #[must_use]
    pub fn limit(&self) -> Duration {
        self.limit
    }
}
