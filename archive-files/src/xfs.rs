//! XFS, versions 4 and 5. Facts: "XFS Algorithms & Data Structures"; numbers are big-endian.
//!
//! The structures are read here; the log of a volume that was not unmounted is replayed in memory by the crate `lamxfs`.

mod attributes;
mod directory;
mod inode;
mod replay;

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use crate::bytes::{Fields, div, rem, size, uuid};
use crate::error::{Error, Result};
use crate::filesystem::FileSystem;
use crate::source::{Shared, Source, bytes_at};
use crate::tree::{Entry, FileTree, Kind, NodeId, Recent, Stat, wrong};
use inode::Inode;
use replay::Replayed;

/// Features that change what is read here in a way that is known, or not at all.
const KNOWN: u32 = 0x1ff;
const NEEDS_REPAIR: u32 = 0x10;

/// A volume with XFS.
#[derive(Debug)]
pub(crate) struct Xfs {
    volume: Volume,
    notes: Vec<String>,
    inodes: Recent<u64, Inode>,
}

/// What all parts of the reader need.
#[derive(Debug)]
struct Volume {
    /// With what the log has, for all but the content of files.
    metadata: Replayed,
    source: Shared,
    superblock: Superblock,
}

#[derive(Debug, Clone)]
struct Superblock {
    block: u64,
    blocks: u64,
    free: u64,
    root: u64,
    group_blocks: u64,
    groups: u64,
    inode: u64,
    /// Powers of two: inodes in a block, blocks in a group.
    inodes_log: u32,
    group_log: u32,
    /// Of a block of a directory, in bytes.
    directory: u64,
    is_fifth: bool,
    has_types: bool,
    incompatible: u32,
    log: u64,
    log_blocks: u64,
    id: [u8; 16],
    label: Vec<u8>,
}

/// What is known of a volume by its superblock, if it is one of these.
pub(crate) fn identify(source: &dyn Source) -> Option<FileSystem> {
    let found = Superblock::read(source).ok().flatten()?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.block);
    let used = bytes(found.blocks.saturating_sub(found.free));
    Some(FileSystem::new(
        "xfs",
        &found.label,
        uuid(found.id),
        bytes(found.blocks),
        Some(used),
    ))
}

impl Superblock {
    /// `None` if there is none.
    fn read(source: &dyn Source) -> Result<Option<Self>> {
        if source.size() < 4096 {
            return Ok(None);
        }
        let raw = bytes_at(source, 0, 512)?;
        if raw.part(0, 4)? != b"XFSB" {
            return Ok(None);
        }
        let version = raw.be16(100)?;
        let is_fifth = version & 0xf == 5;
        let incompatible = if is_fifth { raw.be32(216)? } else { 0 };
        let found = Self {
            block: u64::from(raw.be32(4)?),
            blocks: raw.be64(8)?,
            free: raw.be64(144)?,
            root: raw.be64(56)?,
            group_blocks: u64::from(raw.be32(84)?),
            groups: u64::from(raw.be32(88)?),
            inode: u64::from(raw.be16(104)?),
            inodes_log: u32::from(raw.byte(123)?),
            group_log: u32::from(raw.byte(124)?),
            directory: u64::from(raw.be32(4)?)
                .checked_shl(u32::from(raw.byte(192)?))
                .unwrap_or_default(),
            is_fifth,
            has_types: match is_fifth {
                true => incompatible & 1 != 0,
                false => raw.be32(200)? & 0x200 != 0,
            },
            incompatible,
            log: raw.be64(48)?,
            log_blocks: u64::from(raw.be32(96)?),
            id: raw.array(32)?,
            label: crate::bytes::text(raw.part(108, 12)?),
        };
        let is_sane = matches!(version & 0xf, 4 | 5)
            && (512..=65536).contains(&found.block)
            && found.block.is_power_of_two()
            && (256..=2048).contains(&found.inode)
            && found.inodes_log <= 8
            && found.inode.checked_shl(found.inodes_log) == Some(found.block)
            && (1..=31).contains(&found.group_log)
            && found.group_blocks <= 1 << (found.group_log & 31)
            && (found.block..=65536).contains(&found.directory);
        Ok(is_sane.then_some(found))
    }

    fn check(&self) -> Result<()> {
        match self.incompatible & !KNOWN {
            0 => Ok(()),
            bits => Err(Error::unsupported(format!(
                "the file system has features that are not read: {bits:#x}"
            ))),
        }
    }

    /// Where a block is whose number has its group in the upper bits.
    fn place(&self, number: u64) -> Result<u64> {
        let group = number >> self.group_log;
        let block = number & (1_u64 << self.group_log).wrapping_sub(1);
        if group >= self.groups || block >= self.group_blocks {
            return Err(Error::damaged(format!("there is no block {number}")));
        }
        let all = group
            .saturating_mul(self.group_blocks)
            .saturating_add(block);
        Ok(all.saturating_mul(self.block))
    }

    /// Where an inode is.
    fn inode_place(&self, number: u64) -> Result<u64> {
        let block = self.place(number >> self.inodes_log)?;
        let within = number & (1_u64 << self.inodes_log).wrapping_sub(1);
        Ok(block.saturating_add(within.saturating_mul(self.inode)))
    }
}

impl Superblock {
    /// The block of a place of the volume, and what is before the place in it.
    fn in_blocks(&self, place: u64) -> (u64, u64) {
        (div(place, self.block), rem(place, self.block))
    }
}

impl Volume {
    /// Metadata at a place of the volume.
    fn bytes(&self, place: u64, len: u64) -> Result<Vec<u8>> {
        self.metadata.bytes(place, len)
    }

    fn block(&self, number: u64) -> Result<Vec<u8>> {
        self.bytes(self.superblock.place(number)?, self.superblock.block)
    }
}

impl Xfs {
    /// Opens a volume, and replays its log in memory.
    pub(crate) fn open(source: &Shared) -> Result<Self> {
        let missing = || Error::damaged("there is no superblock of XFS");
        let superblock = Superblock::read(source)?.ok_or_else(missing)?;
        superblock.check()?;
        let mut notes = Vec::new();
        if superblock.incompatible & NEEDS_REPAIR != 0 {
            notes.push("it is marked as in need of repair".to_owned());
        }
        let (metadata, note) = Replayed::new(source, &superblock);
        notes.extend(note);
        let tree = Self {
            volume: Volume {
                metadata,
                source: Shared::clone(source),
                superblock,
            },
            notes,
            inodes: Recent::default(),
        };
        tree.inode(tree.root())?;
        Ok(tree)
    }

    fn inode(&self, node: NodeId) -> Result<Arc<Inode>> {
        self.inodes
            .get(node.number, || Inode::read(&self.volume, node.number))
    }

    fn file(&self, node: NodeId) -> Result<Arc<Inode>> {
        let inode = self.inode(node)?;
        match inode.stat.kind {
            Kind::File => Ok(inode),
            _ => Err(wrong("it is no file")),
        }
    }

    /// Fills a buffer of the content of a file, of which no less is left.
    fn content(&self, inode: &Inode, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let block = self.volume.superblock.block;
        let extents = inode.extents()?;
        let (mut at, mut rest) = (offset, buffer);
        let behind = extents.partition_point(|extent| extent.end().saturating_mul(block) <= offset);
        for extent in extents.get(behind..).unwrap_or_default() {
            let start = extent.logical.saturating_mul(block);
            let end = extent.end().saturating_mul(block);
            if rest.is_empty() {
                break;
            }
            if start > at {
                let len = size(start.saturating_sub(at)).min(rest.len());
                let (hole, later) = rest.split_at_mut(len);
                hole.fill(0);
                at = at.saturating_add(len as u64);
                rest = later;
            }
            let len = size(end.saturating_sub(at)).min(rest.len());
            let (now, later) = rest.split_at_mut(len);
            if extent.is_written {
                let place = self.volume.superblock.place(extent.physical)?;
                let within = at.saturating_sub(start);
                self.volume
                    .source
                    .read_at(place.saturating_add(within), now)?;
            } else {
                now.fill(0);
            }
            at = at.saturating_add(len as u64);
            rest = later;
        }
        rest.fill(0);
        Ok(())
    }
}

impl FileTree for Xfs {
    fn root(&self) -> NodeId {
        NodeId {
            tree: 0,
            number: self.volume.superblock.root,
        }
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    fn stat(&self, node: NodeId) -> Result<Stat> {
        Ok(self.inode(node)?.stat)
    }

    fn list(
        &self,
        directory: NodeId,
        each: &mut dyn FnMut(Entry) -> ControlFlow<()>,
    ) -> Result<()> {
        let inode = self.inode(directory)?;
        if inode.stat.kind != Kind::Directory {
            return Err(wrong("it is no directory"));
        }
        directory::list(&self.volume, &inode, each)
    }

    fn read_at(&self, node: NodeId, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let inode = self.file(node)?;
        let len = size(inode.stat.size.saturating_sub(offset)).min(buffer.len());
        let buffer = buffer.get_mut(..len).unwrap_or_default();
        self.content(&inode, offset, buffer)?;
        Ok(len)
    }

    fn data_at(&self, node: NodeId, offset: u64) -> Result<Option<Range<u64>>> {
        let inode = self.file(node)?;
        let block = self.volume.superblock.block;
        let extents = inode.extents()?;
        let behind = extents.partition_point(|extent| extent.end().saturating_mul(block) <= offset);
        let mut rest = extents.get(behind..).unwrap_or_default().iter();
        let found = rest.find(|extent| extent.is_written);
        let range = found.map(|extent| {
            let start = extent.logical.saturating_mul(block).max(offset);
            start..extent.end().saturating_mul(block).min(inode.stat.size)
        });
        Ok(range.filter(|range| range.start < range.end))
    }

    fn link(&self, node: NodeId) -> Result<Vec<u8>> {
        let inode = self.inode(node)?;
        if inode.stat.kind != Kind::Link {
            return Err(wrong("it is no symbolic link"));
        }
        if let Some(fork) = inode.local() {
            return Ok(fork.get(..size(inode.stat.size)).unwrap_or(fork).to_vec());
        }
        if inode.stat.size > 4096 {
            return Err(Error::damaged("a symbolic link is longer than any path"));
        }
        let mut target = Vec::new();
        for extent in inode.extents()? {
            let superblock = &self.volume.superblock;
            let place = superblock.place(extent.physical)?;
            let len = extent.count.min(64).saturating_mul(superblock.block);
            let raw = self.volume.bytes(place, len)?;
            // Version 5 has a header in each extent, however many blocks that has.
            let part = match superblock.is_fifth {
                true => raw.part(56, size(u64::from(raw.be32(8)?)))?,
                false => &raw,
            };
            target.extend_from_slice(part);
        }
        if (target.len() as u64) < inode.stat.size {
            return Err(Error::damaged("a symbolic link is shorter than it says"));
        }
        target.truncate(size(inode.stat.size));
        Ok(target)
    }

    fn attributes(&self, node: NodeId) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        attributes::of(&self.volume, &*self.inode(node)?)
    }
}
