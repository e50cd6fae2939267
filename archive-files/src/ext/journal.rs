//! The journal (jbd2): what was committed, but not yet written to its place, is read from it as if it had been.
//! Facts: `Documentation/filesystems/ext4/journal.rst`; all numbers are big-endian.

use std::collections::HashMap;
use std::io;

use super::Volume;
use super::inode::Inode;
use super::map;
use crate::bytes::{Fields, div, rem, size};
use crate::error::{Error, Result};
use crate::source::{Shared, Source};

const MAGIC: u32 = 0xc03b_3998;

const WIDE: u32 = 0x2;
const CHECKSUM_2: u32 = 0x8;
const CHECKSUM_3: u32 = 0x10;
const FAST_COMMIT: u32 = 0x20;

/// All features that there are.
const ALL: u32 = 0x3f;

/// The longest journal that is replayed, in blocks: e2fsprogs makes none of more than 10,240,000.
const MAX_BLOCKS: u64 = 10_240_000;

/// How many blocks are revoked in a journal: a journal whose blocks are all one would have any number.
const MAX_REVOKES: usize = 1 << 22;

/// A volume, with blocks from its journal in their places.
pub(super) struct Replayed {
    source: Shared,
    block_size: u64,
    blocks: HashMap<u64, Copy>,
}

/// Where a block's newest content is.
#[derive(Debug, Clone, Copy)]
struct Copy {
    /// In the volume, in bytes.
    place: u64,
    /// Its first four bytes are those that would have looked like the journal's own.
    is_escaped: bool,
}

/// What a replay found.
pub(super) struct Replay {
    blocks: HashMap<u64, Copy>,
    transactions: u32,
    has_fast_commits: bool,
}

impl Replay {
    pub(super) fn note(&self) -> String {
        let fast = match self.has_fast_commits {
            true => "; fast commits in it are not read, so what was synced last may be missing",
            false => "",
        };
        format!(
            "it was not unmounted: {} transactions of its journal were replayed in memory{fast}",
            self.transactions
        )
    }
}

impl Replayed {
    pub(super) fn new(source: Shared, block_size: u64) -> Self {
        Self {
            source,
            block_size,
            blocks: HashMap::new(),
        }
    }

    pub(super) fn put(&mut self, replay: Replay) {
        self.blocks = replay.blocks;
    }
}

impl Source for Replayed {
    fn size(&self) -> u64 {
        self.source.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if self.blocks.is_empty() {
            return self.source.read_at(offset, buffer);
        }
        let (mut at, mut rest) = (offset, buffer);
        while !rest.is_empty() {
            let block = div(at, self.block_size);
            let within = rem(at, self.block_size);
            let len = size(self.block_size.saturating_sub(within)).min(rest.len());
            let (now, later) = rest.split_at_mut(len);
            match self.blocks.get(&block) {
                None => self.source.read_at(at, now)?,
                Some(copy) => {
                    let place = copy.place.saturating_add(within);
                    self.source.read_at(place, now)?;
                    if copy.is_escaped {
                        let magic = MAGIC.to_be_bytes();
                        let magic = magic.get(size(within)..).unwrap_or_default();
                        for (byte, of_magic) in now.iter_mut().zip(magic) {
                            *byte = *of_magic;
                        }
                    }
                }
            }
            at = at.saturating_add(len as u64);
            rest = later;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Replayed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replayed")
            .field("blocks", &self.blocks.len())
            .finish_non_exhaustive()
    }
}

struct Journal<'v> {
    volume: &'v Volume,
    inode: Inode,
    features: u32,
    /// The ring of blocks.
    first: u64,
    end: u64,
}

/// Finds what is committed in the journal of a volume.
pub(super) fn replay(volume: &Volume) -> Result<Replay> {
    let number = volume.superblock.journal;
    if number == 0 {
        return Err(Error::unsupported("it is on another device"));
    }
    let inode = Inode::read(volume, number)?;
    let mut head = vec![0; 1024];
    map::read(volume, &inode, 0, &mut head)?;
    if head.be32(0)? != MAGIC || !matches!(head.be32(4)?, 3 | 4) {
        return Err(Error::damaged("it has no superblock"));
    }
    if u64::from(head.be32(12)?) != volume.superblock.block_size {
        return Err(Error::damaged("its blocks have another size"));
    }
    let features = if head.be32(4)? == 4 {
        head.be32(0x28)?
    } else {
        0
    };
    if features & !ALL != 0 {
        return Err(Error::unsupported(format!("it has features {features:#x}")));
    }
    let fast = match features & FAST_COMMIT {
        0 => 0,
        _ => match u64::from(head.be32(0x54)?) {
            0 => 256,
            blocks => blocks,
        },
    };
    let journal = Journal {
        volume,
        inode,
        features,
        first: u64::from(head.be32(20)?),
        end: u64::from(head.be32(16)?).saturating_sub(fast),
    };
    if journal.end > MAX_BLOCKS || journal.first >= journal.end {
        return Err(Error::damaged("it has no room"));
    }
    let start = u64::from(head.be32(28)?);
    let mut replay = Replay {
        blocks: HashMap::new(),
        transactions: 0,
        has_fast_commits: fast > 0,
    };
    // Nothing is left to be done.
    if start != 0 {
        journal.read(start, head.be32(24)?, &mut replay)?;
    }
    Ok(replay)
}

/// A transaction: the blocks that it writes, with their places in the journal, and those that earlier ones must not.
#[derive(Default)]
struct Transaction {
    writes: Vec<(u64, Copy)>,
    revokes: Vec<u64>,
}

impl Journal<'_> {
    fn read(&self, start: u64, sequence: u32, replay: &mut Replay) -> Result<()> {
        let (mut at, mut sequence) = (start, sequence);
        let mut done: Vec<Transaction> = Vec::new();
        let mut open = Transaction::default();
        let mut left = self.end;
        let mut revokes = 0_usize;
        while left > 0 {
            left = left.saturating_sub(1);
            let block = self.block(at)?;
            // What is not of this transaction is of an earlier round.
            if block.be32(0)? != MAGIC || block.be32(8)? != sequence {
                break;
            }
            at = self.after(at);
            match block.be32(4)? {
                1 => {
                    let tags = self.tags(&block)?;
                    left = left.saturating_sub(tags.len() as u64);
                    for (number, is_escaped) in tags {
                        let place = self.place(at)?;
                        open.writes.push((number, Copy { place, is_escaped }));
                        at = self.after(at);
                    }
                }
                2 => {
                    done.push(std::mem::take(&mut open));
                    sequence = sequence.wrapping_add(1);
                }
                5 => {
                    let revoked = self.revoked(&block)?;
                    revokes = revokes.saturating_add(revoked.len());
                    if revokes > MAX_REVOKES {
                        return Err(Error::limit("it revokes more blocks than it has room for"));
                    }
                    open.revokes.extend(revoked);
                }
                _ => break,
            }
        }
        replay.transactions = u32::try_from(done.len()).unwrap_or(u32::MAX);
        // A block that was revoked is not written by that transaction or an earlier one.
        let mut revoked = HashMap::new();
        for (number, transaction) in done.iter().enumerate() {
            for block in &transaction.revokes {
                revoked.insert(*block, number);
            }
        }
        for (number, transaction) in done.into_iter().enumerate() {
            for (block, copy) in transaction.writes {
                if revoked.get(&block).is_none_or(|last| number > *last) {
                    replay.blocks.insert(block, copy);
                }
            }
        }
        Ok(())
    }

    const fn after(&self, at: u64) -> u64 {
        let next = at.saturating_add(1);
        if next >= self.end { self.first } else { next }
    }

    fn block(&self, at: u64) -> Result<Vec<u8>> {
        let len = self.volume.superblock.block_size;
        let mut block = vec![0; size(len)];
        let offset = at.saturating_mul(len);
        map::read(self.volume, &self.inode, offset, &mut block)?;
        Ok(block)
    }

    /// Where a block of the journal is in the volume.
    fn place(&self, at: u64) -> Result<u64> {
        let offset = at.saturating_mul(self.volume.superblock.block_size);
        map::place(self.volume, &self.inode, offset)?.ok_or_else(|| Error::damaged("it has a hole"))
    }

    fn tags(&self, block: &[u8]) -> Result<Vec<(u64, bool)>> {
        let has = |feature| self.features & feature != 0;
        let len = match (has(CHECKSUM_3), has(WIDE), has(CHECKSUM_2)) {
            (true, ..) => 16,
            (false, true, false) => 12,
            (false, true, true) => 14,
            (false, false, false) => 8,
            (false, false, true) => 10,
        };
        let mut tags = Vec::new();
        let mut at = 12_usize;
        while at.saturating_add(len) <= block.len() {
            let flags = match has(CHECKSUM_3) {
                true => block.be32(at.saturating_add(4))?,
                false => u32::from(block.be16(at.saturating_add(6))?),
            };
            let high = match has(WIDE) {
                true => block.be32(at.saturating_add(8))?,
                false => 0,
            };
            let number = u64::from(block.be32(at)?) | (u64::from(high) << 32);
            tags.push((number, flags & 1 != 0));
            // A tag without this bit is followed by a UUID.
            let uuid = if flags & 2 == 0 { 16 } else { 0 };
            at = at.saturating_add(len).saturating_add(uuid);
            if flags & 8 != 0 {
                break;
            }
        }
        Ok(tags)
    }

    fn revoked(&self, block: &[u8]) -> Result<Vec<u64>> {
        let end = size(u64::from(block.be32(12)?)).min(block.len());
        let is_wide = self.features & WIDE != 0;
        let len = if is_wide { 8 } else { 4 };
        let mut numbers = Vec::new();
        let mut at = 16_usize;
        while at.saturating_add(len) <= end {
            numbers.push(match is_wide {
                true => block.be64(at)?,
                false => u64::from(block.be32(at)?),
            });
            at = at.saturating_add(len);
        }
        Ok(numbers)
    }
}
