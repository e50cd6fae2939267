//! Counting writes by their latency, as `block-latency-histogram-set` makes QEMU do it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::pace::latency::DiskWrites;

/// How many classes there are: with the bounds below, up to 10 s, and the last for all that is slower.
const CLASSES: usize = 64;

/// The upper bounds of all classes but the last, in nanoseconds: each a quarter longer than the one
/// before, from the time of a system call on.
const BOUNDS: [u64; CLASSES - 1] = bounds();

const fn bounds() -> [u64; CLASSES - 1] {
    let mut bounds = [0; CLASSES - 1];
    let mut rest = bounds.as_mut_slice();
    let mut bound = 10_000_u64;
    while let Some((first, others)) = rest.split_first_mut() {
        *first = bound;
        bound = bound.saturating_add(bound / 4);
        rest = others;
    }
    bounds
}

/// The writes of one disk.
#[derive(Debug)]
pub(super) struct Latencies {
    nanoseconds: AtomicU64,
    classes: [AtomicU64; CLASSES],
}

impl Latencies {
    pub(super) fn new() -> Self {
        Self {
            nanoseconds: AtomicU64::new(0),
            classes: [const { AtomicU64::new(0) }; CLASSES],
        }
    }

    pub(super) fn count(&self, took: Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(took, Ordering::Relaxed);
        let class = BOUNDS.partition_point(|bound| *bound < took);
        if let Some(class) = self.classes.get(class) {
            class.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn nanoseconds(&self) -> u64 {
        self.nanoseconds.load(Ordering::Relaxed)
    }

    pub(super) fn classes(&self) -> Vec<u64> {
        let classes = self.classes.iter();
        classes.map(|class| class.load(Ordering::Relaxed)).collect()
    }
}

/// What these counters say.
pub(super) fn writes(nanoseconds: u64, classes: &[u64]) -> DiskWrites {
    let bounds = BOUNDS.iter().copied().map(Duration::from_nanos);
    DiskWrites {
        operations: classes
            .iter()
            .fold(0, |sum, count| sum.saturating_add(*count)),
        time: Duration::from_nanos(nanoseconds),
        classes: bounds
            .chain([Duration::MAX])
            .zip(classes.iter().copied())
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pace::latency::GuestWrites;

    #[test]
    fn the_slow_ones_are_found_again() {
        let latencies = Latencies::new();
        let now = || GuestWrites::of(vec![writes(latencies.nanoseconds(), &latencies.classes())]);
        let before = now();
        assert_eq!(now().latency_since(&before), None);
        for _ in 0..98 {
            latencies.count(Duration::from_micros(20));
        }
        latencies.count(Duration::from_millis(3));
        latencies.count(Duration::from_millis(3));
        let latency = now().latency_since(&before).unwrap();
        assert!((3000..3750).contains(&latency.as_micros()), "{latency:?}");
        assert_eq!(now_operations(&latencies), 100);
    }

    #[test]
    fn what_takes_nothing_or_for_ever_is_counted_too() {
        let latencies = Latencies::new();
        latencies.count(Duration::ZERO);
        latencies.count(Duration::MAX);
        assert_eq!(now_operations(&latencies), 2);
        let classes = writes(0, &latencies.classes()).classes;
        assert_eq!(classes.len(), CLASSES);
        assert_eq!(classes.last(), Some(&(Duration::MAX, 1)));
        assert!(BOUNDS.is_sorted() && BOUNDS.last().unwrap() > &10_000_000_000);
    }

    fn now_operations(latencies: &Latencies) -> u64 {
        writes(latencies.nanoseconds(), &latencies.classes()).operations
    }
}
