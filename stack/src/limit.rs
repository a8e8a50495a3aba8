//! A rate limit: so many a second, with a small burst.

use naio_sys::clock::Time;

/// Replies in a burst, as a part of a second's allowance.
const BURST_PER_SECOND: u64 = 10;
const US_PER_S: u64 = 1_000_000;

/// A token bucket.
pub(crate) struct RateLimit {
    per_s: u64,
    /// In millionths of a token.
    tokens: u64,
    last: Time,
}

impl RateLimit {
    pub(crate) fn new(per_s: u32, now: Time) -> RateLimit {
        let mut limit = RateLimit { per_s: per_s.into(), tokens: 0, last: now };
        limit.tokens = limit.burst();
        limit
    }

    /// Whether one more may go now.
    pub(crate) fn allows(&mut self, now: Time) -> bool {
        let elapsed = now.since(self.last).as_micros().min(u128::from(US_PER_S)) as u64;
        self.last = now;
        self.tokens = (self.tokens + elapsed * self.per_s).min(self.burst());
        let allowed = self.tokens >= US_PER_S;
        if allowed {
            self.tokens -= US_PER_S;
        }
        allowed
    }

    fn burst(&self) -> u64 {
        (self.per_s / BURST_PER_SECOND).max(self.per_s.min(1)) * US_PER_S
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_the_rate_over_a_second_and_recovers() {
        let mut limit = RateLimit::new(100, Time::ZERO);
        let allowed = (0..1_000_000).step_by(100).filter(|&us| limit.allows(Time::from_micros(us))).count();
        assert!((100..=111).contains(&allowed), "{allowed}");
        assert!(limit.allows(Time::from_micros(5_000_000)));
        assert!(!RateLimit::new(0, Time::ZERO).allows(Time::from_micros(9_000_000)));
    }
}
