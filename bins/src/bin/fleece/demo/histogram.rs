//! How long things took, in little memory.

use std::collections::BTreeMap;
use std::time::Duration;

/// Counts durations in buckets of which each is at most 1/16 wider than its lower bound, so that
/// percentiles are that exact. Maximum, count and sum are exact.
#[derive(Clone, Debug, Default)]
pub(super) struct Histogram {
    /// By the longest duration of each bucket, in nanoseconds; at most 16 for each power of two.
    buckets: BTreeMap<u64, u64>,
    pub(super) count: u64,
    pub(super) sum: Duration,
    pub(super) max: Duration,
}

impl Histogram {
    pub(super) fn add(&mut self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let bucket = self.buckets.entry(longest_in_bucket(nanos)).or_default();
        *bucket = bucket.saturating_add(1);
        self.count = self.count.saturating_add(1);
        self.sum = self.sum.saturating_add(duration);
        self.max = self.max.max(duration);
    }

    /// The duration that `percent` of a hundred did not exceed; zero if there are none.
    pub(super) fn percentile(&self, percent: u64) -> Duration {
        let wanted = self.count.saturating_mul(percent).div_ceil(100).max(1);
        let mut seen = 0_u64;
        for (&longest, &count) in &self.buckets {
            seen = seen.saturating_add(count);
            if seen >= wanted {
                return Duration::from_nanos(longest).min(self.max);
            }
        }
        self.max
    }
}

/// Sets all bits below the five highest that are in use.
fn longest_in_bucket(nanos: u64) -> u64 {
    let used = u64::BITS.saturating_sub(nanos.leading_zeros());
    let free = used.saturating_sub(5);
    nanos | 1_u64.checked_shl(free).unwrap_or(0).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(micros: impl IntoIterator<Item = u64>) -> Histogram {
        let mut histogram = Histogram::default();
        for micros in micros {
            histogram.add(Duration::from_micros(micros));
        }
        histogram
    }

    #[test]
    fn percentiles_are_never_too_small_and_at_most_a_sixteenth_too_large() {
        let histogram = histogram(1..=10_000);
        for percent in [1, 50, 90, 99, 100] {
            let exact = Duration::from_micros(percent * 100);
            let found = histogram.percentile(percent);
            assert!(found >= exact, "p{percent}: {found:?}");
            assert!(found <= exact + exact / 16, "p{percent}: {found:?}");
        }
        assert_eq!(histogram.max, Duration::from_millis(10));
        assert_eq!(histogram.percentile(100), histogram.max);
        assert_eq!(histogram.sum, Duration::from_micros(50_005_000));
    }

    #[test]
    fn one_slow_write_in_a_hundred_is_above_the_99th_percentile() {
        let histogram = histogram((0..99).map(|_| 10).chain([500_000]));
        assert!(histogram.percentile(99) < Duration::from_micros(11));
        assert_eq!(histogram.max, Duration::from_millis(500));
    }

    #[test]
    fn nothing_and_extremes_have_percentiles_too() {
        assert_eq!(Histogram::default().percentile(99), Duration::ZERO);
        let mut histogram = Histogram::default();
        histogram.add(Duration::ZERO);
        assert_eq!(histogram.percentile(50), Duration::ZERO);
        histogram.add(Duration::MAX);
        assert_eq!(histogram.max, Duration::MAX);
        assert_eq!(histogram.percentile(50), Duration::ZERO);
    }
}
