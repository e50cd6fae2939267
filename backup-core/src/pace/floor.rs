//! The lowest rate of reading, whatever the guest's latency.
//!
//! A backup that never ends protects nobody, and it is not kind either: until an area is read, each first
//! write to it pays for the filter.

use std::time::Duration;

/// Derives the least rate from the time that is left and from the growth of the fleecing images.
#[derive(Clone, Debug)]
pub(crate) struct Floor {
    finish_within: Option<Duration>,
    /// Bytes per second by which the images grow, smoothed.
    growth: f64,
    last: Option<(Duration, u64)>,
}

/// Bytes per second that are to be read at least.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Need {
    pub(crate) rate: f64,
    pub(crate) reason: Reason,
}

/// Why reading goes on although it exceeds the guest's budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// It would not end within this time.
    Finish(Duration),
    /// The fleecing images would take ever more room.
    Images,
    /// It is the slowest pace already.
    Slowest,
}

/// Reading is to be so many times as fast as the images grow: then they hold at most half of the data.
const TIMES_GROWTH: f64 = 2.0;

/// Growth is smoothed over so many seconds: images grow in bursts.
const SMOOTHED: f64 = 2.0;

/// When the time is nearly over, the rest is spread over this part of it, so that the rate stays finite.
const LAST_PART: f64 = 1.0 / 16.0;

impl Floor {
    pub(crate) fn new(finish_within: Option<Duration>) -> Self {
        Self {
            finish_within,
            growth: 0.0,
            last: None,
        }
    }

    /// Takes what the images hold at the time `at`.
    pub(crate) fn observe(&mut self, at: Duration, held: Option<u64>) {
        let Some(held) = held else { return };
        if let Some((then, before)) = self.last {
            let took = at.saturating_sub(then).as_secs_f64();
            if took <= 0.0 {
                return;
            }
            let growth = (bytes(held) - bytes(before)) / took;
            let weight = took / (took + SMOOTHED);
            self.growth += (growth - self.growth) * weight;
        }
        self.last = Some((at, held));
    }

    /// What is needed at the time `at` with `left` bytes to go.
    pub(crate) fn need(&self, at: Duration, left: u64) -> Need {
        let images = Need {
            rate: self.growth.max(0.0) * TIMES_GROWTH,
            reason: Reason::Images,
        };
        let Some(within) = self.finish_within else {
            return images;
        };
        let last_part = within.as_secs_f64() * LAST_PART;
        let time = within.saturating_sub(at).as_secs_f64().max(last_part);
        let finish = Need {
            rate: bytes(left) / time.max(1.0),
            reason: Reason::Finish(within),
        };
        if finish.rate > images.rate {
            finish
        } else {
            images
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate needs few digits")]
fn bytes(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_rest_is_spread_over_the_time_that_is_left() {
        let floor = Floor::new(Some(SECOND * 160));
        let rate = |at, left| floor.need(SECOND * at, left).rate;
        assert!((rate(0, 1600) - 10.0).abs() < 1e-9);
        assert!((rate(80, 1600) - 20.0).abs() < 1e-9);
        // Late, or too late, it is not infinite.
        assert!((rate(155, 1600) - 160.0).abs() < 1e-9);
        assert!((rate(1000, 1600) - 160.0).abs() < 1e-9);
    }

    #[test]
    fn images_that_grow_are_read_twice_as_fast_and_others_ask_for_nothing() {
        let mut floor = Floor::new(None);
        for second in 0..30 {
            floor.observe(SECOND * second, Some(u64::from(second) * 1000));
        }
        let need = floor.need(SECOND * 30, 1 << 40);
        assert_eq!(need.reason, Reason::Images);
        assert!((need.rate - 2000.0).abs() < 10.0, "{need:?}");
        for second in 30..60 {
            floor.observe(
                SECOND * second,
                Some(30_000 - u64::from(second - 30) * 1000),
            );
        }
        assert!(floor.need(SECOND * 60, 1 << 40).rate <= 0.0);
        // Neither a storage that does not answer nor a clock that stands still changes anything.
        floor.observe(SECOND * 59, Some(u64::MAX));
        floor.observe(SECOND * 90, None);
        assert!(floor.need(SECOND * 90, 1).rate <= 0.0);
    }
}
