//! How hard to read, and the ladder on which that is changed.

/// How hard to read.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Pace {
    /// Reads in flight on average. Below one: one at a time, and that only this part of the time.
    pub reads: f64,
    /// Bytes that one read asks for at most.
    pub piece: usize,
}

/// The smallest piece. Smaller ones cost QEMU as much and the guest no less.
const SMALLEST: f64 = 131_072.0;

/// The largest piece, a chunk of the pipeline. From here on there are more reads at once instead: two
/// of half the size cost the guest more than one.
const LARGEST: f64 = 1_048_576.0;

/// The part of one read that counts as none: enough that a backup never stands still.
const NONE: f64 = 1.0 / 16.0;

impl Pace {
    /// So many reads in flight, each of a whole chunk.
    #[must_use]
    pub fn full(reads: usize) -> Self {
        Self {
            reads: count(reads.max(1)),
            piece: usize::MAX,
        }
    }

    /// Hardly any reading: the latency measured now is not caused by our reading.
    #[must_use]
    pub fn rested() -> Self {
        Self {
            reads: NONE,
            ..Effort::LEAST.pace()
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
        rest.clamp(0.0, 1.0 / NONE)
    }
}

/// Bytes in flight: first in one read that grows, then in more and more of them.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(crate) struct Effort(f64);

/// One read at a time, of the largest size.
const ONE_READ: Effort = Effort(LARGEST);

impl Effort {
    /// One small read at a time. Less protects nobody: a backup that never ends slows first writes for
    /// ever, and one request is what any program on the guest's host may cost it.
    pub(crate) const LEAST: Self = Self(SMALLEST);

    /// So much more, or less, within what is allowed: `reads` whole chunks at most.
    #[must_use]
    pub(crate) fn times(self, factor: f64, reads: usize) -> Self {
        Self((self.0 * factor).clamp(SMALLEST, LARGEST * count(reads.max(1))))
    }

    /// How many times `other` it is.
    pub(crate) fn over(self, other: Self) -> f64 {
        self.0 / other.0
    }

    pub(crate) fn max(self, other: Self) -> Self {
        Self(self.0.max(other.0))
    }

    /// One read of twice the size, unless that is more than one read.
    pub(crate) fn larger_piece(self) -> Option<Self> {
        let twice = self.times(2.0, 1);
        (self < ONE_READ).then_some(twice)
    }

    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between the smallest and the largest piece"
    )]
    pub(crate) fn pace(self) -> Pace {
        let piece = self.0.clamp(SMALLEST, LARGEST);
        Pace {
            reads: self.0 / piece,
            piece: piece as usize,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a number of threads")]
fn count(reads: usize) -> f64 {
    reads as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(reads: f64) -> Pace {
        Pace {
            reads,
            ..Pace::full(1)
        }
    }

    #[test]
    fn below_one_read_at_a_time_there_are_rests() {
        assert_eq!((pace(0.25).places(), pace(0.25).rest()), (1, 3.0));
        assert_eq!((pace(1.0).places(), pace(1.0).rest()), (1, 0.0));
        assert_eq!((pace(3.0).places(), pace(3.0).rest()), (3, 0.0));
        assert_eq!(pace(1.5).places(), 2);
        assert!((pace(1.5).rest() - 1.0 / 3.0).abs() < 1e-9);
        assert!(pace(0.0).rest().is_finite());
        assert!(Pace::rested().rest() >= 15.0);
    }

    #[test]
    fn first_the_piece_grows_and_then_the_number_of_reads() {
        let mut effort = Effort::LEAST;
        let mut ladder = Vec::new();
        for _ in 0..8 {
            let pace = effort.pace();
            ladder.push((pace.reads, pace.piece >> 10));
            effort = effort.times(2.0, 8);
        }
        let expected = [
            (1.0, 128),
            (1.0, 256),
            (1.0, 512),
            (1.0, 1024),
            (2.0, 1024),
            (4.0, 1024),
            (8.0, 1024),
            (8.0, 1024),
        ];
        assert_eq!(ladder, expected);
        assert_eq!(Effort::LEAST.times(0.1, 8), Effort::LEAST);
        assert_eq!(Effort::LEAST.times(1e9, 0).pace().places(), 1);
    }
}
