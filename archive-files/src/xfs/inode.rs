//! Inodes, and where their content is.

use super::Volume;
use crate::bytes::{Fields, size};
use crate::error::{Error, Result};
use crate::tree::{Kind, Stat, Time};

/// How many extents of a file are read: those of a file of 16 GiB that has no two neighbouring blocks.
const MAX_EXTENTS: usize = 1 << 22;

/// How deep a tree of extents is.
const MAX_DEPTH: u16 = 9;

/// Where so many blocks from a logical one on are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    pub(super) logical: u64,
    pub(super) physical: u64,
    pub(super) count: u64,
    pub(super) is_written: bool,
}

impl Extent {
    pub(super) const fn end(&self) -> u64 {
        self.logical.saturating_add(self.count)
    }
}

/// Where the content of a file is, or its attributes.
#[derive(Debug)]
pub(super) enum Fork {
    Local(Vec<u8>),
    Extents(Vec<Extent>),
    None,
}

#[derive(Debug)]
pub(super) struct Inode {
    pub(super) stat: Stat,
    data: Fork,
    /// How it says where its attributes are, in how many extents, and the bytes for that: read only when they are asked for.
    attributes: (u8, u64, Vec<u8>),
}

impl Inode {
    pub(super) fn read(volume: &Volume, number: u64) -> Result<Self> {
        let place = volume.superblock.inode_place(number)?;
        let raw = volume.bytes(place, volume.superblock.inode)?;
        if raw.part(0, 2)? != b"IN" {
            return Err(Error::damaged(format!("there is no inode {number}")));
        }
        let mode = u32::from(raw.be16(2)?);
        let kind = Kind::of_mode(mode)?;
        let (version, format) = (raw.byte(4)?, raw.byte(5)?);
        let flags = match version {
            3.. => raw.be64(120)?,
            _ => 0,
        };
        let is_big = flags & 8 != 0;
        let time = |at: usize| -> Result<Time> {
            if is_big {
                // Nanoseconds since 1901.
                let stamp = raw.be64(at)?;
                let seconds = i64::try_from(stamp / 1_000_000_000).unwrap_or_default();
                let rest = u32::try_from(stamp % 1_000_000_000).unwrap_or_default();
                return Ok(Time::new(seconds.saturating_sub(1 << 31), rest));
            }
            let seconds = i32::from_be_bytes(raw.array(at)?);
            Ok(Time::new(
                i64::from(seconds),
                raw.be32(at.saturating_add(4))?,
            ))
        };
        let core = if version >= 3 { 176_usize } else { 100 };
        let all = raw.get(core..).unwrap_or_default();
        let of_data = match raw.byte(82)? {
            0 => all.len(),
            eighths => usize::from(eighths).saturating_mul(8).min(all.len()),
        };
        let (fork, rest) = all.split_at_checked(of_data).unwrap_or((all, &[]));
        let links = if version == 1 {
            u32::from(raw.be16(6)?)
        } else {
            raw.be32(16)?
        };
        let mut stat = Stat {
            kind,
            permissions: mode & 0o7777,
            uid: raw.be32(8)?,
            gid: raw.be32(12)?,
            size: raw.be64(56)?,
            links: links.max(1),
            modified: time(40)?,
            accessed: time(32)?,
            changed: time(48)?,
            created: (version >= 3).then(|| time(144)).transpose()?,
            device: (0, 0),
        };
        if raw.be16(90)? & 1 != 0 && kind == Kind::File {
            return Err(Error::unsupported(
                "it is on a real-time device, which is not read",
            ));
        }
        // With room for more extents, their numbers are elsewhere.
        let counts = if flags & 0x10 != 0 {
            (raw.be64(24)?, u64::from(raw.be32(76)?))
        } else {
            (u64::from(raw.be32(76)?), u64::from(raw.be16(80)?))
        };
        let data = match format {
            0 => {
                let device = fork.be32(0)?;
                stat.device = (device >> 18, device & 0x3_ffff);
                Fork::None
            }
            1 => Fork::Local(fork.to_vec()),
            2 => extents(fork, counts.0)?,
            3 => tree(volume, fork)?,
            _ => Fork::None,
        };
        let attributes = (raw.byte(83)?, counts.1, rest.to_vec());
        Ok(Self {
            stat,
            data,
            attributes,
        })
    }

    /// What is in the inode instead of in blocks.
    pub(super) fn local(&self) -> Option<&[u8]> {
        match &self.data {
            Fork::Local(fork) => Some(fork),
            _ => None,
        }
    }

    /// Where its extended attributes are.
    pub(super) fn attributes(&self, volume: &Volume) -> Result<Fork> {
        let (format, count, fork) = &self.attributes;
        match format {
            _ if fork.is_empty() => Ok(Fork::None),
            1 => Ok(Fork::Local(fork.clone())),
            2 => extents(fork, *count),
            3 => tree(volume, fork),
            _ => Ok(Fork::None),
        }
    }

    pub(super) fn extents(&self) -> Result<&[Extent]> {
        match &self.data {
            Fork::Extents(extents) => Ok(extents),
            _ => Err(Error::damaged("a file has no blocks")),
        }
    }
}

/// Extents that are in the inode.
fn extents(fork: &[u8], count: u64) -> Result<Fork> {
    let records = fork.as_chunks::<16>().0.iter().take(size(count));
    Ok(Fork::Extents(records.map(extent).collect::<Result<_>>()?))
}

/// Extents in a tree whose top is in the inode.
fn tree(volume: &Volume, fork: &[u8]) -> Result<Fork> {
    let mut extents = Vec::new();
    node(volume, fork, fork.be16(0)?, 4, &mut extents)?;
    Ok(Fork::Extents(extents))
}

fn extent(raw: &[u8; 16]) -> Result<Extent> {
    let (high, low) = (raw.be64(0)?, raw.be64(8)?);
    Ok(Extent {
        logical: (high & (u64::MAX >> 1)) >> 9,
        physical: ((high & 0x1ff) << 43) | (low >> 21),
        count: low & 0x1f_ffff,
        is_written: high >> 63 == 0,
    })
}

/// Reads all below a node, whose keys begin at `at`.
fn node(
    volume: &Volume,
    raw: &[u8],
    level: u16,
    at: usize,
    extents: &mut Vec<Extent>,
) -> Result<()> {
    if level == 0 || level > MAX_DEPTH {
        return Err(Error::damaged(
            "a tree of extents is not as deep as it says",
        ));
    }
    let count = usize::from(raw.be16(if at == 4 { 2 } else { 6 })?);
    // Keys and numbers of blocks, for as many as there is room for.
    let room = raw.len().saturating_sub(at) / 16;
    let numbers = at.saturating_add(room.saturating_mul(8));
    for place in 0..count.min(room) {
        let number = raw.be64(numbers.saturating_add(place.saturating_mul(8)))?;
        let block = volume.block(number)?;
        let header = match block.part(0, 4)? {
            b"BMAP" => 24_usize,
            b"BMA3" => 72,
            _ => return Err(Error::damaged("a node of extents has no magic number")),
        };
        let below = level.saturating_sub(1);
        if block.be16(4)? != below {
            return Err(Error::damaged(
                "a tree of extents is not as deep as it says",
            ));
        }
        if below > 0 {
            node(volume, &block, below, header, extents)?;
            continue;
        }
        let records = block.get(header..).unwrap_or_default().as_chunks::<16>().0;
        for record in records.iter().take(usize::from(block.be16(6)?)) {
            extents.push(extent(record)?);
        }
        if extents.len() > MAX_EXTENTS {
            return Err(Error::limit("a file has more than four million pieces"));
        }
    }
    Ok(())
}
