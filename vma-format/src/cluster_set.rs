//! Which clusters of a device have been seen.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;

use crate::error::{Error, ErrorKind, Result};

/// A set of cluster numbers, small for what is in order: a piece of 512 clusters (32 MiB of disk)
/// takes one bit each while it is partly filled, and nothing once all before it are full, too.
#[derive(Debug, Clone, Default)]
pub(crate) struct ClusterSet {
    /// How many pieces from the first on are full; `pieces` has those behind them.
    full: u64,
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

/// The most pieces that are kept track of for all devices of an archive: at some 120 bytes each, 60 MiB.
///
/// Only pieces behind one that is not full count, so an archive in order needs one for each device,
/// and one written by a guest's whims a few for what it overtakes. Extents of a hostile archive can
/// touch another piece with each 8 bytes.
pub(crate) const MAX_PIECES: usize = 1 << 19;

impl ClusterSet {
    /// Adds a cluster; says whether it was new. `room` is how many more pieces there may be.
    pub(crate) fn insert(&mut self, index: u64, room: &mut usize) -> Result<bool> {
        let (piece, word, bit) = place(index);
        if piece < self.full {
            return Ok(false);
        }
        let slot = match self.pieces.entry(piece) {
            Entry::Occupied(slot) => slot.into_mut(),
            Entry::Vacant(slot) => {
                let scattered = || {
                    let detail = "the clusters are too scattered to keep track of them";
                    Error::new(ErrorKind::TooFragmented, detail)
                };
                *room = room.checked_sub(1).ok_or_else(scattered)?;
                slot.insert(Piece::Partial(Box::default()))
            }
        };
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
        if *word == u64::MAX && words.iter().all(|&word| word == u64::MAX) {
            *slot = Piece::Full;
            self.advance(room);
        }
        self.len = self.len.saturating_add(1);
        Ok(true)
    }

    /// Adds clusters that follow each other, if all of them are new and there is room for each piece that they touch;
    /// otherwise nothing changes.
    pub(crate) fn insert_run(&mut self, clusters: Range<u64>, room: &mut usize) -> bool {
        let mut new = 0_usize;
        for (piece, words) in parts(&clusters) {
            let free = |there: &[u64; 8]| there.iter().zip(&words).all(|(one, two)| one & two == 0);
            match self.pieces.get(&piece) {
                None if piece >= self.full => new = new.saturating_add(1),
                Some(Piece::Partial(there)) if free(there) => {}
                _ => return false,
            }
        }
        if new > *room {
            return false;
        }
        for (piece, words) in parts(&clusters) {
            if piece == self.full && words == [u64::MAX; 8] {
                self.full = self.full.saturating_add(1);
                self.advance(room);
                continue;
            }
            let slot = self.pieces.entry(piece).or_insert_with(|| {
                *room = room.saturating_sub(1);
                Piece::Partial(Box::default())
            });
            if let Piece::Partial(there) = slot {
                for (there, new) in there.iter_mut().zip(&words) {
                    *there |= new;
                }
                if there.iter().all(|&word| word == u64::MAX) {
                    *slot = Piece::Full;
                    self.advance(room);
                }
            }
        }
        let count = clusters.end.saturating_sub(clusters.start);
        self.len = self.len.saturating_add(count);
        true
    }

    /// Forgets full pieces that follow those that are full already.
    fn advance(&mut self, room: &mut usize) {
        while let Some(Piece::Full) = self.pieces.get(&self.full) {
            self.pieces.remove(&self.full);
            self.full = self.full.saturating_add(1);
            *room = room.saturating_add(1);
        }
    }

    /// Whether a cluster is there.
    pub(crate) fn contains(&self, index: u64) -> bool {
        let (piece, word, bit) = place(index);
        match self.pieces.get(&piece) {
            None => piece < self.full,
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
                None if piece < self.full && there => return Some(at),
                None if piece < self.full => at = self.full.saturating_mul(PIECE),
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

/// The pieces that clusters are in, and which of each one they are.
fn parts(clusters: &Range<u64>) -> impl Iterator<Item = (u64, [u64; 8])> {
    let Range { start, end } = *clusters;
    let pieces = start / PIECE..end.div_ceil(PIECE);
    pieces.map(move |piece| {
        let base = piece.saturating_mul(PIECE);
        let mut words = [0; 8];
        let mut from = base;
        for word in &mut words {
            let to = from.saturating_add(64);
            // Both as bits of this word.
            let low = start.clamp(from, to).saturating_sub(from);
            let high = end.clamp(from, to).saturating_sub(from);
            *word = below(high) & !below(low);
            from = to;
        }
        (piece, words)
    })
}

/// The lowest `count` bits of a word, all of them if there are not so many.
fn below(count: u64) -> u64 {
    let bit = u32::try_from(count)
        .ok()
        .and_then(|count| 1_u64.checked_shl(count));
    bit.map_or(u64::MAX, |bit| bit.saturating_sub(1))
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
            let mut room = 1000;
            let mut ours = ClusterSet::default();
            let mut model = BTreeSet::new();
            let all = indices.into_iter().chain(runs.into_iter().flat_map(|(a, n)| a..a + n));
            for index in all {
                prop_assert_eq!(ours.insert(index, &mut room).unwrap(), model.insert(index));
            }
            prop_assert_eq!(room.saturating_add(ours.pieces.len()), 1000);
            prop_assert_eq!(ours.len(), model.len() as u64);
            let missing: Vec<u64> = ours.missing(2500).flatten().collect();
            let expected: Vec<u64> = (0..2500).filter(|index| !model.contains(index)).collect();
            prop_assert_eq!(missing, expected);
            prop_assert!((0..2500).all(|index| ours.contains(index) == model.contains(&index)));
        }
    }

    proptest! {
        #[test]
        fn a_run_is_added_as_its_clusters_are_or_not_at_all(
            runs in prop::collection::vec((0..2000_u64, 0..1200_u64), 0..12),
            mut room in 0..8_usize,
        ) {
            let all = room;
            let mut ours = ClusterSet::default();
            let mut model = BTreeSet::new();
            for run in runs.into_iter().map(|(start, count)| start..start + count) {
                let before = (ours.clone(), room);
                if ours.insert_run(run.clone(), &mut room) {
                    for index in run {
                        prop_assert!(model.insert(index));
                    }
                } else {
                    prop_assert_eq!((ours.len(), room), (before.0.len(), before.1));
                    let taken = run.clone().any(|index| model.contains(&index));
                    prop_assert!(taken || run.end.div_ceil(PIECE) - run.start / PIECE > room as u64);
                }
                prop_assert_eq!(ours.len(), model.len() as u64);
                prop_assert!((0..3500).all(|index| ours.contains(index) == model.contains(&index)));
                prop_assert_eq!(room + ours.pieces.len(), all);
            }
        }
    }

    #[test]
    fn what_is_in_order_needs_room_for_one_piece() {
        let (mut set, mut room) = (ClusterSet::default(), 1);
        for index in 0..5000 {
            assert!(set.insert(index, &mut room).unwrap());
        }
        assert!(!set.insert(7, &mut room).unwrap());
        let error = set.insert(1_000_000, &mut room).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooFragmented);
    }

    #[test]
    fn missing_ranges_of_a_huge_empty_device_are_one() {
        let mut set = ClusterSet::default();
        set.insert(5, &mut 1).unwrap();
        let missing: Vec<_> = set.missing(1 << 32).collect();
        assert_eq!(missing, [0..5, 6..1 << 32]);
    }
}
