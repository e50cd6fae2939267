//! NTFS. Facts: the Linux-NTFS project's documentation of the structures; numbers are little-endian.

mod attribute;
mod compressed;
mod geometry;
mod index;
mod record;
mod runs;

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use crate::bytes::{Fields, size, units, utf16};
use crate::error::{Error, Result};
use crate::filesystem::FileSystem;
use crate::source::{Shared, Source};
use crate::tree::{Entry, FileTree, Kind, NodeId, Recent, Stat, Time, wrong};
use attribute::{Attribute, Value};
use geometry::Geometry;
use record::Record;

/// The numbers of files that every volume has.
const MFT: u64 = 0;
const VOLUME: u64 = 3;
const ROOT: u64 = 5;
const BITMAP: u64 = 6;
/// Below, there are only the file system's own.
const FIRST: u64 = 16;

/// Kinds of attributes.
const STANDARD: u32 = 0x10;
const NAME: u32 = 0x30;
const VOLUME_NAME: u32 = 0x60;
const DATA: u32 = 0x80;
const REPARSE: u32 = 0xc0;

/// The tags of reparse points that are links.
const MOUNT_POINT: u32 = 0xa000_0003;
const SYMLINK: u32 = 0xa000_000c;
/// A link as Windows' subsystem for Linux makes it.
const LX_SYMLINK: u32 = 0xa000_001d;

/// A volume with NTFS.
#[derive(Debug)]
pub(crate) struct Ntfs {
    volume: Volume,
    nodes: Recent<u64, Node>,
    notes: Vec<String>,
}

#[derive(Debug)]
struct Volume {
    source: Shared,
    geometry: Geometry,
    /// The table of records.
    table: Attribute,
}

#[derive(Debug)]
struct Node {
    stat: Stat,
    attributes: Vec<Attribute>,
    link: Option<Vec<u8>>,
}

/// What is known of a volume by its first sector, if it is one of these.
pub(crate) fn identify(source: &dyn Source) -> Option<FileSystem> {
    let geometry = Geometry::read(source).ok().flatten()?;
    let id = format!("{:016X}", geometry.serial);
    let mut found = FileSystem::new("ntfs", b"", id, geometry.size, None);
    if let Ok((label, used)) = described(source, &geometry) {
        (found.label, found.used) = (label, used);
    }
    Some(found)
}

/// The label, and how much is in use.
fn described(source: &dyn Source, geometry: &Geometry) -> Result<(Vec<u8>, Option<u64>)> {
    let first = Record::read_at(source, geometry, geometry.table)?;
    let table = first.attribute(DATA, b"")?;
    let attributes = |number| record::attributes(source, geometry, &table, number);
    let name = attributes(VOLUME)?
        .into_iter()
        .find(|found| found.kind == VOLUME_NAME);
    let label = match name.map(|name| name.value) {
        Some(Value::Resident(bytes)) => utf16(units(&bytes)),
        _ => Vec::new(),
    };
    let bitmap = attributes(BITMAP)?;
    let bitmap = bitmap
        .iter()
        .find(|found| found.kind == DATA && found.name.is_empty());
    // A bit for each cluster: of a disk of 8 TiB, 256 MiB, which nobody waits for.
    const MAX: u64 = 32 << 20;
    let used = match bitmap {
        Some(bitmap) if bitmap.len() <= MAX => {
            let mut bits = vec![0; size(bitmap.len())];
            bitmap.read(source, geometry, 0, &mut bits)?;
            let set = bits.iter().fold(0_u64, |set, byte| {
                set.saturating_add(u64::from(byte.count_ones()))
            });
            Some(set.saturating_mul(geometry.cluster).min(geometry.size))
        }
        _ => None,
    };
    Ok((label, used))
}

impl Ntfs {
    pub(crate) fn open(source: &Shared) -> Result<Self> {
        let missing = || Error::damaged("there is no boot sector of NTFS");
        let geometry = Geometry::read(source)?.ok_or_else(missing)?;
        let first = Record::read_at(source, &geometry, geometry.table)?;
        let mut table = first.attribute(DATA, b"")?;
        // A table in many pieces has a list of them, which is found with the first piece.
        let whole = record::attributes(source, &geometry, &table, MFT)?;
        if let Some(found) = whole
            .into_iter()
            .find(|a| a.kind == DATA && a.name.is_empty())
        {
            table = found;
        }
        let mut notes = Vec::new();
        if is_dirty(source, &geometry, &table).unwrap_or_default() {
            notes.push("it was not unmounted: its log is not replayed, so what was changed last may be missing".to_owned());
        }
        Ok(Self {
            volume: Volume {
                source: Shared::clone(source),
                geometry,
                table,
            },
            nodes: Recent::default(),
            notes,
        })
    }

    fn node(&self, node: NodeId) -> Result<Arc<Node>> {
        self.nodes
            .get(node.number, || self.volume.node(node.number))
    }

    /// The content of a file.
    fn data(&self, node: &Node) -> Result<Option<Attribute>> {
        if node.stat.kind != Kind::File {
            return Err(wrong("it is no file"));
        }
        let is_data = |found: &&Attribute| found.kind == DATA && found.name.is_empty();
        let data = node.attributes.iter().find(is_data);
        match data {
            Some(data) if data.is_encrypted() => {
                Err(Error::unsupported("it is encrypted by the file system"))
            }
            // What an application of Windows has taken elsewhere is not here.
            data => Ok(data.cloned()),
        }
    }
}

/// Whether the volume is marked as not unmounted.
fn is_dirty(source: &dyn Source, geometry: &Geometry, table: &Attribute) -> Result<bool> {
    const INFORMATION: u32 = 0x70;
    let attributes = record::attributes(source, geometry, table, VOLUME)?;
    let information = attributes
        .into_iter()
        .find(|found| found.kind == INFORMATION);
    Ok(match information.map(|found| found.value) {
        Some(Value::Resident(bytes)) => bytes.le16(10)? & 1 != 0,
        _ => false,
    })
}

impl Volume {
    fn node(&self, number: u64) -> Result<Node> {
        let attributes = record::attributes(&self.source, &self.geometry, &self.table, number)?;
        let resident = |kind: u32| {
            attributes.iter().find_map(|found| match &found.value {
                Value::Resident(bytes) if found.kind == kind => Some(bytes),
                _ => None,
            })
        };
        let standard = resident(STANDARD);
        let standard =
            standard.ok_or_else(|| Error::damaged(format!("file {number} has no attributes")))?;
        let is_directory = attributes.iter().any(|found| found.is_index());
        let times = |at: usize| -> Result<Time> { Ok(filetime(standard.le64(at)?)) };
        let data = attributes
            .iter()
            .find(|found| found.kind == DATA && found.name.is_empty());
        let is_system = standard.le32(32)? & 4 != 0;
        let link = match attributes.iter().find(|found| found.kind == REPARSE) {
            Some(reparse) => link(&reparse.whole(&self.source, &self.geometry, 16 << 10)?)?,
            None => match data {
                Some(data) if is_system => self.interix_link(data)?,
                _ => None,
            },
        };
        let (kind, len) = match (&link, is_directory) {
            (Some(target), _) => (Kind::Link, target.len() as u64),
            (None, true) => (Kind::Directory, 0),
            (None, false) => (Kind::File, data.map(Attribute::len).unwrap_or_default()),
        };
        let mut stat = Stat::plain(kind, len, times(8)?);
        stat.changed = times(16)?;
        stat.accessed = times(24)?;
        stat.created = Some(times(0)?);
        if standard.le32(32)? & 1 != 0 && kind == Kind::File {
            stat.permissions &= 0o555;
        }
        // Names of eight and three letters are no further names.
        let is_name = |found: &&Attribute| match &found.value {
            Value::Resident(bytes) => {
                found.kind == NAME && bytes.byte(65).is_ok_and(|space| space != 2)
            }
            _ => false,
        };
        let names = attributes.iter().filter(is_name).count().max(1);
        stat.links = u32::try_from(names).unwrap_or(u32::MAX);
        Ok(Node {
            stat,
            attributes,
            link,
        })
    }
}

impl Volume {
    /// A link as Interix makes it, and `ntfs-3g`: a file of the system that begins with these bytes.
    fn interix_link(&self, data: &Attribute) -> Result<Option<Vec<u8>>> {
        const MAGIC: &[u8] = b"IntxLNK\x01";
        if !(8..=16384).contains(&data.len()) || data.is_encrypted() {
            return Ok(None);
        }
        let content = data.whole(&self.source, &self.geometry, 16 << 10)?;
        let target = content.strip_prefix(MAGIC);
        Ok(target.map(|target| utf16(units(target))))
    }
}

/// What a reparse point says, if it is a link; with slashes instead of backslashes.
fn link(reparse: &[u8]) -> Result<Option<Vec<u8>>> {
    let header = match reparse.le32(0)? {
        SYMLINK => 20_usize,
        MOUNT_POINT => 16,
        LX_SYMLINK => return Ok(reparse.get(12..).map(<[u8]>::to_vec)),
        _ => return Ok(None),
    };
    // The name for people, or if there is none, the one for the system.
    for (at, len) in [(12_usize, 14_usize), (8, 10)] {
        let start = header.saturating_add(usize::from(reparse.le16(at)?));
        let name = reparse.part(start, usize::from(reparse.le16(len)?))?;
        if !name.is_empty() {
            let slash = |unit: u16| {
                if unit == u16::from(b'\\') {
                    u16::from(b'/')
                } else {
                    unit
                }
            };
            return Ok(Some(utf16(units(name).map(slash))));
        }
    }
    Ok(None)
}

/// Tenths of microseconds since 1601.
fn filetime(stamp: u64) -> Time {
    let seconds = i64::try_from(stamp / 10_000_000).unwrap_or(i64::MAX);
    let rest = u32::try_from(stamp % 10_000_000).unwrap_or_default();
    Time::new(
        seconds.saturating_sub(11_644_473_600),
        rest.saturating_mul(100),
    )
}

impl FileTree for Ntfs {
    fn root(&self) -> NodeId {
        NodeId {
            tree: 0,
            number: ROOT,
        }
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
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
        index::list(
            &self.volume.source,
            &self.volume.geometry,
            &node.attributes,
            each,
        )
    }

    fn read_at(&self, node: NodeId, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let node = self.node(node)?;
        let Some(data) = self.data(&node)? else {
            return Ok(0);
        };
        let len = size(data.len().saturating_sub(offset)).min(buffer.len());
        let buffer = buffer.get_mut(..len).unwrap_or_default();
        data.read(&self.volume.source, &self.volume.geometry, offset, buffer)?;
        Ok(len)
    }

    fn data_at(&self, node: NodeId, offset: u64) -> Result<Option<Range<u64>>> {
        let node = self.node(node)?;
        Ok(match self.data(&node)? {
            Some(data) => data.data_at(&self.volume.geometry, offset),
            None => None,
        })
    }

    fn link(&self, node: NodeId) -> Result<Vec<u8>> {
        let node = self.node(node)?;
        node.link
            .clone()
            .ok_or_else(|| wrong("it is no symbolic link"))
    }

    fn streams(&self, node: NodeId) -> Result<Vec<(Vec<u8>, u64)>> {
        let node = self.node(node)?;
        let named = node
            .attributes
            .iter()
            .filter(|found| found.kind == DATA && !found.name.is_empty());
        Ok(named
            .map(|found| (found.name.clone(), found.len()))
            .collect())
    }
}
