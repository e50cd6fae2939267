//! Reading at the pace that the guest bears.
//!
//! Reading a running guest's disk competes with the guest for QEMU's threads, for the processors and for
//! the disk. With eight reads of 1 MiB in flight, one in a hundred of a guest's small writes takes thirty
//! times longer than without a backup; with small reads and rests in between hardly longer. How much the
//! guest bears depends on the machine, so we measure what it feels, the latency of its own writes, and
//! steer the number of reads in flight by it: from all that are allowed down to a small part of one.
//!
//! What counts is not the mean but what the slowest disk's writes take at most, 99 of 100 of them: a
//! program that waits for many writes waits for the slow ones.

use std::time::Duration;

/// How hard to read.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Pace {
    /// Reads in flight on average. Below one: one at a time, and that only this part of the time.
    pub reads: f64,
    /// Bytes that one read asks for at most.
    pub piece: usize,
}

impl Pace {
    /// So many reads in flight, each of a whole chunk.
    #[must_use]
    pub fn full(reads: usize) -> Self {
        Self {
            reads: count(reads.max(1)),
            piece: usize::MAX,
        }
    }

    /// Reads in flight at most.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float that is too large becomes the largest integer, a negative one 0"
    )]
    pub fn places(self) -> usize {
        (self.reads.ceil() as usize).max(1)
    }

    /// How long to rest after a read, as a multiple of the time that it took.
    #[must_use]
    pub fn rest(self) -> f64 {
        let rest = count(self.places()) / self.reads - 1.0;
        rest.clamp(0.0, 1.0 / SLOWEST)
    }
}

/// Decides how hard to read.
///
/// Multiplicative increase and decrease: a tenth more after each interval in which 99 of 100 of the
/// guest's writes were faster than the limit, half as much after one in which they were not, and all that
/// is allowed after the guest has been idle for some intervals. A guest that writes is read in small
/// pieces, since its writes wait behind whatever QEMU does for us.
#[derive(Clone, Debug)]
pub struct Pacer {
    limit: Duration,
    max: usize,
    reads: f64,
    idle_intervals: u32,
}

/// How often to measure. Shorter intervals hold too few writes to tell anything.
pub(crate) const INTERVAL: Duration = Duration::from_millis(200);

/// Intervals without a write after which the guest counts as idle: short pauses between writes are
/// not an invitation.
const IDLE_AFTER: u32 = 3;

/// The slowest pace, however much the guest suffers: some 10 MiB/s where one read at a time gives 160. A
/// backup that never ends protects nobody, and its filter slows first writes as long as it lasts.
const SLOWEST: f64 = 1.0 / 16.0;

/// Bytes of a read while the guest writes: small, since a write waits behind the one that is under way.
/// Table of sizes and paces: `docs/SPECIFICATION.md`, "What the guest feels".
const GENTLE: usize = 128 << 10;

/// A busy guest's writes may take this many times what they took before the backup.
const TIMES: u32 = 2;

/// Nobody notices a write that is faster than this: on its way to us and back it takes as long. What is
/// counted is only what happens in between.
const UNFELT: Duration = Duration::from_micros(50);

/// The limit for a guest that did not write before the backup.
pub(crate) const DEFAULT_LIMIT: Duration = Duration::from_millis(2);

/// The limit for a guest of whose writes 99 of 100 took at most `before` when nothing disturbed them.
#[must_use]
pub(crate) fn limit(before: Option<Duration>) -> Duration {
    before.map_or(DEFAULT_LIMIT, |before| {
        before.saturating_mul(TIMES).max(UNFELT)
    })
}

impl Pacer {
    /// Starts with the slowest pace. `limit` is what 99 of 100 writes may take during the backup,
    /// `max` the most reads ever in flight.
    #[must_use]
    pub fn new(limit: Duration, max: usize) -> Self {
        Self {
            limit,
            max: max.max(1),
            reads: SLOWEST,
            idle_intervals: 0,
        }
    }

    /// Takes the guest for idle until it writes.
    #[must_use]
    pub fn idle(mut self) -> Self {
        self.idle_intervals = IDLE_AFTER;
        self
    }

    /// The pace now.
    #[must_use]
    pub fn pace(&self) -> Pace {
        if self.idle_intervals >= IDLE_AFTER {
            return Pace::full(self.max);
        }
        Pace {
            reads: self.reads,
            piece: GENTLE,
        }
    }

    /// Takes the latency of the last interval (`None`: no writes) and returns the new pace.
    pub fn observe(&mut self, latency: Option<Duration>) -> Pace {
        match latency {
            None => self.idle_intervals = self.idle_intervals.saturating_add(1),
            Some(latency) => {
                // The first write after a pause finds the reader at full speed and says nothing about
                // the pace that the busy guest had borne: go on with that.
                if self.idle_intervals < IDLE_AFTER {
                    let factor = if latency > self.limit { 0.5 } else { 1.1 };
                    self.reads = (self.reads * factor).clamp(SLOWEST, count(self.max));
                }
                self.idle_intervals = 0;
            }
        }
        self.pace()
    }
}

#[expect(clippy::cast_precision_loss, reason = "a number of threads")]
fn count(reads: usize) -> f64 {
    reads as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(1);

    /// A guest whose slow writes take 400 us alone and `per_read` more for each of our reads in flight.
    fn guest(pace: Pace, per_read: u64) -> Duration {
        Duration::from_micros(400) + Duration::from_micros(per_read).mul_f64(pace.reads)
    }

    /// The mean pace over 1000 intervals, and how many of them were over the limit.
    fn run(per_read: u64) -> (f64, usize) {
        let mut pacer = Pacer::new(LIMIT, 8);
        let (mut sum, mut over) = (0.0, 0);
        for _ in 0..1000 {
            let latency = guest(pacer.pace(), per_read);
            over += usize::from(latency > LIMIT);
            sum += pacer.observe(Some(latency)).reads;
        }
        (sum / 1000.0, over)
    }

    #[test]
    fn a_busy_guest_stays_within_its_limit_most_of_the_time() {
        for per_read in [100, 1000, 5000] {
            let (_, over) = run(per_read);
            assert!(
                over < 150,
                "{per_read}: {over} of 1000 intervals over the limit"
            );
        }
    }

    #[test]
    fn reading_is_as_fast_as_the_guest_bears() {
        for per_read in [100, 1000, 5000] {
            // What would take the slow writes just to the limit.
            let best = 600.0 / per_read as f64;
            let (mean, _) = run(per_read);
            assert!(mean > best * 0.6, "{per_read}: {mean} of {best}");
        }
    }

    #[test]
    fn a_guest_that_bears_nothing_is_still_backed_up() {
        let mut pacer = Pacer::new(LIMIT, 8);
        for _ in 0..100 {
            let pace = pacer.observe(Some(LIMIT * 100));
            assert!(pace.reads >= SLOWEST && pace.places() == 1, "{pace:?}");
        }
    }

    #[test]
    fn an_idle_guest_is_read_at_full_speed_until_its_first_write() {
        let mut pacer = Pacer::new(LIMIT, 8);
        for _ in 0..20 {
            pacer.observe(Some(LIMIT / 2));
        }
        let busy = pacer.pace();
        assert_eq!(pacer.observe(None), busy, "a short pause");
        assert_eq!(pacer.observe(None), busy);
        assert_eq!(pacer.observe(None), Pace::full(8));
        // Full speed made it slow, which says nothing about the pace before.
        assert_eq!(pacer.observe(Some(LIMIT * 9)), busy);
        assert!(pacer.observe(Some(LIMIT * 9)).reads < busy.reads);
    }

    #[test]
    fn a_guest_that_was_idle_before_is_read_at_full_speed_at_once() {
        let mut pacer = Pacer::new(LIMIT, 8).idle();
        assert_eq!(pacer.pace(), Pace::full(8));
        assert_eq!(pacer.observe(None), Pace::full(8));
        assert!(pacer.observe(Some(LIMIT)).reads < 1.0);
    }

    #[test]
    fn below_one_read_at_a_time_there_are_rests() {
        let pace = |reads| Pace {
            reads,
            piece: GENTLE,
        };
        assert_eq!((pace(0.25).places(), pace(0.25).rest()), (1, 3.0));
        assert_eq!((pace(1.0).places(), pace(1.0).rest()), (1, 0.0));
        assert_eq!((pace(3.0).places(), pace(3.0).rest()), (3, 0.0));
        assert_eq!(pace(1.5).places(), 2);
        assert!((pace(1.5).rest() - 1.0 / 3.0).abs() < 1e-9);
        assert!(pace(0.0).rest().is_finite());
    }

    #[test]
    fn the_limit_follows_what_the_guest_felt_before() {
        let ms = Duration::from_millis;
        assert_eq!(limit(Some(ms(10))), ms(20));
        assert_eq!(limit(Some(Duration::from_micros(20))), UNFELT);
        assert_eq!(limit(None), ms(2));
    }
}
