//! Which parts of a read have arrived.

use std::ops::Range;

use crate::error::Error;

/// Most separate pieces that may be missing their neighbours at one moment.
///
/// Servers send the pieces of a reply in order or nearly so; QEMU and nbdkit always in order,
/// which is one growing piece. The limit bounds what a server that sends every other byte can
/// make us remember.
const MAX_PIECES: usize = 1024;

/// The parts of a buffer that were filled, as sorted ranges that do not touch.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    pieces: Vec<Range<usize>>,
}

impl Coverage {
    /// Notes that `new` was filled. It must be within the request, not empty, and new.
    pub(super) fn add(&mut self, new: Range<usize>) -> Result<(), Error> {
        let at = self.pieces.partition_point(|piece| piece.end < new.start);
        let mut merged = new.clone();
        let mut until = at;
        // At most the piece before and the piece after touch; anything else overlaps.
        while let Some(piece) = self
            .pieces
            .get(until)
            .filter(|piece| piece.start <= new.end)
        {
            if piece.start < new.end && new.start < piece.end {
                return Err(Error::protocol("the server sent one part of a read twice"));
            }
            merged = merged.start.min(piece.start)..merged.end.max(piece.end);
            until = until.saturating_add(1);
        }
        self.pieces.splice(at..until, [merged]);
        if self.pieces.len() > MAX_PIECES {
            return Err(Error::protocol(
                "the server sent a read in too many scattered pieces",
            ));
        }
        Ok(())
    }

    /// Whether all of a buffer of `length` bytes was filled.
    pub(super) fn is_complete(&self, length: usize) -> bool {
        match self.pieces.as_slice() {
            [] => length == 0,
            [all] => *all == (0..length),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_in_any_order_complete_the_read() {
        for order in [
            [0, 1, 2],
            [0, 2, 1],
            [1, 0, 2],
            [1, 2, 0],
            [2, 0, 1],
            [2, 1, 0],
        ] {
            let mut coverage = Coverage::default();
            for (count, piece) in order.into_iter().enumerate() {
                assert!(!coverage.is_complete(30), "complete after {count} pieces");
                coverage.add(piece * 10..piece * 10 + 10).unwrap();
            }
            assert!(coverage.is_complete(30), "{order:?}");
        }
    }

    #[test]
    fn overlapping_pieces_are_refused() {
        for twice in [5..6, 0..10, 9..20, 0..30, 19..21, 20..21, 29..40] {
            let mut coverage = Coverage::default();
            coverage.add(0..10).unwrap();
            coverage.add(20..30).unwrap();
            assert!(coverage.add(twice.clone()).is_err(), "{twice:?}");
        }
    }

    #[test]
    fn scattered_bytes_are_refused_before_they_cost_memory() {
        let mut coverage = Coverage::default();
        let refused = (0..1 << 20).find(|i| coverage.add(i * 2..i * 2 + 1).is_err());
        assert_eq!(refused, Some(MAX_PIECES));
    }
}
