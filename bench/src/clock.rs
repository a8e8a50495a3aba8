//! The one place where the experiments read a clock. Everything else takes time as a parameter.

use core::time::Duration;
use rustix::time::{ClockId, clock_gettime};

/// Monotonic time since an arbitrary start (`CLOCK_MONOTONIC`); only differences mean anything.
#[must_use]
pub fn now() -> Duration {
    let t = clock_gettime(ClockId::Monotonic);
    // The kernel promises 0 <= tv_nsec < 1e9 and a monotonic clock that began at zero.
    Duration::new(t.tv_sec.unsigned_abs(), u32::try_from(t.tv_nsec).unwrap_or(0))
}
