//! btrfs on one device. Facts: btrfs' documentation, "On-disk Format"; numbers are little-endian.
//!
//! Paths begin at the top level, whatever subvolume is mounted by default, so that all subvolumes and snapshots are there.

mod chunks;
mod content;
mod items;

use std::ops::{ControlFlow, Range};

use crate::bytes::{Fields, size, text, uuid};
use crate::error::{Error, Result};
use crate::filesystem::FileSystem;
use crate::source::{Shared, Source, bytes_at};
use crate::tree::{Entry, FileTree, Kind, NodeId, Recent, Stat, Time, entry_name, wrong};
use chunks::Chunks;
use content::Extent;
use items::{Key, Volume};

/// Is given the items of a tree in order, until it breaks off.
type EachItem<'a> = &'a mut dyn FnMut(Key, &[u8]) -> Result<ControlFlow<()>>;

/// Where the superblock is.
const SUPERBLOCK: u64 = 64 << 10;

/// The subvolume at the top, and the root directory of each.
const TOP: u64 = 5;
const ROOT: u64 = 256;

/// Types of items.
const INODE: u8 = 1;
const XATTR: u8 = 24;
const DIR_INDEX: u8 = 96;
const ROOT_ITEM: u8 = 132;

/// Incompatible features that are known: those that change nothing that is read here.
const KNOWN: u64 = 0x7fff;

/// A volume with btrfs.
#[derive(Debug)]
pub(crate) struct Btrfs {
    volume: Volume,
    superblock: Superblock,
    subvolumes: Recent<u64, u64>,
    plain: Recent<u64, Vec<u8>>,
}

#[derive(Debug)]
struct Superblock {
    root: u64,
    chunk_root: u64,
    log_root: u64,
    size: u64,
    used: u64,
    devices: u64,
    sector: u64,
    node: u64,
    incompatible: u64,
    device: u64,
    id: [u8; 16],
    label: Vec<u8>,
    chunks: Vec<u8>,
}

impl Superblock {
    /// `None` if there is none.
    fn read(source: &dyn Source) -> Result<Option<Self>> {
        if source.size() < SUPERBLOCK.saturating_add(4096) {
            return Ok(None);
        }
        let raw = bytes_at(source, SUPERBLOCK, 4096)?;
        if raw.part(0x40, 8)? != b"_BHRfS_M" || raw.le64(0x30)? != SUPERBLOCK {
            return Ok(None);
        }
        let chunks = size(u64::from(raw.le32(0xa0)?).min(2048));
        let found = Self {
            root: raw.le64(0x50)?,
            chunk_root: raw.le64(0x58)?,
            log_root: raw.le64(0x60)?,
            size: raw.le64(0x70)?,
            used: raw.le64(0x78)?,
            devices: raw.le64(0x88)?,
            sector: u64::from(raw.le32(0x90)?),
            node: u64::from(raw.le32(0x94)?),
            incompatible: raw.le64(0xbc)?,
            device: raw.le64(0xc9)?,
            id: raw.array(0x20)?,
            label: text(raw.part(0x12b, 256)?),
            chunks: raw.part(0x32b, chunks)?.to_vec(),
        };
        let is_fine = |len: u64| (4096..=65536).contains(&len) && len.is_power_of_two();
        Ok((is_fine(found.sector) && is_fine(found.node)).then_some(found))
    }
}

/// What is known of a volume by its superblock, if it is one of these.
pub(crate) fn identify(source: &dyn Source) -> Option<FileSystem> {
    let found = Superblock::read(source).ok().flatten()?;
    let id = uuid(found.id);
    Some(FileSystem::new(
        "btrfs",
        &found.label,
        id,
        found.size,
        Some(found.used),
    ))
}

impl Btrfs {
    pub(crate) fn open(source: &Shared) -> Result<Self> {
        let missing = || Error::damaged("there is no superblock of btrfs");
        let superblock = Superblock::read(source)?.ok_or_else(missing)?;
        if superblock.incompatible & !KNOWN != 0 {
            return Err(Error::unsupported(format!(
                "the file system has features that are not read: {:#x}",
                superblock.incompatible & !KNOWN
            )));
        }
        let chunks = Chunks::first(&superblock.chunks, superblock.device)?;
        let mut volume = Volume::new(Shared::clone(source), chunks, superblock.node);
        volume.read_chunks(superblock.chunk_root, superblock.device)?;
        let tree = Self {
            volume,
            superblock,
            subvolumes: Recent::default(),
            plain: Recent::default(),
        };
        tree.stat(tree.root())?;
        Ok(tree)
    }

    /// The root of the tree of a subvolume.
    fn subvolume(&self, id: u64) -> Result<u64> {
        let found = self.subvolumes.get(id, || {
            let key = Key::new(id, ROOT_ITEM, 0);
            let mut found = None;
            self.volume
                .from(self.superblock.root, key, &mut |key, data| {
                    if (key.object, key.kind) == (id, ROOT_ITEM) {
                        found = Some(data.le64(176)?);
                    }
                    Ok(ControlFlow::Break(()))
                })?;
            found.ok_or_else(|| Error::damaged(format!("there is no subvolume {id}")))
        })?;
        Ok(*found)
    }

    /// All items of one type of a node.
    fn items(&self, node: NodeId, kind: u8, each: EachItem<'_>) -> Result<()> {
        let root = self.subvolume(node.tree)?;
        let first = Key::new(node.number, kind, 0);
        self.volume
            .from(
                root,
                first,
                &mut |key, data| match (key.object, key.kind) == (node.number, kind) {
                    true => each(key, data),
                    false => Ok(ControlFlow::Break(())),
                },
            )
    }

    /// The stat of a node of one kind.
    fn expect(&self, node: NodeId, kind: Kind, or: &str) -> Result<Stat> {
        let stat = self.stat(node)?;
        match stat.kind == kind {
            true => Ok(stat),
            false => Err(wrong(or)),
        }
    }

    /// The extents of a file from that on in which an offset is.
    fn extents(
        &self,
        node: NodeId,
        offset: u64,
        each: &mut dyn FnMut(Extent) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let root = self.subvolume(node.tree)?;
        let at = Key::new(node.number, content::EXTENT, offset);
        let first = self.volume.floor(root, at)?;
        let first = first.filter(|key| (key.object, key.kind) == (at.object, at.kind));
        self.volume.from(
            root,
            first.unwrap_or(at),
            &mut |key, data| match (key.object, key.kind) == (at.object, at.kind) {
                true => each(Extent::parse(key.offset, data)?),
                false => Ok(ControlFlow::Break(())),
            },
        )
    }
}

impl FileTree for Btrfs {
    fn root(&self) -> NodeId {
        NodeId {
            tree: TOP,
            number: ROOT,
        }
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.superblock.log_root != 0 {
            notes.push(
                "it was not unmounted: its log is not replayed, so what was synced since its last commit, usually within \
                 30 seconds, may be missing"
                    .to_owned(),
            );
        }
        if self.superblock.devices > 1 {
            notes.push(format!(
                "it is on {} devices, of which this is one: files on the others cannot be read",
                self.superblock.devices
            ));
        }
        notes
    }

    fn stat(&self, node: NodeId) -> Result<Stat> {
        let mut found = None;
        self.items(node, INODE, &mut |_, data| {
            found = Some(stat(data)?);
            Ok(ControlFlow::Break(()))
        })?;
        found.ok_or_else(|| Error::damaged(format!("there is no inode {}", node.number)))
    }

    fn list(
        &self,
        directory: NodeId,
        each: &mut dyn FnMut(Entry) -> ControlFlow<()>,
    ) -> Result<()> {
        self.expect(directory, Kind::Directory, "it is no directory")?;
        self.items(directory, DIR_INDEX, &mut |_, data| {
            let name = data.part(30, usize::from(data.le16(27)?))?;
            let number = data.le64(0)?;
            // A subvolume has an entry in another one.
            let node = match data.byte(8)? {
                ROOT_ITEM => NodeId {
                    tree: number,
                    number: ROOT,
                },
                _ => NodeId {
                    tree: directory.tree,
                    number,
                },
            };
            Ok(match entry_name(name) {
                Some(name) => each(Entry { name, node }),
                None => ControlFlow::Continue(()),
            })
        })
    }

    fn read_at(&self, node: NodeId, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let stat = self.expect(node, Kind::File, "it is no file")?;
        let len = size(stat.size.saturating_sub(offset)).min(buffer.len());
        let buffer = buffer.get_mut(..len).unwrap_or_default();
        buffer.fill(0);
        let end = offset.saturating_add(len as u64);
        self.extents(node, offset, &mut |extent| {
            if extent.start >= end {
                return Ok(ControlFlow::Break(()));
            }
            extent.read(self, offset, buffer)?;
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(len)
    }

    fn data_at(&self, node: NodeId, offset: u64) -> Result<Option<Range<u64>>> {
        let end = self.expect(node, Kind::File, "it is no file")?.size;
        let mut found = None;
        self.extents(node, offset, &mut |extent| {
            let stop = extent.start.saturating_add(extent.len).min(end);
            if !extent.is_stored() || stop <= offset {
                return Ok(ControlFlow::Continue(()));
            }
            found = Some(extent.start.max(offset)..stop);
            Ok(ControlFlow::Break(()))
        })?;
        Ok(found)
    }

    fn link(&self, node: NodeId) -> Result<Vec<u8>> {
        let stat = self.expect(node, Kind::Link, "it is no symbolic link")?;
        let mut target = vec![0; size(stat.size.min(4096))];
        self.extents(node, 0, &mut |extent| {
            extent.read(self, 0, &mut target)?;
            Ok(ControlFlow::Break(()))
        })?;
        Ok(target)
    }

    fn attributes(&self, node: NodeId) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut found = Vec::new();
        self.items(node, XATTR, &mut |_, data| {
            let mut rest = data;
            while rest.len() > 30 && found.len() < 4096 {
                let (value_len, name_len) =
                    (usize::from(rest.le16(25)?), usize::from(rest.le16(27)?));
                let behind = name_len.saturating_add(30);
                let name = rest.part(30, name_len)?.to_vec();
                found.push((name, rest.part(behind, value_len)?.to_vec()));
                rest = rest
                    .get(behind.saturating_add(value_len)..)
                    .unwrap_or_default();
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }
}

fn stat(raw: &[u8]) -> Result<Stat> {
    let mode = raw.le32(52)?;
    let kind = Kind::of_mode(mode)?;
    let time = |at: usize| -> Result<Time> {
        let seconds = i64::from_le_bytes(raw.array(at)?);
        Ok(Time::new(seconds, raw.le32(at.saturating_add(8))?))
    };
    let device = raw.le64(56)?;
    let part = |number: u64| u32::try_from(number & 0xffff_ffff).unwrap_or_default();
    Ok(Stat {
        kind,
        permissions: mode & 0o7777,
        uid: raw.le32(44)?,
        gid: raw.le32(48)?,
        size: match kind {
            Kind::Directory => 0,
            _ => raw.le64(16)?,
        },
        links: raw.le32(40)?.max(1),
        modified: time(136)?,
        accessed: time(112)?,
        changed: time(124)?,
        created: Some(time(148)?).filter(|time| time.seconds != 0),
        device: match kind {
            Kind::Character | Kind::Block => (part(device >> 20), part(device & 0xf_ffff)),
            _ => (0, 0),
        },
    })
}
