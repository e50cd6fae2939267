//! FAT12, FAT16, FAT32 and exFAT. Facts: Microsoft's "FAT32 File System Specification" of 2000 and "exFAT file system
//! specification" of 2019; numbers are little-endian.

mod boot;
mod chain;
mod directory;
mod exfat;
mod time;
mod used;

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use crate::bytes::{Fields as _, size, utf16};
use crate::error::{Error, Result};
use crate::filesystem::FileSystem;
use crate::source::{Shared, Source, bytes_at};
use crate::tree::{Entry, FileTree, Kind, NodeId, Recent, Stat, Time, wrong};
use boot::{Boot, Width};
use chain::Runs;

/// The longest directory that is read: exFAT allows no longer ones.
const MAX_DIRECTORY: u64 = 256 << 20;

/// The length of an entry of a directory.
const ENTRY: u64 = 32;

/// A volume with one of these file systems.
#[derive(Debug)]
pub(crate) struct Fat {
    source: Shared,
    boot: Boot,
    is_dirty: bool,
    runs: Recent<(u32, u64), Runs>,
}

/// What an entry says.
#[derive(Debug, Clone, Copy)]
struct Node {
    stat: Stat,
    first: u32,
    /// The clusters follow one another, and have no chain.
    is_contiguous: bool,
    /// What is behind is zeroes, whatever is stored.
    valid: u64,
}

/// What is known of a volume by its first sector, if it is one of these.
pub(crate) fn identify(source: &dyn Source) -> Option<FileSystem> {
    let boot = Boot::read(source).ok().flatten()?;
    let label = label(source, &boot).unwrap_or_default();
    let serial = boot.serial;
    let id = format!("{:04X}-{:04X}", serial >> 16, serial & 0xffff);
    let kind = match boot.width {
        Width::Ex => "exfat",
        _ => "vfat",
    };
    let used = boot.used(source).ok().flatten();
    Some(FileSystem::new(kind, &label, id, boot.size, used))
}

/// The label is an entry of the root directory.
fn label(source: &dyn Source, boot: &Boot) -> Result<Vec<u8>> {
    let mut found = Vec::new();
    let runs = root(source, boot)?;
    for (start, len) in runs.pieces.iter().take(16) {
        let bytes = bytes_at(source, *start, (*len).min(1 << 20))?;
        for entry in bytes.as_chunks::<32>().0 {
            match (boot.width, entry[0], entry[11]) {
                (_, 0, _) => return Ok(found),
                (Width::Ex, 0x83, _) => {
                    let count = usize::from(entry[1].min(11));
                    found = utf16(crate::bytes::units(&entry[2..24]).take(count));
                }
                (Width::Ex, ..) | (_, 0xe5, _) => {}
                (_, _, attributes) if attributes & 0x3f != 0xf && attributes & 8 != 0 => {
                    found = entry[..11].trim_ascii_end().to_vec();
                }
                _ => {}
            }
        }
    }
    Ok(found)
}

/// Where the root directory is.
fn root(source: &dyn Source, boot: &Boot) -> Result<Runs> {
    match boot.fixed_root {
        Some((start, len)) => Ok(Runs {
            pieces: vec![(start, len)],
        }),
        None => chain::follow(source, boot, boot.root, MAX_DIRECTORY),
    }
}

impl Fat {
    pub(crate) fn open(source: &Shared) -> Result<Self> {
        let missing = || Error::damaged("there is no boot sector of FAT or exFAT");
        let boot = Boot::read(source)?.ok_or_else(missing)?;
        // Windows notes it in the second entry of the table.
        let entry = bytes_at(&**source, boot.table, 8)?;
        let is_dirty = match boot.width {
            Width::Sixteen => entry.le16(2)? & 0x8000 == 0,
            Width::ThirtyTwo => entry.le32(4)? & 0x0800_0000 == 0,
            Width::Twelve | Width::Ex => false,
        };
        Ok(Self {
            is_dirty: is_dirty || boot.is_in_use,
            boot,
            source: Shared::clone(source),
            runs: Recent::default(),
        })
    }

    fn node(&self, node: NodeId) -> Result<Node> {
        if node == self.root() {
            return Ok(Node {
                stat: Stat::plain(Kind::Directory, 0, Time::default()),
                first: self.boot.root,
                is_contiguous: false,
                valid: 0,
            });
        }
        match self.boot.width {
            Width::Ex => exfat::node(&self.source, node),
            _ => directory::node(&self.source, &self.boot, node),
        }
    }

    fn runs(&self, id: NodeId, node: &Node) -> Result<Arc<Runs>> {
        let most = match node.stat.kind {
            Kind::Directory => MAX_DIRECTORY,
            _ => node.stat.size,
        };
        self.runs.get((node.first, most), || {
            if id == self.root() {
                return root(&self.source, &self.boot);
            }
            if node.is_contiguous {
                return chain::contiguous(&self.boot, node.first, node.stat.size);
            }
            chain::follow(&self.source, &self.boot, node.first, most)
        })
    }

    fn file(&self, node: NodeId) -> Result<Node> {
        let found = self.node(node)?;
        match found.stat.kind {
            Kind::File => Ok(found),
            _ => Err(wrong("it is no file")),
        }
    }
}

impl FileTree for Fat {
    fn root(&self) -> NodeId {
        NodeId { tree: 0, number: 0 }
    }

    fn notes(&self) -> Vec<String> {
        let note = "it was not unmounted: what was changed last may be missing";
        self.is_dirty.then(|| note.to_owned()).into_iter().collect()
    }

    fn ignores_case(&self) -> bool {
        true
    }

    fn stat(&self, node: NodeId) -> Result<Stat> {
        Ok(self.node(node)?.stat)
    }

    fn list(
        &self,
        directory: NodeId,
        each: &mut dyn FnMut(Entry) -> ControlFlow<()>,
    ) -> Result<()> {
        let node = self.node(directory)?;
        if node.stat.kind != Kind::Directory {
            return Err(wrong("it is no directory"));
        }
        let runs = self.runs(directory, &node)?;
        match self.boot.width {
            Width::Ex => exfat::list(&self.source, &runs, each),
            _ => directory::list(&self.source, &runs, each),
        }
    }

    fn read_at(&self, node: NodeId, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let found = self.file(node)?;
        let left = size(found.stat.size.saturating_sub(offset));
        let len = left.min(buffer.len());
        let buffer = buffer.get_mut(..len).unwrap_or_default();
        let valid = size(found.valid.saturating_sub(offset)).min(len);
        let (stored, behind) = buffer.split_at_mut(valid);
        behind.fill(0);
        if !stored.is_empty() {
            self.runs(node, &found)?
                .read(&self.source, offset, stored)?;
        }
        Ok(len)
    }

    fn data_at(&self, node: NodeId, offset: u64) -> Result<Option<Range<u64>>> {
        let end = self.file(node)?.valid;
        Ok((offset < end).then_some(offset..end))
    }

    fn link(&self, _node: NodeId) -> Result<Vec<u8>> {
        Err(wrong("it is no symbolic link"))
    }
}
