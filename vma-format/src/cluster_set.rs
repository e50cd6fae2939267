//! Which clusters of a device have been seen.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::{Error, ErrorKind, Result};

/// A set of cluster numbers, small for what is in order: a piece of 512 clusters (32 MiB of disk)
/// takes one bit each while it is partly filled, and next to nothing once it is full.
#[derive(Debug, Clone, Default)]
pub(crate) struct ClusterSet {
    pieces: BTreeMap<u64, Piece>,
    len: u64,
}

#[derive(Debug, Clone)]
enum Piece {
    Full,
    Partial(Box<[u64; 8]>),
}

/// Clusters in one piece.
const PIECE: u64 = 512;

/// The most pieces that are kept track of, about 1 GiB of memory at worst.
///
/// An honest disk of 256 TiB has 8 Mi pieces. Header and extents of a hostile archive can claim
/// 254 such disks and touch each piece at the price of 8 bytes.
const MAX_PIECES: usize = 1 << 23;

impl ClusterSet {
    /// Adds a cluster; says whether it was new.
    pub(crate) fn insert(&mut self, index: u64) -> Result<bool> {
        let (piece, word, bit) = place(index);
        if !self.pieces.contains_key(&piece) && self.pieces.len() >= MAX_PIECES {
            let detail = "the clusters are too scattered to keep track of them";
            return Err(Error::new(ErrorKind::TooFragmented, detail));
        }
        let slot = self
            .pieces
            .entry(piece)
            .or_insert_with(|| Piece::Partial(Box::default()));
        let Piece::Partial(words) = slot else {
            return Ok(false);
        };
        let Some(word) = words.get_mut(word) else {
            return Ok(false);
        };
        if *word & bit != 0 {
            return Ok(false);
        }
        *word |= bit;
        if words.iter().all(|&word| word == u64::MAX) {
            *slot = Piece::Full;
        }
        self.len = self.len.saturating_add(1);
        Ok(true)
    }

    #[cfg(test)]
    pub(crate) fn contains(&self, index: u64) -> bool {
        let (piece, word, bit) = place(index);
        match self.pieces.get(&piece) {
            None => false,
            Some(Piece::Full) => true,
            Some(Piece::Partial(words)) => words.get(word).is_some_and(|word| word & bit != 0),
        }
    }

    /// How many there are.
    pub(crate) const fn len(&self) -> u64 {
        self.len
    }

    /// The clusters below `count` that are not there, as ranges in ascending order.
    pub(crate) fn missing(&self, count: u64) -> impl Iterator<Item = Range<u64>> {
        let mut next = 0;
        std::iter::from_fn(move || {
            let start = self.next(next, count, false)?;
            next = self.next(start, count, true).unwrap_or(count);
            Some(start..next)
        })
    }

    /// The first cluster at or behind `from` and below `count` that is there, or that is not.
    fn next(&self, from: u64, count: u64, there: bool) -> Option<u64> {
        let mut at = from;
        while at < count {
            let (piece, word, bit) = place(at);
            let piece_end = piece.saturating_add(1).saturating_mul(PIECE);
            match self.pieces.get(&piece) {
                None if there => {
                    // Jump over what is not there at all.
                    let (&next, _) = self.pieces.range(piece..).next()?;
                    at = next.saturating_mul(PIECE);
                    continue;
                }
                None => return Some(at),
                Some(Piece::Full) if there => return Some(at),
                Some(Piece::Full) => at = piece_end,
                Some(Piece::Partial(words)) => {
                    let word = words.get(word).copied().unwrap_or(0);
                    if (word & bit != 0) == there {
                        return Some(at);
                    }
                    at = at.saturating_add(1);
                }
            }
        }
        None
    }
}

/// Piece, word and bit of a cluster.
fn place(index: u64) -> (u64, usize, u64) {
    let within = index % PIECE;
    let word = usize::try_from(within / 64).unwrap_or(0);
    (
        index / PIECE,
        word,
        1_u64.wrapping_shl(u32::try_from(within % 64).unwrap_or(0)),
    )
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "a test may panic")]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_agrees_with_a_set_of_the_standard_library(
            indices in prop::collection::vec(0..2000_u64, 0..3000),
            runs in prop::collection::vec((0..2000_u64, 0..1200_u64), 0..3),
        ) {
            let mut ours = ClusterSet::default();
            let mut model = BTreeSet::new();
            let all = indices.into_iter().chain(runs.into_iter().flat_map(|(a, n)| a..a + n));
            for index in all {
                prop_assert_eq!(ours.insert(index).unwrap(), model.insert(index));
            }
            prop_assert_eq!(ours.len(), model.len() as u64);
            let missing: Vec<u64> = ours.missing(2500).flatten().collect();
            let expected: Vec<u64> = (0..2500).filter(|index| !model.contains(index)).collect();
            prop_assert_eq!(missing, expected);
            prop_assert!((0..2500).all(|index| ours.contains(index) == model.contains(&index)));
        }
    }

    #[test]
    fn missing_ranges_of_a_huge_empty_device_are_one() {
        let mut set = ClusterSet::default();
        set.insert(5).unwrap();
        let missing: Vec<_> = set.missing(1 << 32).collect();
        assert_eq!(missing, [0..5, 6..1 << 32]);
    }
}
