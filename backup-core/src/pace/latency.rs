//! What the guest felt: the latency of its writes.

use std::time::Duration;

/// What the guest's disks did so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GuestWrites {
    disks: Vec<DiskWrites>,
}

/// What one disk did so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DiskWrites {
    /// Writes and flushes completed.
    pub operations: u64,
    /// Time they took together.
    pub time: Duration,
    /// Where they were counted by latency: the upper bound of each class and how many are in it,
    /// ascending. What took longer than the last bound is counted with [`Duration::MAX`].
    pub classes: Vec<(Duration, u64)>,
}

impl GuestWrites {
    /// Counters of one disk, or of several added up, without classes.
    #[must_use]
    pub fn new(operations: u64, time: Duration) -> Self {
        let disk = DiskWrites {
            operations,
            time,
            classes: Vec::new(),
        };
        Self { disks: vec![disk] }
    }

    /// Counters of several disks.
    #[must_use]
    pub fn of(disks: Vec<DiskWrites>) -> Self {
        Self { disks }
    }

    /// What 99 of 100 writes took at most since `earlier`, on the disk where that is longest; for
    /// a disk that does not class its writes, their mean. `None` if nothing was written.
    ///
    /// Counters that went backwards (the guest was reset) or of other disks (one was unplugged)
    /// count as no writes.
    #[must_use]
    pub fn latency_since(&self, earlier: &Self) -> Option<Duration> {
        if self.disks.len() != earlier.disks.len() {
            return None;
        }
        let pairs = self.disks.iter().zip(&earlier.disks);
        pairs.filter_map(|(now, then)| now.since(then)).max()
    }
}

impl DiskWrites {
    fn since(&self, earlier: &Self) -> Option<Duration> {
        let operations = self.operations.checked_sub(earlier.operations)?;
        let mean = self
            .time
            .checked_sub(earlier.time)?
            .checked_div(u32::try_from(operations).ok()?)?;
        Some(self.slow_since(earlier).unwrap_or(mean))
    }

    /// The bound of the class below which 99 of 100 are.
    fn slow_since(&self, earlier: &Self) -> Option<Duration> {
        if self.classes.len() != earlier.classes.len() {
            return None;
        }
        let counts: Option<Vec<(Duration, u64)>> = self
            .classes
            .iter()
            .zip(&earlier.classes)
            .map(|(now, then)| Some((now.0, now.1.checked_sub(then.1)?)))
            .collect();
        let counts = counts?;
        let total = counts
            .iter()
            .fold(0_u64, |sum, (_, count)| sum.saturating_add(*count));
        let wanted = total.saturating_sub(total / 100);
        let mut sum = 0_u64;
        counts.into_iter().find_map(|(bound, count)| {
            sum = sum.saturating_add(count);
            (wanted > 0 && sum >= wanted).then_some(bound)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    fn disk(counts: [u64; 3]) -> DiskWrites {
        DiskWrites {
            operations: counts.iter().sum(),
            time: ms(counts.iter().sum()),
            classes: vec![
                (ms(1), counts[0]),
                (ms(8), counts[1]),
                (Duration::MAX, counts[2]),
            ],
        }
    }

    #[test]
    fn without_classes_the_mean_since_the_last_look_counts() {
        let earlier = GuestWrites::new(10, ms(10));
        let latency = |operations, time| GuestWrites::new(operations, time).latency_since(&earlier);
        assert_eq!(latency(12, ms(16)), Some(ms(3)));
        assert_eq!(latency(10, ms(10)), None);
        assert_eq!(latency(3, ms(1)), None, "reset");
    }

    #[test]
    fn one_slow_write_in_a_hundred_does_not_count_and_two_do() {
        let earlier = GuestWrites::of(vec![disk([1000, 500, 5])]);
        let latency = |counts| GuestWrites::of(vec![disk(counts)]).latency_since(&earlier);
        assert_eq!(latency([1099, 501, 5]), Some(ms(1)));
        assert_eq!(latency([1098, 502, 5]), Some(ms(8)));
        assert_eq!(latency([1000, 501, 5]), Some(ms(8)), "the only one counts");
        assert_eq!(latency([1098, 500, 7]), Some(Duration::MAX));
        assert_eq!(latency([1000, 500, 5]), None);
        assert_eq!(latency([0, 500, 5]), None, "reset");
    }

    #[test]
    fn the_slowest_disk_speaks_for_the_guest() {
        let earlier = GuestWrites::of(vec![disk([0, 0, 0]), disk([0, 0, 0])]);
        let now = GuestWrites::of(vec![disk([100_000, 0, 0]), disk([0, 3, 0])]);
        assert_eq!(now.latency_since(&earlier), Some(ms(8)));
        let fewer = GuestWrites::of(vec![disk([100_000, 0, 0])]);
        assert_eq!(fewer.latency_since(&earlier), None);
    }
}
