//! ext2, ext3 and ext4. Facts: the kernel's documentation, `Documentation/filesystems/ext4`; offsets in comments are of
//! the structures described there.

mod attributes;
mod directory;
mod inode;
mod journal;
mod map;
mod superblock;
mod xattr;

use std::ops::{ControlFlow, Range};

use crate::bytes::size;
use crate::error::{Error, Result};
use crate::filesystem::FileSystem;
use crate::source::{Shared, Source, bytes_at};
use crate::tree::{Entry, FileTree, Kind, NodeId, Recent, Stat, wrong};
use inode::Inode;
use journal::Replayed;
use superblock::Superblock;

/// The root directory, by its number.
const ROOT: u64 = 2;

/// The longest directory that is read, in bytes: ten million entries of 100.
const MAX_DIRECTORY: u64 = 1 << 30;

/// A volume with ext2, ext3 or ext4.
#[derive(Debug)]
pub(crate) struct Ext {
    volume: Volume,
    notes: Vec<String>,
    inodes: Recent<u64, Inode>,
}

/// What all parts of the reader need.
#[derive(Debug)]
struct Volume {
    source: Replayed,
    superblock: Superblock,
}

/// What is known of a volume by its superblock, if it is one of these.
pub(crate) fn identify(source: &dyn Source) -> Option<FileSystem> {
    Superblock::read(source).ok().flatten()?.file_system()
}

impl Ext {
    /// Opens a volume, and replays its journal in memory.
    pub(crate) fn open(source: &Shared) -> Result<Self> {
        let missing = || Error::damaged("there is no superblock of ext2, ext3 or ext4");
        let superblock = Superblock::read(source)?.ok_or_else(missing)?;
        superblock.check()?;
        let mut notes = Vec::new();
        let needs_recovery = superblock.needs_recovery();
        let mut volume = Volume {
            source: Replayed::new(Shared::clone(source), superblock.block_size),
            superblock,
        };
        if !needs_recovery && volume.superblock.is_dirty() {
            notes.push("it was not unmounted, or is marked as damaged: what was written last may be missing".to_owned());
        }
        if needs_recovery {
            match journal::replay(&volume) {
                Ok(replayed) => {
                    notes.push(replayed.note());
                    volume.source.put(replayed);
                    // The superblock itself may have been in the journal.
                    if let Some(superblock) = Superblock::read(&volume.source)? {
                        volume.superblock = superblock;
                    }
                }
                Err(error) => notes.push(format!(
                    "its journal could not be replayed ({error}): what was written last may be missing or damaged"
                )),
            }
        }
        let tree = Self {
            volume,
            notes,
            inodes: Recent::default(),
        };
        tree.inode(tree.root())?;
        Ok(tree)
    }

    fn inode(&self, node: NodeId) -> Result<std::sync::Arc<Inode>> {
        self.inodes
            .get(node.number, || Inode::read(&self.volume, node.number))
    }

    fn file(&self, node: NodeId) -> Result<std::sync::Arc<Inode>> {
        let inode = self.inode(node)?;
        match inode.kind {
            Kind::File => inode.check_readable().map(|()| inode),
            _ => Err(wrong("it is no file")),
        }
    }
}

impl Volume {
    /// A block of metadata.
    fn block(&self, number: u64) -> Result<Vec<u8>> {
        let len = self.superblock.block_size;
        bytes_at(&self.source, number.saturating_mul(len), len)
    }
}

impl FileTree for Ext {
    fn root(&self) -> NodeId {
        NodeId {
            tree: 0,
            number: ROOT,
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
        if inode.kind != Kind::Directory {
            return Err(wrong("it is no directory"));
        }
        inode.check_readable()?;
        if inode.stat.size > MAX_DIRECTORY {
            return Err(Error::limit("the directory is larger than 1 GiB"));
        }
        directory::list(&self.volume, &inode, each)
    }

    fn read_at(&self, node: NodeId, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let inode = self.file(node)?;
        let left = size(inode.stat.size.saturating_sub(offset));
        let len = left.min(buffer.len());
        let buffer = buffer.get_mut(..len).unwrap_or_default();
        map::read(&self.volume, &inode, offset, buffer)?;
        Ok(len)
    }

    fn data_at(&self, node: NodeId, offset: u64) -> Result<Option<Range<u64>>> {
        let inode = self.file(node)?;
        map::data_at(&self.volume, &inode, offset)
    }

    fn link(&self, node: NodeId) -> Result<Vec<u8>> {
        let inode = self.inode(node)?;
        if inode.kind != Kind::Link {
            return Err(wrong("it is no symbolic link"));
        }
        inode.check_readable()?;
        let len = inode.stat.size;
        if len > 4096 {
            return Err(Error::damaged("a symbolic link is longer than any path"));
        }
        // A short one is where the map of blocks would be.
        if let Some(target) = inode.short_link() {
            return Ok(target);
        }
        let mut target = vec![0; size(len)];
        map::read(&self.volume, &inode, 0, &mut target)?;
        Ok(target)
    }

    fn attributes(&self, node: NodeId) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        xattr::of(&self.volume, &*self.inode(node)?)
    }
}
