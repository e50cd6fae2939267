//! A numbered block whose every byte follows from its number.
//!
//! A block is 32 bytes of header and a pseudo-random filling seeded by that header, so that a mixture
//! of two writes is told from either of them, wherever it is cut:
//!
//! | bytes | what |
//! |---|---|
//! | 0..8 | [`MAGIC`] |
//! | 8..12 | thread, little endian |
//! | 12..16 | disk, little endian |
//! | 16..24 | number, little endian, from 1 |
//! | 24..32 | zero |
//! | 32..4096 | filling |

use crate::aligned::{BLOCK_SIZE, Block};

/// The first bytes of each numbered block.
pub const MAGIC: [u8; 8] = *b"FLEECEn1";

const HEADER_SIZE: usize = 32;

/// Which write a block stems from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "it is the whole header")]
pub struct Stamp {
    /// The writing thread, from 0.
    pub thread: u32,
    /// The disk in the order of writing, from 0.
    pub disk: u32,
    /// The number of the step, from 1.
    pub number: u64,
}

/// What a block turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a block is one of these three")]
pub enum Found {
    /// Nothing but zeros: never written.
    Empty,
    /// Exactly what one write wrote.
    Whole(Stamp),
    /// Anything else: a torn write, or foreign data.
    Torn,
}

impl Stamp {
    /// The block of this write.
    pub fn fill(self, block: &mut Block) {
        let header = self.header();
        let (chunks, _) = block.0.as_chunks_mut::<8>();
        let (head, filling) = chunks.split_at_mut(HEADER_SIZE / 8);
        for (chunk, bytes) in head.iter_mut().zip(header) {
            *chunk = bytes;
        }
        let mut state = self.seed();
        for chunk in filling {
            *chunk = next(&mut state).to_le_bytes();
        }
    }

    /// Where the block lies, in bytes: each thread has a ring of `slots` blocks. `None` beyond 64 bits.
    pub fn offset(self, slots: u64) -> Option<u64> {
        let slot = u64::from(self.thread)
            .checked_mul(slots)?
            .checked_add(self.number.checked_rem(slots)?)?;
        slot.checked_mul(u64::try_from(BLOCK_SIZE).ok()?)
    }

    fn header(self) -> [[u8; 8]; HEADER_SIZE / 8] {
        let place = u64::from(self.disk) << 32 | u64::from(self.thread);
        [
            MAGIC,
            place.to_le_bytes(),
            self.number.to_le_bytes(),
            [0; 8],
        ]
    }

    fn seed(self) -> u64 {
        let mut state = self.number;
        state = next(&mut state) ^ u64::from(self.thread);
        next(&mut state) ^ u64::from(self.disk)
    }
}

/// What the bytes of one block are. `bytes` of another length than a block are [`Found::Torn`].
pub fn recognise(bytes: &[u8]) -> Found {
    if bytes.len() != BLOCK_SIZE {
        return Found::Torn;
    }
    let (chunks, _) = bytes.as_chunks::<8>();
    if chunks.iter().all(|chunk| *chunk == [0; 8]) {
        return Found::Empty;
    }
    let [magic, place, number, ..] = chunks else {
        return Found::Torn;
    };
    let [t0, t1, t2, t3, d0, d1, d2, d3] = *place;
    let stamp = Stamp {
        thread: u32::from_le_bytes([t0, t1, t2, t3]),
        disk: u32::from_le_bytes([d0, d1, d2, d3]),
        number: u64::from_le_bytes(*number),
    };
    let mut expected = Block::zeroed();
    stamp.fill(&mut expected);
    if *magic == MAGIC && expected.0.as_slice() == bytes {
        Found::Whole(stamp)
    } else {
        Found::Torn
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, and one bit of the seed changes everything.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(thread: u32, disk: u32, number: u64) -> Block {
        let mut block = Block::zeroed();
        Stamp {
            thread,
            disk,
            number,
        }
        .fill(&mut block);
        block
    }

    #[test]
    fn a_written_block_is_recognised_with_its_stamp() {
        let stamp = Stamp {
            thread: 3,
            disk: 1,
            number: 77,
        };
        assert_eq!(recognise(&block(3, 1, 77).0), Found::Whole(stamp));
    }

    #[test]
    fn an_unwritten_block_is_empty() {
        assert_eq!(recognise(&[0; BLOCK_SIZE]), Found::Empty);
    }

    #[test]
    fn a_mixture_of_two_writes_is_torn_wherever_it_is_cut() {
        let old = block(0, 0, 41);
        let new = block(0, 0, 42);
        for cut in (8..BLOCK_SIZE).step_by(8) {
            let mut mixed = new.0;
            mixed[cut..].copy_from_slice(&old.0[cut..]);
            // Up to the number, both are the same bytes.
            let expected = match cut {
                ..=16 => recognise(&old.0),
                _ => Found::Torn,
            };
            assert_eq!(recognise(&mixed), expected, "cut at {cut}");
        }
    }

    #[test]
    fn one_flipped_bit_is_torn() {
        for position in 0..BLOCK_SIZE {
            let mut bytes = block(1, 1, 1).0;
            bytes[position] ^= 0x10;
            assert_eq!(recognise(&bytes), Found::Torn, "byte {position}");
        }
    }

    #[test]
    fn threads_have_rings_of_their_own() {
        let at = |thread, number| {
            Stamp {
                thread,
                disk: 0,
                number,
            }
            .offset(16)
        };
        assert_eq!(at(0, 1), Some(4096));
        assert_eq!(at(0, 16), Some(0));
        assert_eq!(at(2, 17), Some((2 * 16 + 1) * 4096));
    }
}
