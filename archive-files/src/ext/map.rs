//! Where the blocks of a file are: a tree of extents, or blocks of block numbers as in ext2; or the file is in its inode.

use std::ops::Range;

use super::Volume;
use super::attributes::inline_rest;
use super::inode::Inode;
use crate::bytes::{Fields, div, rem, size};
use crate::error::{Error, Result};
use crate::source::Source as _;

const EXTENT_MAGIC: u16 = 0xf30a;

/// How deep a tree of extents is at most.
const MAX_DEPTH: u16 = 5;

/// So many blocks from a logical one on, which are stored from a physical one on, or nowhere.
#[derive(Debug, Clone, Copy)]
struct Run {
    physical: Option<u64>,
    count: u64,
}

/// Fills a buffer from an offset of the file on.
pub(super) fn read(volume: &Volume, inode: &Inode, offset: u64, buffer: &mut [u8]) -> Result<()> {
    if inode.is_inline() {
        let content = inline(inode)?;
        let from = content.get(size(offset)..).unwrap_or_default();
        let len = from.len().min(buffer.len());
        let (start, rest) = buffer.split_at_mut(len);
        start.copy_from_slice(from.get(..len).unwrap_or_default());
        rest.fill(0);
        return Ok(());
    }
    let block_size = volume.superblock.block_size;
    let (mut at, mut rest) = (offset, buffer);
    while !rest.is_empty() {
        let (block, within) = (div(at, block_size), rem(at, block_size));
        let run = run(volume, inode, block)?;
        let bytes = run.count.saturating_mul(block_size).saturating_sub(within);
        let len = size(bytes).min(rest.len()).max(1);
        let (now, later) = rest.split_at_mut(len);
        match run.physical {
            None => now.fill(0),
            Some(physical) => {
                let place = physical.saturating_mul(block_size).saturating_add(within);
                volume.source.read_at(place, now)?;
            }
        }
        at = at.saturating_add(len as u64);
        rest = later;
    }
    Ok(())
}

/// The stored bytes at or behind an offset.
pub(super) fn data_at(volume: &Volume, inode: &Inode, offset: u64) -> Result<Option<Range<u64>>> {
    let end = inode.stat.size;
    if inode.is_inline() {
        return Ok((offset < end).then_some(offset..end));
    }
    let block_size = volume.superblock.block_size;
    let mut at = offset;
    // A hole ends where the next extent begins, or where an indirect block would: there are not many in a row.
    while at < end {
        let block = div(at, block_size);
        let run = run(volume, inode, block)?;
        let next = block
            .saturating_add(run.count.max(1))
            .saturating_mul(block_size);
        if run.physical.is_some() {
            return Ok(Some(at..next.min(end)));
        }
        at = next;
    }
    Ok(None)
}

/// A file that is in its inode.
pub(super) fn inline(inode: &Inode) -> Result<Vec<u8>> {
    let mut content = inode.map()?.to_vec();
    content.extend(inline_rest(inode)?);
    content.truncate(size(inode.stat.size));
    Ok(content)
}

fn run(volume: &Volume, inode: &Inode, block: u64) -> Result<Run> {
    // Blocks of a file have numbers of 32 bits. One that says it is longer would be a hole of which no end is found.
    if block > u64::from(u32::MAX) {
        return Err(Error::damaged(
            "a file is longer than its map of blocks allows",
        ));
    }
    match inode.has_extents() {
        true => extent(volume, inode, block),
        false => mapped(volume, inode, block),
    }
}

fn extent(volume: &Volume, inode: &Inode, block: u64) -> Result<Run> {
    let mut node = inode.map()?.to_vec();
    let mut depth = None;
    // Where something else begins, at the latest.
    let mut end = u64::from(u32::MAX).saturating_add(1);
    loop {
        if node.le16(0)? != EXTENT_MAGIC {
            return Err(Error::damaged("a node of extents has no magic number"));
        }
        let (count, here) = (usize::from(node.le16(2)?), node.le16(6)?);
        if here > MAX_DEPTH || depth.is_some_and(|above: u16| above.checked_sub(1) != Some(here)) {
            return Err(Error::damaged(
                "a tree of extents is not as deep as it says",
            ));
        }
        depth = Some(here);
        let start = |place: usize| -> Result<u64> {
            let at = place.saturating_mul(12).saturating_add(12);
            Ok(u64::from(node.le32(at)?))
        };
        // The last that does not begin behind the block.
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = low.midpoint(high);
            match start(middle)? <= block {
                true => low = middle.saturating_add(1),
                false => high = middle,
            }
        }
        if low < count {
            end = end.min(start(low)?);
        }
        let hole = Run {
            physical: None,
            count: end.saturating_sub(block).max(1),
        };
        let Some(place) = low.checked_sub(1) else {
            return Ok(hole);
        };
        let at = place.saturating_mul(12).saturating_add(12);
        let entry = node.part(at, 12)?;
        if here == 0 {
            let (len, is_written) = match entry.le16(4)? {
                len @ 0..=0x8000 => (u64::from(len), true),
                len => (u64::from(len & 0x7fff), false),
            };
            let first = u64::from(entry.le32(0)?);
            let within = block.saturating_sub(first);
            if within >= len {
                return Ok(hole);
            }
            let physical = u64::from(entry.le32(8)?) | (u64::from(entry.le16(6)?) << 32);
            return Ok(Run {
                physical: is_written.then(|| physical.saturating_add(within)),
                count: len.saturating_sub(within),
            });
        }
        let child = u64::from(entry.le32(4)?) | (u64::from(entry.le16(8)?) << 32);
        node = volume.block(child)?;
    }
}

/// Twelve numbers of blocks; then one of a block of such numbers, one of a block of those, and one more.
fn mapped(volume: &Volume, inode: &Inode, block: u64) -> Result<Run> {
    let map = inode.map()?;
    if block < 12 {
        return in_row(map, block, 12);
    }
    let per_block = volume.superblock.block_size / 4;
    let mut within = block.saturating_sub(12);
    let mut span = per_block;
    for level in 1..=3_u32 {
        if within < span {
            let slot = size(u64::from(level).saturating_add(11)).saturating_mul(4);
            return indirect(volume, map.le32(slot)?, level, within, span);
        }
        within = within.saturating_sub(span);
        span = span.saturating_mul(per_block);
    }
    Err(Error::damaged(
        "a file is longer than its map of blocks allows",
    ))
}

fn indirect(volume: &Volume, top: u32, levels: u32, within: u64, span: u64) -> Result<Run> {
    let per_block = volume.superblock.block_size / 4;
    let (mut number, mut within, mut span) = (top, within, span);
    for level in (0..levels).rev() {
        if number == 0 {
            return Ok(Run {
                physical: None,
                count: span.saturating_sub(within),
            });
        }
        let numbers = volume.block(u64::from(number))?;
        if level == 0 {
            return in_row(&numbers, within, per_block);
        }
        span = span.checked_div(per_block).unwrap_or(1).max(1);
        let slot = div(within, span);
        number = numbers.le32(size(slot.saturating_mul(4)))?;
        within = rem(within, span);
    }
    Err(Error::damaged("a map of blocks has no lowest level"))
}

/// The run that begins at a place of a row of numbers.
fn in_row(row: &[u8], place: u64, places: u64) -> Result<Run> {
    let number = |place: u64| row.le32(size(place.saturating_mul(4))).map(u64::from);
    let first = number(place)?;
    let mut count = 1_u64;
    while place.saturating_add(count) < places {
        let expected = if first == 0 {
            0
        } else {
            first.saturating_add(count)
        };
        if number(place.saturating_add(count))? != expected {
            break;
        }
        count = count.saturating_add(1);
    }
    Ok(Run {
        physical: (first != 0).then_some(first),
        count,
    })
}

/// Where the byte at an offset of the file is in the volume, if it is stored.
pub(super) fn place(volume: &Volume, inode: &Inode, offset: u64) -> Result<Option<u64>> {
    let block_size = volume.superblock.block_size;
    let (block, within) = (div(offset, block_size), rem(offset, block_size));
    let run = run(volume, inode, block)?;
    let place = |physical: u64| physical.saturating_mul(block_size).saturating_add(within);
    Ok(run.physical.map(place))
}
