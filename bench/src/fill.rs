//! How full completed buffers were: a distribution, because a mean hides the many small ones.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Two significant digits are enough to see a shape.
const DIGITS: u8 = 2;

/// Bytes of each completion, counted.
#[derive(Debug)]
pub struct FillSizes(Option<Histogram<u64>>);

/// The distribution in three numbers, bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct FillSummary {
    /// Half of the completions had at most this.
    pub p50: u64,
    /// 99 of 100 had at most this.
    pub p99: u64,
    /// The fullest.
    pub max: u64,
}

impl FillSizes {
    /// For buffers of `max` bytes.
    #[must_use]
    pub fn new(max: u64) -> FillSizes {
        // Refused only for a range below 2.
        FillSizes(Histogram::new_with_bounds(1, max.max(2), DIGITS).ok())
    }

    /// Counts one completion.
    pub fn record(&mut self, bytes: u64) {
        if let Some(histogram) = &mut self.0 {
            histogram.saturating_record(bytes);
        }
    }

    /// Completions counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.as_ref().map_or(0, Histogram::len)
    }

    /// The distribution.
    #[must_use]
    pub fn summary(&self) -> FillSummary {
        self.0.as_ref().map_or_else(FillSummary::default, |histogram| FillSummary {
            p50: histogram.value_at_quantile(0.5),
            p99: histogram.value_at_quantile(0.99),
            max: histogram.max(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_large_ones_do_not_hide_the_small() {
        let mut fills = FillSizes::new(65_536);
        for _ in 0..90 {
            fills.record(1448);
        }
        for _ in 0..10 {
            fills.record(65_536);
        }
        let summary = fills.summary();
        assert!((1440..1470).contains(&summary.p50), "{summary:?}");
        assert!(summary.p99 > 60_000 && summary.max > 60_000);
        assert_eq!(fills.count(), 100);
    }
}
