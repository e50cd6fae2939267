//! The superblock, at 1024 bytes, and the descriptors of the groups behind it.

use crate::bytes::{Fields, div, text, uuid};
use crate::error::{Error, Result};
use crate::filesystem::FileSystem;
use crate::source::{Source, bytes_at};

const MAGIC: u16 = 0xef53;

const JOURNAL: u32 = 0x4;
const RECOVER: u32 = 0x4;
const META_BG: u32 = 0x10;
const EXTENTS: u32 = 0x40;
const BITS_64: u32 = 0x80;

/// Incompatible features that change what is read here in a way that is not known.
const UNKNOWN: [(u32, &str); 3] = [
    (0x1, "compression"),
    (0x8, "an external journal's own format"),
    (0x1000, "data in directory entries"),
];

/// All incompatible features that there are.
const ALL: u32 = 0x3_f7df;

#[derive(Debug, Clone)]
pub(super) struct Superblock {
    pub(super) block_size: u64,
    pub(super) blocks: u64,
    free: u64,
    pub(super) inodes: u64,
    pub(super) inodes_per_group: u64,
    pub(super) inode_size: u64,
    blocks_per_group: u64,
    first_data_block: u64,
    first_meta_group: u64,
    descriptor_size: u64,
    compatible: u32,
    incompatible: u32,
    read_only: u32,
    is_sparse: bool,
    state: u16,
    pub(super) journal: u64,
    id: [u8; 16],
    label: Vec<u8>,
}

impl Superblock {
    /// `None` if there is none.
    pub(super) fn read(source: &dyn Source) -> Result<Option<Self>> {
        if source.size() < 4096 {
            return Ok(None);
        }
        let raw = bytes_at(source, 1024, 1024)?;
        let raw = raw.as_slice();
        if raw.le16(0x38)? != MAGIC {
            return Ok(None);
        }
        let wide = |low: usize, high: usize, is_wide: bool| -> Result<u64> {
            let high = if is_wide { raw.le32(high)? } else { 0 };
            Ok(u64::from(raw.le32(low)?) | (u64::from(high) << 32))
        };
        let incompatible = raw.le32(0x60)?;
        let is_wide = incompatible & BITS_64 != 0;
        let block_size = 1024_u64.checked_shl(raw.le32(0x18)?).unwrap_or_default();
        let revision = raw.le32(0x4c)?;
        let descriptor_size = if is_wide {
            u64::from(raw.le16(0xfe)?)
        } else {
            32
        };
        let found = Self {
            block_size,
            blocks: wide(0x4, 0x150, is_wide)?,
            free: wide(0xc, 0x158, is_wide)?,
            inodes: u64::from(raw.le32(0)?),
            inodes_per_group: u64::from(raw.le32(0x28)?),
            inode_size: if revision == 0 {
                128
            } else {
                u64::from(raw.le16(0x58)?)
            },
            blocks_per_group: u64::from(raw.le32(0x20)?),
            first_data_block: u64::from(raw.le32(0x14)?),
            first_meta_group: u64::from(raw.le32(0x104)?),
            descriptor_size,
            compatible: raw.le32(0x5c)?,
            incompatible,
            read_only: raw.le32(0x64)?,
            is_sparse: raw.le32(0x64)? & 1 != 0,
            state: raw.le16(0x3a)?,
            journal: u64::from(raw.le32(0xe0)?),
            id: raw.array(0x68)?,
            label: text(raw.part(0x78, 16)?),
        };
        let is_sane = (1024..=65536).contains(&found.block_size)
            && found.inodes_per_group > 0
            && found.blocks_per_group > 0
            && found.inode_size.is_power_of_two()
            && (128..=found.block_size).contains(&found.inode_size)
            && (32..=1024).contains(&found.descriptor_size);
        Ok(is_sane.then_some(found))
    }

    pub(super) fn check(&self) -> Result<()> {
        let known = UNKNOWN.iter().find(|(bit, _)| self.incompatible & bit != 0);
        if let Some((_, name)) = known {
            return Err(Error::unsupported(format!(
                "the file system has a feature that is not read: {name}"
            )));
        }
        match self.incompatible & !ALL {
            0 => Ok(()),
            bits => Err(Error::unsupported(format!(
                "the file system has features that nobody knew in 2026: {bits:#x}"
            ))),
        }
    }

    /// Whether it was not unmounted, or is damaged, by its own word.
    pub(super) const fn is_dirty(&self) -> bool {
        self.state & 1 == 0 || self.state & 2 != 0
    }

    pub(super) const fn needs_recovery(&self) -> bool {
        self.incompatible & RECOVER != 0
    }

    pub(super) fn file_system(&self) -> Option<FileSystem> {
        // A journal on a device of its own has a superblock, too.
        if self.incompatible & 0x8 != 0 {
            return None;
        }
        let is_fourth = self.incompatible & (EXTENTS | BITS_64 | 0x200 | 0x400 | 0x8000) != 0
            || self.read_only & 0x478 != 0;
        let kind = match (is_fourth, self.compatible & JOURNAL != 0) {
            (true, _) => "ext4",
            (false, true) => "ext3",
            (false, false) => "ext2",
        };
        let bytes = |blocks: u64| blocks.saturating_mul(self.block_size);
        let used = self.blocks.saturating_sub(self.free);
        Some(FileSystem::new(
            kind,
            &self.label,
            uuid(self.id),
            bytes(self.blocks),
            Some(bytes(used)),
        ))
    }

    /// Where the descriptor of a group is, in bytes.
    pub(super) fn descriptor(&self, group: u64) -> Result<u64> {
        let per_block = div(self.block_size, self.descriptor_size).max(1);
        let meta_group = div(group, per_block);
        let is_meta = self.incompatible & META_BG != 0 && meta_group >= self.first_meta_group;
        let block = if is_meta {
            let first = meta_group.saturating_mul(per_block);
            let start = self
                .first_data_block
                .saturating_add(first.saturating_mul(self.blocks_per_group));
            // With clusters, the superblock is in block 1, although the first block is number 0.
            let is_late = first == 0 && self.first_data_block < self.own_block();
            start
                .saturating_add(u64::from(self.has_copy(first)))
                .saturating_add(u64::from(is_late))
        } else {
            self.own_block()
                .saturating_add(1)
                .saturating_add(meta_group)
        };
        let within = group
            .saturating_sub(meta_group.saturating_mul(per_block))
            .saturating_mul(self.descriptor_size);
        let place = block.saturating_mul(self.block_size).saturating_add(within);
        Ok(place)
    }

    pub(super) const fn has_wide_descriptors(&self) -> bool {
        self.descriptor_size >= 64
    }

    /// The number of the block that the superblock is in.
    fn own_block(&self) -> u64 {
        div(1024, self.block_size)
    }

    /// Whether a group begins with a copy of the superblock.
    fn has_copy(&self, group: u64) -> bool {
        let is_power = |base: u64| {
            let mut power = base;
            while power < group {
                power = power.saturating_mul(base);
            }
            power == group
        };
        !self.is_sparse || group <= 1 || [3, 5, 7].into_iter().any(is_power)
    }
}
