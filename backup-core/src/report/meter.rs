//! Rates and the time left, from counters that only grow.

use std::time::{Duration, Instant};

use crate::report::{Counters, Progress};

/// Turns counters into [`Progress`].
#[derive(Debug)]
pub(crate) struct Meter {
    total: u64,
    start: Instant,
    last: Sample,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    done: u64,
    written: u64,
}

impl Meter {
    pub(crate) fn new(total: u64, now: Instant) -> Self {
        Self {
            total,
            start: now,
            last: Sample {
                at: now,
                done: 0,
                written: 0,
            },
        }
    }

    /// Progress at `now`; the rates are those since the last call.
    pub(crate) fn read(&mut self, counters: &Counters, now: Instant) -> Progress {
        let done = Counters::get(&counters.done);
        let written = Counters::get(&counters.written);
        let elapsed = now.saturating_duration_since(self.start);
        let since = now.saturating_duration_since(self.last.at);
        let progress = Progress {
            total: self.total,
            done,
            read: Counters::get(&counters.read),
            zero: Counters::get(&counters.zero),
            written,
            elapsed,
            rate: per_second(done.saturating_sub(self.last.done), since),
            write_rate: per_second(written.saturating_sub(self.last.written), since),
            eta: time_left(done, self.total, elapsed),
            depth: 0.0,
            fleecing: None,
            fleecing_limit: None,
            latency: None,
            latency_before: None,
        };
        self.last = Sample {
            at: now,
            done,
            written,
        };
        progress
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a rate is shown with few digits"
)]
fn per_second(bytes: u64, time: Duration) -> f64 {
    if time.is_zero() {
        0.0
    } else {
        bytes as f64 / time.as_secs_f64()
    }
}

/// At the mean rate so far; holes make the rate of a single interval useless for this.
fn time_left(done: u64, total: u64, elapsed: Duration) -> Option<Duration> {
    let left = u128::from(total.checked_sub(done)?);
    let nanos = elapsed
        .as_nanos()
        .checked_mul(left)?
        .checked_div(u128::from(done))?;
    Some(Duration::from_nanos(u64::try_from(nanos).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_the_last_interval_and_the_rest_is_extrapolated_from_all() {
        let start = Instant::now();
        let counters = Counters::default();
        let mut meter = Meter::new(1000, start);
        assert_eq!(meter.read(&counters, start).eta, None);
        Counters::add(&counters.done, 100);
        let progress = meter.read(&counters, start + Duration::from_secs(1));
        assert_eq!(
            (progress.rate, progress.eta),
            (100.0, Some(Duration::from_secs(9)))
        );
        Counters::add(&counters.done, 300);
        let progress = meter.read(&counters, start + Duration::from_secs(2));
        assert_eq!(
            (progress.rate, progress.eta),
            (300.0, Some(Duration::from_secs(3)))
        );
    }
}
