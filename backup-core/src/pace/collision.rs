//! What is said when the guest's comfort and the end of its backup cannot both be had.

use std::fmt;
use std::time::Duration;

use crate::pace::floor::Reason;
use crate::pace::latency::WriteLatency;
use crate::report::units;

/// The backup slows the guest down beyond its budget, and reading goes on all the same.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Collision {
    /// Why.
    pub reason: Reason,
    /// The guest's write latency.
    pub latency: WriteLatency,
    /// The same while hardly anything was read, if that is known.
    pub baseline: Option<WriteLatency>,
    /// Bytes that are read a second.
    pub rate: f64,
}

impl fmt::Display for Collision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the backup slows the guest down: its writes take {} at the 99th percentile and {} on average",
            millis(self.latency.slow),
            millis(self.latency.mean)
        )?;
        if let Some(baseline) = self.baseline {
            write!(
                f,
                " ({} and {} while hardly anything is read)",
                millis(baseline.slow),
                millis(baseline.mean)
            )?;
        }
        write!(f, "; reading continues at {}: ", units::rate(self.rate))?;
        match self.reason {
            Reason::Finish(within) => write!(
                f,
                "otherwise it would not end within the {} that it may take",
                units::duration(within)
            ),
            Reason::Images => f.write_str("slower, the fleecing images would outgrow it"),
            Reason::Slowest => f.write_str("this is one small read at a time"),
        }
    }
}

fn millis(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_it_costs_and_why() {
        let latency = |slow, mean| WriteLatency {
            writes: 100,
            slow: Duration::from_millis(slow),
            median: Duration::ZERO,
            mean: Duration::from_millis(mean),
        };
        let collision = Collision {
            reason: Reason::Finish(Duration::from_secs(8 * 3600)),
            latency: latency(12, 3),
            baseline: Some(latency(4, 1)),
            rate: 52_428_800.0,
        };
        assert_eq!(
            collision.to_string(),
            "the backup slows the guest down: its writes take 12.0 ms at the 99th percentile and 3.0 ms \
             on average (4.0 ms and 1.0 ms while hardly anything is read); reading \
             continues at 50.00 MiB/s: otherwise it would not end within the 8h 0m 0s that it may take"
        );
        let slowest = Collision {
            reason: Reason::Slowest,
            baseline: None,
            ..collision
        };
        assert!(
            slowest
                .to_string()
                .ends_with("this is one small read at a time")
        );
    }
}
