//! Directories: in the inode, or blocks of entries. The index of larger ones is not needed to read all.

use std::ops::ControlFlow;

use super::Volume;
use super::inode::Inode;
use crate::bytes::{Fields, div, size};
use crate::error::{Error, Result};
use crate::tree::{Entry, NodeId, entry_name};

/// Where the index of a directory begins, in bytes: entries are before.
const INDEX: u64 = 32 << 30;

/// How many bytes of entries are read.
const MAX_DIRECTORY: u64 = 1 << 30;

type Each<'e> = &'e mut dyn FnMut(Entry) -> ControlFlow<()>;

pub(super) fn list(volume: &Volume, inode: &Inode, each: Each<'_>) -> Result<()> {
    if let Some(fork) = inode.local() {
        return short(volume, fork, each).map(drop);
    }
    let superblock = &volume.superblock;
    let per_directory = div(superblock.directory, superblock.block).max(1);
    let mut read = 0_u64;
    // A block of a directory may be larger than one of the file system, and then in several extents.
    let mut block: Vec<u8> = Vec::new();
    for extent in inode.extents()? {
        for within in 0..extent.count {
            let logical = extent.logical.saturating_add(within);
            if logical.saturating_mul(superblock.block) >= INDEX {
                return Ok(());
            }
            read = read.saturating_add(superblock.block);
            if read > MAX_DIRECTORY {
                return Err(Error::limit("the directory is larger than 1 GiB"));
            }
            if crate::bytes::rem(logical, per_directory) == 0 {
                block.clear();
            }
            block.extend(volume.block(extent.physical.saturating_add(within))?);
            if block.len() as u64 == superblock.directory
                && entries(volume, &block, each)?.is_break()
            {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn give(name: &[u8], number: u64, each: Each<'_>) -> ControlFlow<()> {
    match entry_name(name) {
        Some(name) => each(Entry {
            name,
            node: NodeId { tree: 0, number },
        }),
        None => ControlFlow::Continue(()),
    }
}

fn short(volume: &Volume, fork: &[u8], each: Each<'_>) -> Result<ControlFlow<()>> {
    let (count, wide) = (fork.byte(0)?, fork.byte(1)?);
    let number_len = if wide > 0 { 8_usize } else { 4 };
    let mut at = number_len.saturating_add(2);
    let count = if wide > 0 { wide.max(count) } else { count };
    for _ in 0..count {
        let len = usize::from(fork.byte(at)?);
        let name = fork.part(at.saturating_add(3), len)?;
        let kind = usize::from(volume.superblock.has_types);
        let number_at = at
            .saturating_add(3)
            .saturating_add(len)
            .saturating_add(kind);
        let number = match number_len {
            8 => fork.be64(number_at)?,
            _ => u64::from(fork.be32(number_at)?),
        };
        if give(name, number, each).is_break() {
            return Ok(ControlFlow::Break(()));
        }
        at = number_at.saturating_add(number_len);
    }
    Ok(ControlFlow::Continue(()))
}

fn entries(volume: &Volume, block: &[u8], each: Each<'_>) -> Result<ControlFlow<()>> {
    let (header, is_single) = match block.part(0, 4)? {
        b"XDD3" => (64_usize, false),
        b"XDB3" => (64, true),
        b"XD2D" => (16, false),
        b"XD2B" => (16, true),
        _ => return Err(Error::damaged("a block of a directory has no magic number")),
    };
    let mut end = block.len();
    if is_single {
        // The index is at the end.
        let tail = end.saturating_sub(8);
        let index = size(u64::from(block.be32(tail)?)).saturating_mul(8);
        end = tail.saturating_sub(index);
    }
    let mut at = header;
    while at.saturating_add(8) <= end {
        if block.be16(at)? == 0xffff {
            let len = usize::from(block.be16(at.saturating_add(2))?);
            at = at.saturating_add(len.max(8));
            continue;
        }
        let len = usize::from(block.byte(at.saturating_add(8))?);
        let name = block.part(at.saturating_add(9), len)?;
        if give(name, block.be64(at)?, each).is_break() {
            return Ok(ControlFlow::Break(()));
        }
        let kind = usize::from(volume.superblock.has_types);
        let whole = len
            .saturating_add(11)
            .saturating_add(kind)
            .next_multiple_of(8);
        at = at.saturating_add(whole);
    }
    Ok(ControlFlow::Continue(()))
}
