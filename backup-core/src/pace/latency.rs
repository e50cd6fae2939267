//! The latency of the guest's writes.

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

    /// What 99 of 100 writes took at most since `earlier`, see [`GuestWrites::write_latency_since`].
    #[must_use]
    pub fn latency_since(&self, earlier: &Self) -> Option<Duration> {
        self.write_latency_since(earlier)
            .map(|latency| latency.slow)
    }

    /// The latency of the writes since `earlier`. `None` if nothing was written.
    ///
    /// Counters that went backwards (the guest was reset) or of other disks (one was unplugged)
    /// count as no writes.
    #[must_use]
    pub fn write_latency_since(&self, earlier: &Self) -> Option<WriteLatency> {
        if self.disks.len() != earlier.disks.len() {
            return None;
        }
        let pairs = self.disks.iter().zip(&earlier.disks);
        pairs
            .filter_map(|(now, then)| now.since(then))
            .reduce(WriteLatency::and)
    }
}

/// The latency of a guest's writes over an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WriteLatency {
    /// Writes and flushes that were completed.
    pub writes: u64,
    /// What 99 of 100 of them took at most, on the disk where that is longest; for disks that do not class
    /// their writes, the mean. Of ten and more the slowest is left out, too: it happens to any guest.
    pub slow: Duration,
    /// What half of them took at most, likewise.
    pub median: Duration,
    /// What they took on average.
    pub mean: Duration,
}

impl WriteLatency {
    /// The latency of two disks together: the slower one's slow writes, since a program that waits for many
    /// writes waits for those.
    fn and(self, other: Self) -> Self {
        let writes = self.writes.saturating_add(other.writes);
        let time = |latency: Self| {
            latency
                .mean
                .as_nanos()
                .saturating_mul(latency.writes.into())
        };
        let mean = time(self)
            .saturating_add(time(other))
            .checked_div(writes.into())
            .and_then(|nanos| u64::try_from(nanos).ok());
        Self {
            writes,
            slow: self.slow.max(other.slow),
            median: self.median.max(other.median),
            mean: Duration::from_nanos(mean.unwrap_or(u64::MAX)),
        }
    }
}

impl WriteLatency {
    /// The middle between two measurements, each of which chance may have made.
    pub(crate) fn half_way_to(self, other: Self) -> Self {
        let middle = |one: Duration, other: Duration| {
            let sum = one.saturating_add(other);
            sum.checked_div(2).unwrap_or(sum)
        };
        Self {
            writes: other.writes,
            slow: middle(self.slow, other.slow),
            median: middle(self.median, other.median),
            mean: middle(self.mean, other.mean),
        }
    }
}

/// From this many writes on the slowest one is left out.
const MANY: u64 = 10;

impl DiskWrites {
    fn since(&self, earlier: &Self) -> Option<WriteLatency> {
        let writes = self.operations.checked_sub(earlier.operations)?;
        let mean = self
            .time
            .checked_sub(earlier.time)?
            .checked_div(u32::try_from(writes).ok()?)?;
        let classes = Classes::since(self, earlier);
        let bound = |left_out: fn(u64) -> u64| classes.as_ref()?.bound(left_out);
        Some(WriteLatency {
            writes,
            slow: bound(|total| (total / 100).max(u64::from(total >= MANY))).unwrap_or(mean),
            median: bound(|total| total / 2).unwrap_or(mean),
            mean,
        })
    }
}

/// The writes of an interval, by latency.
struct Classes(Vec<(Duration, u64)>);

impl Classes {
    fn since(now: &DiskWrites, earlier: &DiskWrites) -> Option<Self> {
        if now.classes.len() != earlier.classes.len() {
            return None;
        }
        let pairs = now.classes.iter().zip(&earlier.classes);
        let counts = pairs.map(|(now, then)| Some((now.0, now.1.checked_sub(then.1)?)));
        counts.collect::<Option<_>>().map(Self)
    }

    /// The bound of the class below which all are but the slowest, of which so many are left out.
    fn bound(&self, left_out: fn(u64) -> u64) -> Option<Duration> {
        let counts = self.0.iter();
        let total = counts.fold(0_u64, |sum, (_, count)| sum.saturating_add(*count));
        let wanted = total.saturating_sub(left_out(total));
        let mut sum = 0_u64;
        self.0.iter().find_map(|(bound, count)| {
            sum = sum.saturating_add(*count);
            (wanted > 0 && sum >= wanted).then_some(*bound)
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
    fn of_few_writes_the_slowest_one_counts_and_of_ten_no_longer() {
        let earlier = GuestWrites::of(vec![disk([0, 0, 0])]);
        let latency = |counts| GuestWrites::of(vec![disk(counts)]).latency_since(&earlier);
        assert_eq!(latency([8, 1, 0]), Some(ms(8)));
        assert_eq!(latency([9, 1, 0]), Some(ms(1)));
        assert_eq!(latency([9, 2, 0]), Some(ms(8)));
    }

    #[test]
    fn the_mean_is_that_of_all_disks_together() {
        let disk = |operations, time| DiskWrites {
            operations,
            time: ms(time),
            classes: Vec::new(),
        };
        let earlier = GuestWrites::of(vec![disk(0, 0), disk(7, 9)]);
        let now = GuestWrites::of(vec![disk(30, 30), disk(17, 59)]);
        let latency = now.write_latency_since(&earlier).unwrap();
        assert_eq!(
            (latency.writes, latency.slow, latency.mean),
            (40, ms(5), ms(2))
        );
        assert_eq!(now.write_latency_since(&now), None);
    }

    #[test]
    fn half_of_the_writes_took_no_longer_than_the_median() {
        let earlier = GuestWrites::of(vec![disk([0, 0, 0])]);
        let median = |counts| {
            let now = GuestWrites::of(vec![disk(counts)]);
            now.write_latency_since(&earlier).unwrap().median
        };
        assert_eq!(median([51, 49, 0]), ms(1));
        assert_eq!(median([49, 51, 0]), ms(8));
        assert_eq!(median([1, 0, 0]), ms(1));
        assert_eq!(median([0, 0, 3]), Duration::MAX);
        let earlier = GuestWrites::new(10, ms(10));
        let latency = GuestWrites::new(12, ms(16)).write_latency_since(&earlier);
        assert_eq!(latency.unwrap().median, ms(3), "without classes the mean");
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
