//! The slowest pace: one read at a time, of the size that costs the guest least in all.
//!
//! A guest that is slowed down even by one small read is beyond its budget; what can still be reduced is the total. On a
//! disk whose head has to move, a read of 1 MiB holds the guest up hardly longer than one of 128 KiB, and
//! eight times fewer are needed. So the size grows as long as the *power* does, the rate divided by the
//! guest's mean latency (Kleinrock 1979): that is what makes the guest wait least for each byte read.

use std::time::Duration;

use crate::pace::effort::Effort;

/// Finds the slowest pace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Least {
    effort: Effort,
    search: Search,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Search {
    /// Nothing has been tried.
    New,
    /// A larger size is being tried; the smaller one had this power.
    Trying(f64),
    Ended,
}

/// A larger size has to have so many times the power of the smaller one: what is measured varies.
const WORTH: f64 = 1.2;

impl Default for Least {
    fn default() -> Self {
        Self {
            effort: Effort::LEAST,
            search: Search::New,
        }
    }
}

impl Least {
    pub(crate) fn effort(&self) -> Effort {
        self.effort
    }

    /// Whether two sizes are being compared, which takes a long look.
    pub(crate) fn is_trying(&self) -> bool {
        matches!(self.search, Search::Trying(_))
    }

    /// Takes what came of the slowest pace, which exceeds the guest's budget, and tells the one to go on with.
    pub(crate) fn next(&mut self, rate: f64, mean: Duration) -> Effort {
        let power = rate / mean.as_secs_f64().max(1e-6);
        let is_worth_it = match self.search {
            Search::New => true,
            Search::Trying(before) => power >= before * WORTH,
            Search::Ended => return self.effort,
        };
        match self.effort.larger_piece() {
            _ if !is_worth_it => {
                self.effort = self.effort.times(0.5, 1);
                self.search = Search::Ended;
            }
            Some(larger) => {
                self.effort = larger;
                self.search = Search::Trying(power);
            }
            None => self.search = Search::Ended,
        }
        self.effort
    }

    /// The guest does not feel it: what is being tried is good.
    pub(crate) fn settle(&mut self) {
        self.search = Search::Ended;
    }

    /// What was found may be so no longer.
    pub(crate) fn doubt(&mut self) {
        self.effort = self.effort.times(0.5, 1);
        self.search = Search::New;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The size in KiB that is found where a read takes `seek` and `mib` for each MiB, in milliseconds.
    fn found(seek: f64, mib: f64) -> usize {
        let mut least = Least::default();
        for _ in 0..10 {
            let piece = least.effort().pace().piece as f64 / 1_048_576.0;
            let takes = seek + mib * piece;
            let guest = Duration::from_secs_f64((6.0 + takes) / 1e3);
            least.next(piece / takes, guest);
        }
        least.effort().pace().piece >> 10
    }

    #[test]
    fn where_a_read_has_its_price_reads_are_large_and_elsewhere_small() {
        assert_eq!(found(6.0, 6.0), 1024);
        assert_eq!(found(0.01, 20.0), 128);
    }

    #[test]
    fn what_was_found_is_doubted_now_and_then() {
        let mut least = Least::default();
        let slow = Duration::from_millis(10);
        assert_eq!(least.next(10.0, slow).pace().piece, 256 << 10);
        assert_eq!(least.next(10.0, slow).pace().piece, 128 << 10);
        assert_eq!(
            least.next(99.0, slow).pace().piece,
            128 << 10,
            "it has ended"
        );
        least.doubt();
        assert_eq!(least.effort(), Effort::LEAST);
        assert_eq!(least.next(10.0, slow).pace().piece, 256 << 10);
        least.settle();
        assert_eq!(least.next(1.0, slow).pace().piece, 256 << 10);
    }
}
