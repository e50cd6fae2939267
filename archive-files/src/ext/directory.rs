//! Directories: blocks of entries. Those that have an index are read without it: to a reader that does not know them, its
//! blocks look empty.

use std::ops::ControlFlow;

use super::Volume;
use super::attributes::inline_rest;
use super::inode::Inode;
use super::map;
use crate::bytes::{Fields, rem, size};
use crate::error::Result;
use crate::tree::{Entry, NodeId, entry_name};

pub(super) fn list(
    volume: &Volume,
    inode: &Inode,
    each: &mut dyn FnMut(Entry) -> ControlFlow<()>,
) -> Result<()> {
    if inode.is_inline() {
        // Behind the number of the directory above.
        let first = inode.map()?.get(4..).unwrap_or_default().to_vec();
        for part in [first, inline_rest(inode)?] {
            if entries(&part, each)?.is_break() {
                break;
            }
        }
        return Ok(());
    }
    let block_size = volume.superblock.block_size;
    let mut at = 0;
    while let Some(range) = map::data_at(volume, inode, at)? {
        at = range.start.saturating_sub(rem(range.start, block_size));
        while at < range.end {
            let mut block = vec![0; size(block_size)];
            map::read(volume, inode, at, &mut block)?;
            if entries(&block, each)?.is_break() {
                return Ok(());
            }
            at = at.saturating_add(block_size);
        }
    }
    Ok(())
}

fn entries(
    block: &[u8],
    each: &mut dyn FnMut(Entry) -> ControlFlow<()>,
) -> Result<ControlFlow<()>> {
    let mut at = 0_usize;
    while at.saturating_add(8) <= block.len() {
        let number = block.le32(at)?;
        let len = match block.le16(at.saturating_add(4))? {
            // A whole block of 64 KiB.
            0 | 0xffff if block.len() >= 65536 => 65536,
            // What is left of an inode that has no more entries.
            0 => break,
            len => usize::from(len),
        };
        let name_len = usize::from(block.byte(at.saturating_add(6))?);
        let name = block.part(at.saturating_add(8), name_len)?;
        if let (true, Some(name)) = (number != 0, entry_name(name)) {
            let node = NodeId {
                tree: 0,
                number: u64::from(number),
            };
            if each(Entry { name, node }).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        at = at.saturating_add(len.max(8));
    }
    Ok(ControlFlow::Continue(()))
}
