//! Extended attributes: in the inode, or in blocks of entries, with large values in blocks of their own.

use super::Volume;
use super::inode::{Extent, Fork, Inode};
use crate::acl;
use crate::bytes::{Fields, size};
use crate::error::{Error, Result};

/// How many attributes of a file are read.
const MOST: usize = 4096;

/// The largest value that Linux allows.
const MAX_VALUE: usize = 64 << 10;

/// How many blocks of entries are read; a value may have a block of its own.
const MAX_BLOCKS: usize = 4096;

type Found = Vec<(Vec<u8>, Vec<u8>)>;

/// All attributes with their full names.
pub(super) fn of(volume: &Volume, inode: &Inode) -> Result<Found> {
    let mut found = Vec::new();
    match inode.attributes(volume)? {
        Fork::Local(area) => short(&area, &mut found)?,
        // There were some once.
        Fork::Extents(extents) if extents.is_empty() => {}
        Fork::Extents(extents) => leaves(volume, &extents, &mut found)?,
        Fork::None => {}
    }
    Ok(found)
}

/// Keeps an attribute if it is one that Linux shows.
fn keep(flags: u8, name: &[u8], value: &[u8], found: &mut Found) -> Result<()> {
    /// Its value has not been written yet.
    const INCOMPLETE: u8 = 0x80;
    let prefix = match flags & (INCOMPLETE | 0xe) {
        0 => "user.",
        2 => "trusted.",
        4 => "security.",
        // A directory that it is in.
        _ => return Ok(()),
    };
    let (name, value) = match (prefix, name) {
        ("trusted.", b"SGI_ACL_FILE") => (&b"system.posix_acl_access"[..], acl::of_xfs(value)?),
        ("trusted.", b"SGI_ACL_DEFAULT") => (&b"system.posix_acl_default"[..], acl::of_xfs(value)?),
        _ => {
            found.push(([prefix.as_bytes(), name].concat(), value.to_vec()));
            return Ok(());
        }
    };
    found.push((name.to_vec(), value));
    Ok(())
}

/// Those in the inode.
fn short(area: &[u8], found: &mut Found) -> Result<()> {
    if area.len() < 4 {
        return Ok(());
    }
    let mut at = 4_usize;
    for _ in 0..area.byte(2)? {
        let name_len = usize::from(area.byte(at)?);
        let value_len = usize::from(area.byte(at.saturating_add(1))?);
        let flags = area.byte(at.saturating_add(2))?;
        let name_at = at.saturating_add(3);
        let value_at = name_at.saturating_add(name_len);
        let value = area.part(value_at, value_len)?;
        keep(flags, area.part(name_at, name_len)?, value, found)?;
        at = value_at.saturating_add(value_len);
    }
    Ok(())
}

/// A block of the attributes by its number among them.
fn block(volume: &Volume, extents: &[Extent], logical: u64) -> Result<Vec<u8>> {
    let behind = extents.partition_point(|extent| extent.end() <= logical);
    let extent = extents.get(behind).filter(|it| it.logical <= logical);
    let missing = || Error::damaged("a block of extended attributes is missing");
    let extent = extent.ok_or_else(missing)?;
    let within = logical.saturating_sub(extent.logical);
    volume.block(extent.physical.saturating_add(within))
}

/// Those in blocks: from the leftmost leaf of the tree on, each leads to the next.
fn leaves(volume: &Volume, extents: &[Extent], found: &mut Found) -> Result<()> {
    let mut number = 0_u64;
    for _ in 0..MAX_BLOCKS {
        let raw = block(volume, extents, number)?;
        match raw.be16(8)? {
            // Of a node, the first entry's block.
            0xfebe => number = u64::from(raw.be32(20)?),
            0x3ebe => number = u64::from(raw.be32(68)?),
            magic @ (0xfbee | 0x3bee) => {
                let (count, entries) = if magic == 0x3bee { (56, 80) } else { (12, 32) };
                leaf(volume, extents, &raw, (count, entries), found)?;
                number = u64::from(raw.be32(0)?);
            }
            _ => {
                return Err(Error::damaged(
                    "a block of extended attributes has no magic number",
                ));
            }
        }
        // None follows; the first one is never the next.
        if number == 0 || found.len() >= MOST {
            return Ok(());
        }
    }
    Err(Error::damaged(
        "the blocks of extended attributes go round in a circle",
    ))
}

/// The entries of a block; where their count is, and the first of them.
fn leaf(
    volume: &Volume,
    extents: &[Extent],
    raw: &[u8],
    (count, entries): (usize, usize),
    found: &mut Found,
) -> Result<()> {
    const LOCAL: u8 = 1;
    let count = usize::from(raw.be16(count)?);
    let entries = raw.get(entries..).unwrap_or_default().as_chunks::<8>().0;
    for entry in entries.iter().take(count.min(MOST)) {
        let (at, flags) = (usize::from(entry.be16(4)?), entry.byte(6)?);
        if flags & LOCAL != 0 {
            let len = usize::from(raw.be16(at)?);
            let name_len = usize::from(raw.byte(at.saturating_add(2))?);
            let name_at = at.saturating_add(3);
            let value = raw.part(name_at.saturating_add(name_len), len)?;
            keep(flags, raw.part(name_at, name_len)?, value, found)?;
            continue;
        }
        let name_len = usize::from(raw.byte(at.saturating_add(8))?);
        let name = raw.part(at.saturating_add(9), name_len)?;
        let len = size(u64::from(raw.be32(at.saturating_add(4))?));
        let value = remote(volume, extents, u64::from(raw.be32(at)?), len)?;
        keep(flags, name, &value, found)?;
    }
    Ok(())
}

/// A value in blocks of its own.
fn remote(volume: &Volume, extents: &[Extent], first: u64, len: usize) -> Result<Vec<u8>> {
    if len > MAX_VALUE {
        return Err(Error::damaged("an extended attribute is longer than any"));
    }
    let mut value = Vec::with_capacity(len);
    let mut number = first;
    while value.len() < len {
        let raw = block(volume, extents, number)?;
        // Version 5 has a header in each block.
        let header = if volume.superblock.is_fifth { 56 } else { 0 };
        let part = raw.get(header..).unwrap_or_default();
        let left = len.saturating_sub(value.len());
        value.extend_from_slice(part.get(..left).unwrap_or(part));
        number = number.saturating_add(1);
    }
    Ok(value)
}
