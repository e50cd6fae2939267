//! What the guest may feel of reading.

use std::time::Duration;

use crate::pace::latency::WriteLatency;

/// What the guest's writes may take while it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    /// 99 of 100 of them.
    slow: Duration,
    /// On average.
    mean: Duration,
}

/// What people ask for a guest that is not to feel its backup.
const SLOW_PERCENT: u32 = 150;
const MEAN_PERCENT: u32 = 125;

/// Nobody notices that a slow write takes so much longer: on storage that is this fast, programs do not
/// wait for a single one.
const SLOW_UNFELT: Duration = Duration::from_millis(2);

/// Nor this on average: a write's way through the guest's own system takes as long.
const MEAN_UNFELT: Duration = Duration::from_micros(100);

impl Budget {
    /// What nobody notices where writes take `baseline` while nothing is read.
    #[must_use]
    pub(crate) fn relative_to(baseline: WriteLatency) -> Self {
        Self {
            slow: larger(baseline.slow, SLOW_PERCENT, SLOW_UNFELT),
            mean: larger(baseline.mean, MEAN_PERCENT, MEAN_UNFELT),
        }
    }

    /// A limit that somebody has set.
    #[must_use]
    pub(crate) fn limit(slow: Duration) -> Self {
        Self {
            slow,
            mean: Duration::MAX,
        }
    }

    /// How much of it is used up: above 1 it is exceeded.
    #[must_use]
    pub(crate) fn strain(self, latency: WriteLatency) -> f64 {
        let part =
            |latency: Duration, allowed: Duration| latency.as_secs_f64() / allowed.as_secs_f64();
        part(latency.slow, self.slow).max(part(latency.mean, self.mean))
    }
}

/// So many hundredths of `baseline`, or `unfelt` more than it, whichever is larger.
fn larger(baseline: Duration, percent: u32, unfelt: Duration) -> Duration {
    let multiple = baseline.saturating_mul(percent).checked_div(100);
    multiple
        .unwrap_or(baseline)
        .max(baseline.saturating_add(unfelt))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exceeds(budget: Budget, latency: WriteLatency) -> bool {
        budget.strain(latency) > 1.0
    }

    fn latency(slow: u64, mean: u64) -> WriteLatency {
        WriteLatency {
            writes: 1000,
            slow: Duration::from_micros(slow),
            median: Duration::ZERO,
            mean: Duration::from_micros(mean),
        }
    }

    #[test]
    fn fast_storage_may_lose_what_nobody_notices_and_slow_storage_a_part() {
        let fast = Budget::relative_to(latency(200, 50));
        assert!(!exceeds(fast, latency(2200, 150)));
        assert!(exceeds(fast, latency(2201, 50)));
        assert!(exceeds(fast, latency(200, 151)));
        let slow = Budget::relative_to(latency(40_000, 8000));
        assert!(!exceeds(slow, latency(60_000, 10_000)));
        assert!(exceeds(slow, latency(60_001, 10_000)));
        assert!(exceeds(slow, latency(60_000, 10_001)));
    }

    #[test]
    fn a_limit_says_nothing_of_the_mean() {
        let limit = Budget::limit(Duration::from_millis(5));
        assert!(!exceeds(limit, latency(5000, 4999)));
        assert!(exceeds(limit, latency(5001, 1)));
    }

    #[test]
    fn what_takes_for_ever_is_within_no_budget_but_its_own() {
        let forever = WriteLatency {
            writes: 1,
            slow: Duration::MAX,
            median: Duration::MAX,
            mean: Duration::MAX,
        };
        assert!(exceeds(Budget::relative_to(latency(1, 1)), forever));
        assert!(!exceeds(Budget::relative_to(forever), forever));
    }
}
