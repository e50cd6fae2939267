//! Inodes.

use super::Volume;
use crate::bytes::{Fields, size};
use crate::error::{Error, Result};
use crate::source::bytes_at;
use crate::tree::{Kind, Stat, Time};

const ENCRYPTED: u32 = 0x800;
const EXTENTS: u32 = 0x8_0000;
const INLINE: u32 = 0x1000_0000;

#[derive(Debug)]
pub(super) struct Inode {
    pub(super) kind: Kind,
    pub(super) stat: Stat,
    flags: u32,
    /// All bytes of it.
    pub(super) raw: Vec<u8>,
    /// The block with extended attributes, or 0.
    pub(super) attributes: u64,
}

impl Inode {
    pub(super) fn read(volume: &Volume, number: u64) -> Result<Self> {
        let superblock = &volume.superblock;
        let damaged = || Error::damaged(format!("there is no inode {number}"));
        let place = number.checked_sub(1).ok_or_else(damaged)?;
        if number > superblock.inodes {
            return Err(damaged());
        }
        let group = place
            .checked_div(superblock.inodes_per_group)
            .ok_or_else(damaged)?;
        let within = place
            .checked_rem(superblock.inodes_per_group)
            .ok_or_else(damaged)?;
        let descriptor = bytes_at(&volume.source, superblock.descriptor(group)?, 32)?;
        let mut table = u64::from(descriptor.le32(8)?);
        if superblock.has_wide_descriptors() {
            let rest = superblock.descriptor(group)?.saturating_add(32);
            let high = bytes_at(&volume.source, rest, 32)?.le32(8)?;
            table |= u64::from(high) << 32;
        }
        let offset = table
            .saturating_mul(superblock.block_size)
            .saturating_add(within.saturating_mul(superblock.inode_size));
        Self::parse(bytes_at(&volume.source, offset, superblock.inode_size)?)
    }

    fn parse(raw: Vec<u8>) -> Result<Self> {
        let mode = u32::from(raw.le16(0)?);
        let kind = Kind::of_mode(mode)?;
        let pair = |low: usize, high: usize| -> Result<u32> {
            Ok(u32::from(raw.le16(low)?) | (u32::from(raw.le16(high)?) << 16))
        };
        let extra = match raw.len() {
            0..=128 => 0,
            _ => usize::from(raw.le16(0x80)?),
        };
        // A field of the second part is there if that part is long enough.
        let has = |end: usize| end <= extra.saturating_add(128).min(raw.len());
        let time = |seconds: usize, more: usize| -> Result<Time> {
            let seconds = i64::from(i32::from_le_bytes(raw.array(seconds)?));
            if !has(more.saturating_add(4)) {
                return Ok(Time::new(seconds, 0));
            }
            let more = raw.le32(more)?;
            let seconds = seconds.saturating_add(i64::from(more & 3) << 32);
            Ok(Time::new(seconds, more >> 2))
        };
        let created = match has(0x98) {
            true => Some(time(0x90, 0x94)?).filter(|time| time.seconds != 0),
            false => None,
        };
        let device = match (raw.le32(0x28)?, raw.le32(0x2c)?) {
            (0, new) => ((new >> 8) & 0xfff, (new & 0xff) | ((new >> 12) & 0xf_ff00)),
            (old, _) => ((old >> 8) & 0xff, old & 0xff),
        };
        let is_device = matches!(kind, Kind::Character | Kind::Block);
        let stat = Stat {
            kind,
            permissions: mode & 0o7777,
            uid: pair(2, 0x78)?,
            gid: pair(0x18, 0x7a)?,
            size: u64::from(raw.le32(4)?) | (u64::from(raw.le32(0x6c)?) << 32),
            links: u32::from(raw.le16(0x1a)?).max(1),
            modified: time(0x10, 0x88)?,
            accessed: time(8, 0x8c)?,
            changed: time(0xc, 0x84)?,
            created,
            device: if is_device { device } else { (0, 0) },
        };
        let attributes = u64::from(raw.le32(0x68)?) | (u64::from(raw.le16(0x76)?) << 32);
        Ok(Self {
            kind,
            stat,
            flags: raw.le32(0x20)?,
            raw,
            attributes,
        })
    }

    /// Fails for what is encrypted.
    pub(super) fn check_readable(&self) -> Result<()> {
        match self.flags & ENCRYPTED {
            0 => Ok(()),
            _ => Err(Error::unsupported("it is encrypted by the file system")),
        }
    }

    pub(super) const fn has_extents(&self) -> bool {
        self.flags & EXTENTS != 0
    }

    pub(super) const fn is_inline(&self) -> bool {
        self.flags & INLINE != 0
    }

    /// The 60 bytes where the map of blocks is.
    pub(super) fn map(&self) -> Result<&[u8]> {
        self.raw.part(0x28, 60)
    }

    /// What a symbolic link says that has no blocks.
    pub(super) fn short_link(&self) -> Option<Vec<u8>> {
        let len = self.stat.size;
        let is_short = len < 60 && !self.has_extents() && !self.is_inline();
        let target = self.map().ok()?.get(..size(len))?;
        is_short.then(|| target.to_vec())
    }
}
