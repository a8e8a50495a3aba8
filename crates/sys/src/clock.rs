//! The one clock. Everything else takes the time as a parameter, so that a test can own it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A point of monotonic time, in microseconds since an arbitrary start that is the same for the
/// whole process.
///
/// Never goes backwards, does not follow the wall clock, and says nothing about the date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// The start of time; tests begin here.
    pub const ZERO: Time = Time(0);
    /// Later than anything that happens: a deadline that never comes.
    pub const FAR_FUTURE: Time = Time(u64::MAX);

    /// The point `micros` microseconds after the start.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Time {
        Time(micros)
    }

    /// Microseconds since the start.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// The time that passed since `earlier`, zero if `earlier` is in fact later.
    #[must_use]
    pub const fn since(self, earlier: Time) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// This point plus `span`, [`Time::FAR_FUTURE`] if that is out of range.
    #[must_use]
    pub const fn after(self, span: Duration) -> Time {
        let micros = span.as_micros();
        if micros > (u64::MAX - self.0) as u128 { Time::FAR_FUTURE } else { Time(self.0 + micros as u64) }
    }
}

/// Reads the monotonic clock (`CLOCK_MONOTONIC`).
///
/// A turn of the event queue reads it once: on a machine whose kernel cannot read its clock source
/// from user space this is a system call.
#[must_use]
pub fn now() -> Time {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    // The monotonic clock starts at boot: neither part is ever negative.
    Time(t.tv_sec as u64 * 1_000_000 + t.tv_nsec as u64 / 1_000)
}

/// The wall clock as file systems stamp it (`CLOCK_REALTIME_COARSE`), in nanoseconds since 1970: to tell whether a
/// file changed just now, and for nothing else.
#[must_use]
pub fn file_time_ns() -> i64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
    // In range until the year 2262.
    t.tv_sec.saturating_mul(1_000_000_000).saturating_add(t.tv_nsec)
}

/// Where a program takes its time from: the machine, or a simulation that moves it by hand.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// [`now`].
    #[default]
    Monotonic,
    /// The microseconds in the counter, which only the simulation moves, and never backwards.
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// The time.
    #[must_use]
    pub fn now(&self) -> Time {
        match self {
            Clock::Monotonic => now(),
            Clock::Manual(micros) => Time(micros.load(Ordering::Relaxed)),
        }
    }

    /// Whether time passes by itself, so that waiting for it makes sense.
    #[must_use]
    pub fn runs(&self) -> bool {
        matches!(self, Clock::Monotonic)
    }
}

/// CPU time that the calling thread has used, user and kernel together.
///
/// A poll-mode loop is always busy; this is what tells its cost from the wall clock's on a shared
/// machine.
#[must_use]
pub fn thread_cpu() -> Duration {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(t.tv_sec as u64, t.tv_nsec as u32)
}

/// CPU time that all threads of this process have used, user and kernel together.
#[must_use]
pub fn process_cpu() -> Duration {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(t.tv_sec as u64, t.tv_nsec as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_instead_of_wrapping() {
        let t = Time::from_micros(u64::MAX - 5);
        assert_eq!(t.after(Duration::from_secs(1)), Time::FAR_FUTURE);
        assert_eq!(Time::from_micros(7).since(Time::from_micros(9)), Duration::ZERO);
        assert_eq!(Time::from_micros(7).after(Duration::from_micros(2)), Time::from_micros(9));
    }

    #[test]
    fn the_clock_does_not_go_backwards() {
        let first = now();
        assert!(now() >= first);
    }
}
