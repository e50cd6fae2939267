//! Reading at the pace that the guest bears.
//!
//! Reading a running guest's disk competes with the guest for QEMU's threads and for the disk: with
//! eight reads of 1 MiB in flight, a guest's small writes can take a hundred times longer than
//! without a backup, with one in flight they hardly change. How many the guest bears depends on the
//! machine, so we measure what it feels, the latency of its own writes, and steer the number of
//! reads in flight by it.

use std::time::Duration;

/// What the guest's disks did so far, summed over the disks (QAPI `BlockDeviceStats`: `wr_operations`,
/// `wr_total_time_ns`, `flush_operations`, `flush_total_time_ns`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GuestWrites {
    /// Writes and flushes completed.
    pub operations: u64,
    /// Time they took together.
    pub time: Duration,
}

impl GuestWrites {
    /// Counters of one disk or of several added up.
    #[must_use]
    pub fn new(operations: u64, time: Duration) -> Self {
        Self { operations, time }
    }

    /// The mean latency since `earlier`; `None` if nothing was written.
    ///
    /// Counters that went backwards (the guest was reset, a disk unplugged) count as no writes.
    #[must_use]
    pub fn latency_since(&self, earlier: &Self) -> Option<Duration> {
        let operations = u32::try_from(self.operations.checked_sub(earlier.operations)?).ok()?;
        self.time.checked_sub(earlier.time)?.checked_div(operations)
    }
}

/// Decides how many reads may be in flight.
///
/// Additive increase, multiplicative decrease: one more read after each interval in which the guest's
/// writes stayed well below the budget, half as many as soon as they exceed it, and all that are
/// allowed after the guest has been idle for some intervals.
#[derive(Clone, Debug)]
pub struct Pacer {
    budget: Duration,
    /// Below this there is room for one read more.
    comfortable: Duration,
    max: usize,
    depth: usize,
    idle_intervals: u32,
}

/// How often to measure. Shorter intervals hold too few writes to tell anything.
pub const INTERVAL: Duration = Duration::from_millis(200);

/// Intervals without a write after which the guest counts as idle: short pauses between writes are
/// not an invitation.
const IDLE_AFTER: u32 = 3;

impl Pacer {
    /// Starts with one read in flight. `budget` is the mean write latency that the guest may see
    /// during the backup, `max` the most reads ever in flight.
    #[must_use]
    pub fn new(budget: Duration, max: usize) -> Self {
        let comfortable = budget.mul_f64(0.75);
        Self {
            budget,
            comfortable,
            max: max.max(1),
            depth: 1,
            idle_intervals: 0,
        }
    }

    /// Takes the latency of the last interval (`None`: no writes) and returns the new depth.
    pub fn observe(&mut self, latency: Option<Duration>) -> usize {
        match latency {
            None => {
                self.idle_intervals = self.idle_intervals.saturating_add(1);
                if self.idle_intervals >= IDLE_AFTER {
                    self.depth = self.max;
                }
            }
            Some(latency) => {
                // The first write after a pause finds the reader at full depth and is no measure
                // of what one read less would do: start again from the bottom.
                if self.idle_intervals >= IDLE_AFTER {
                    self.depth = 1;
                } else if latency > self.budget {
                    self.depth = (self.depth / 2).max(1);
                } else if latency < self.comfortable {
                    self.depth = self.depth.saturating_add(1).min(self.max);
                }
                self.idle_intervals = 0;
            }
        }
        self.depth
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Duration = Duration::from_millis(4);

    /// A guest whose writes take half a millisecond plus two per read in flight beyond the first.
    fn guest(depth: usize) -> Duration {
        Duration::from_micros(500 + 2000 * (depth as u64 - 1))
    }

    #[test]
    fn a_busy_guest_stays_within_its_budget_most_of_the_time() {
        let mut pacer = Pacer::new(BUDGET, 8);
        let mut depth = 1;
        let mut over = 0;
        let mut sum = 0;
        for _ in 0..1000 {
            let latency = guest(depth);
            over += usize::from(latency > BUDGET);
            depth = pacer.observe(Some(latency));
            sum += depth;
        }
        assert!(over < 350, "{over} of 1000 intervals over budget");
        assert!(sum > 1200, "and yet more than one read in flight: {sum}");
    }

    #[test]
    fn a_guest_that_cannot_bear_two_reads_gets_one() {
        let mut pacer = Pacer::new(BUDGET, 8);
        for _ in 0..100 {
            assert_eq!(pacer.observe(Some(BUDGET * 2)), 1);
        }
    }

    #[test]
    fn an_idle_guest_gets_the_maximum_and_loses_it_with_its_first_write() {
        let mut pacer = Pacer::new(BUDGET, 8);
        assert_eq!(pacer.observe(None), 1);
        assert_eq!(pacer.observe(None), 1);
        assert_eq!(pacer.observe(None), 8);
        assert_eq!(pacer.observe(None), 8);
        assert_eq!(pacer.observe(Some(Duration::from_micros(100))), 1);
        assert_eq!(pacer.observe(Some(Duration::from_micros(100))), 2);
    }

    #[test]
    fn latency_is_the_mean_since_the_last_look() {
        let ms = Duration::from_millis;
        let earlier = GuestWrites::new(10, ms(10));
        assert_eq!(
            GuestWrites::new(12, ms(16)).latency_since(&earlier),
            Some(ms(3))
        );
        assert_eq!(GuestWrites::new(10, ms(10)).latency_since(&earlier), None);
        assert_eq!(
            GuestWrites::new(3, ms(1)).latency_since(&earlier),
            None,
            "reset"
        );
    }
}
