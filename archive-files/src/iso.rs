//! ISO 9660 with Rock Ridge or Joliet. Facts: ECMA-119, IEEE P1281 (SUSP) and P1282 (Rock Ridge); numbers are in both byte
//! orders, of which the little-endian one is read.

mod rock_ridge;
mod time;

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use crate::bytes::{Fields, size, utf16};
use crate::error::{Error, Result};
use crate::filesystem::FileSystem;
use crate::source::{Shared, Source, bytes_at};
use crate::tree::{Entry, FileTree, Kind, NodeId, Recent, Stat, entry_name, wrong};
use rock_ridge::RockRidge;
use time::short_time;

const SECTOR: u64 = 2048;

/// Where the first descriptor is, and how many are read.
const FIRST: u64 = 16;
const MAX_DESCRIPTORS: u64 = 32;

/// The longest directory that is read.
const MAX_DIRECTORY: u64 = 256 << 20;

/// How many parts a file has at most, of 4 GiB each.
const MAX_PARTS: usize = 4096;

/// How names are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    Plain,
    /// In big-endian UTF-16.
    Joliet,
    /// With so many bytes before each entry's own.
    RockRidge(usize),
}

/// A volume with ISO 9660.
#[derive(Debug)]
pub(crate) struct Iso {
    source: Shared,
    block: u64,
    names: Names,
    /// Where the record of the root directory is.
    root: u64,
    nodes: Recent<u64, Node>,
}

#[derive(Debug)]
struct Node {
    stat: Stat,
    /// Where its content is, with the length of each part.
    parts: Vec<(u64, u64)>,
    link: Option<Vec<u8>>,
}

/// A descriptor of a volume.
struct Descriptor {
    place: u64,
    raw: Vec<u8>,
    is_joliet: bool,
}

/// All descriptors that describe files.
fn descriptors(source: &dyn Source) -> Result<Vec<Descriptor>> {
    let mut found = Vec::new();
    for sector in FIRST..FIRST.saturating_add(MAX_DESCRIPTORS) {
        let place = sector.saturating_mul(SECTOR);
        if place.saturating_add(SECTOR) > source.size() {
            break;
        }
        let raw = bytes_at(source, place, SECTOR)?;
        if raw.part(1, 5)? != b"CD001" {
            break;
        }
        let is_joliet = matches!(raw.part(88, 3)?, b"%/@" | b"%/C" | b"%/E");
        match raw.byte(0)? {
            255 => break,
            1 => found.push(Descriptor {
                place,
                raw,
                is_joliet: false,
            }),
            2 if is_joliet => found.push(Descriptor {
                place,
                raw,
                is_joliet,
            }),
            _ => {}
        }
    }
    Ok(found)
}

/// What is known of a volume by its descriptors, if it is one of these.
pub(crate) fn identify(source: &dyn Source) -> Option<FileSystem> {
    let found = descriptors(source).ok()?;
    let raw = &found.iter().find(|found| !found.is_joliet)?.raw;
    let label = raw.part(40, 32).ok()?.trim_ascii_end();
    let block = u64::from(raw.le16(128).ok()?);
    let len = u64::from(raw.le32(80).ok()?).saturating_mul(block);
    // `blkid` makes an identifier of the time: of its last change, or if that is unset of its making.
    let stamp = [830_usize, 813].into_iter().find_map(|at| {
        let digits = raw.part(at, 16).ok()?;
        let is_set =
            digits.iter().all(u8::is_ascii_digit) && digits.iter().any(|digit| *digit != b'0');
        is_set.then(|| String::from_utf8_lossy(digits).into_owned())
    });
    let part = |stamp: &str, range: Range<usize>| stamp.get(range).unwrap_or_default().to_owned();
    let id = stamp.map(|stamp| {
        [0..4, 4..6, 6..8, 8..10, 10..12, 12..14, 14..16]
            .map(|range| part(&stamp, range))
            .join("-")
    });
    Some(FileSystem::new(
        "iso9660",
        label,
        id.unwrap_or_default(),
        len,
        Some(len),
    ))
}

impl Iso {
    pub(crate) fn open(source: &Shared) -> Result<Self> {
        let found = descriptors(source)?;
        let primary = found.iter().find(|found| !found.is_joliet);
        let primary =
            primary.ok_or_else(|| Error::damaged("there is no descriptor of a volume"))?;
        let block = u64::from(primary.raw.le16(128)?);
        if !matches!(block, 512 | 1024 | 2048) {
            return Err(Error::damaged(format!("its blocks have {block} bytes")));
        }
        let mut iso = Self {
            source: Shared::clone(source),
            block,
            names: Names::Plain,
            root: primary.place.saturating_add(156),
            nodes: Recent::default(),
        };
        let first = u64::from(primary.raw.le32(158)?).saturating_mul(block);
        let dot = iso.record(first)?;
        if let Some(skip) = rock_ridge::begins(&iso.source, block, &dot)? {
            iso.names = Names::RockRidge(skip);
        } else if let Some(joliet) = found.iter().find(|found| found.is_joliet) {
            iso.names = Names::Joliet;
            iso.root = joliet.place.saturating_add(156);
        }
        Ok(iso)
    }

    /// The record at a place of the volume.
    fn record(&self, place: u64) -> Result<Vec<u8>> {
        let len = u64::from(bytes_at(&self.source, place, 1)?.byte(0)?);
        if len < 34 {
            return Err(Error::damaged("there is no record of a file"));
        }
        bytes_at(&self.source, place, len)
    }

    fn node(&self, node: NodeId) -> Result<Arc<Node>> {
        self.nodes.get(node.number, || self.read(node.number))
    }

    fn read(&self, place: u64) -> Result<Node> {
        let mut record = self.record(place)?;
        let mut parts = vec![self.extent(&record)?];
        let more = self.rock_ridge(&record)?;
        // The record of a directory in the one above may lack what its own has; that of the root has none.
        let is_directory = record.byte(25)? & 2 != 0;
        let mut at = place;
        while record.byte(25)? & 0x80 != 0 && parts.len() < MAX_PARTS {
            // A file in several parts has a record for each, one behind another in a sector or at the start of the next.
            at = at.saturating_add(record.len() as u64);
            if bytes_at(&self.source, at, 1)?.byte(0)? == 0 {
                at = at.next_multiple_of(SECTOR);
            }
            record = self.record(at)?;
            parts.push(self.extent(&record)?);
        }
        let len = parts
            .iter()
            .fold(0_u64, |len, part| len.saturating_add(part.1));
        let kind = if is_directory {
            Kind::Directory
        } else {
            Kind::File
        };
        let time = short_time(record.part(18, 7)?)?;
        let mut stat = Stat::plain(kind, if is_directory { 0 } else { len }, time);
        stat.permissions &= 0o555;
        let mut link = None;
        if let Some(more) = more {
            more.apply(&mut stat);
            if let Some(child) = more.child {
                // A directory that was moved, since it was too deep.
                let moved = child.saturating_mul(self.block);
                let dot = self.record(moved)?;
                parts = vec![self.extent(&dot)?];
                stat.kind = Kind::Directory;
            }
            if stat.kind == Kind::Link {
                stat.size = more.link.len() as u64;
                link = Some(more.link);
            }
        }
        Ok(Node { stat, parts, link })
    }

    fn extent(&self, record: &[u8]) -> Result<(u64, u64)> {
        let skipped = u64::from(record.byte(1)?);
        let block = u64::from(record.le32(2)?).saturating_add(skipped);
        Ok((
            block.saturating_mul(self.block),
            u64::from(record.le32(10)?),
        ))
    }

    fn rock_ridge(&self, record: &[u8]) -> Result<Option<RockRidge>> {
        match self.names {
            Names::RockRidge(skip) => {
                rock_ridge::read(&self.source, self.block, record, skip).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn name(&self, record: &[u8]) -> Result<Option<Vec<u8>>> {
        let raw = record.part(33, usize::from(record.byte(32)?))?;
        // The directory itself and the one above.
        if matches!(raw, [0 | 1]) {
            return Ok(None);
        }
        let name = match self.names {
            Names::RockRidge(_) => {
                let more = self.rock_ridge(record)?.unwrap_or_default();
                if more.is_moved {
                    return Ok(None);
                }
                match more.name.is_empty() {
                    true => plain(raw),
                    false => more.name,
                }
            }
            Names::Joliet => {
                let units = raw
                    .as_chunks::<2>()
                    .0
                    .iter()
                    .map(|pair| u16::from_be_bytes(*pair));
                without_version(&utf16(units)).to_vec()
            }
            Names::Plain => plain(raw),
        };
        Ok(entry_name(&name))
    }
}

/// `NAME.EXT;1` in small letters, as Linux shows it.
fn plain(raw: &[u8]) -> Vec<u8> {
    let name = without_version(raw).to_ascii_lowercase();
    name.strip_suffix(b".").map(<[u8]>::to_vec).unwrap_or(name)
}

fn without_version(name: &[u8]) -> &[u8] {
    let place = name.iter().rposition(|byte| *byte == b';');
    place.and_then(|place| name.get(..place)).unwrap_or(name)
}

impl FileTree for Iso {
    fn root(&self) -> NodeId {
        NodeId {
            tree: 0,
            number: self.root,
        }
    }

    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    fn ignores_case(&self) -> bool {
        !matches!(self.names, Names::RockRidge(_))
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
        let (start, len) = node.parts.first().copied().unwrap_or_default();
        if len > MAX_DIRECTORY {
            return Err(Error::limit("the directory is larger than 256 MiB"));
        }
        let end = start.saturating_add(len);
        let mut at = start;
        // Whether the record belongs to the same file as the one before.
        let mut is_more = false;
        while at < end {
            // No record goes beyond its sector.
            if bytes_at(&self.source, at, 1)?.byte(0)? == 0 {
                at = at.saturating_add(1).next_multiple_of(SECTOR);
                continue;
            }
            let record = self.record(at)?;
            let number = at;
            at = at.saturating_add(record.len() as u64);
            let was_more = std::mem::replace(&mut is_more, record.byte(25)? & 0x80 != 0);
            if was_more {
                continue;
            }
            if let Some(name) = self.name(&record)? {
                let node = NodeId { tree: 0, number };
                if each(Entry { name, node }).is_break() {
                    break;
                }
            }
        }
        Ok(())
    }

    fn read_at(&self, node: NodeId, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let node = self.node(node)?;
        if node.stat.kind != Kind::File {
            return Err(wrong("it is no file"));
        }
        let len = size(node.stat.size.saturating_sub(offset)).min(buffer.len());
        let mut rest = buffer.get_mut(..len).unwrap_or_default();
        let (mut at, mut start) = (offset, 0_u64);
        for (place, len) in &node.parts {
            let within = at.saturating_sub(start);
            start = start.saturating_add(*len);
            if at >= start || rest.is_empty() {
                continue;
            }
            let count = size(start.saturating_sub(at)).min(rest.len());
            let (now, later) = rest.split_at_mut(count);
            self.source.read_at(place.saturating_add(within), now)?;
            at = at.saturating_add(count as u64);
            rest = later;
        }
        Ok(len)
    }

    fn data_at(&self, node: NodeId, offset: u64) -> Result<Option<Range<u64>>> {
        let node = self.node(node)?;
        if node.stat.kind != Kind::File {
            return Err(wrong("it is no file"));
        }
        let end = node.stat.size;
        Ok((offset < end).then_some(offset..end))
    }

    fn link(&self, node: NodeId) -> Result<Vec<u8>> {
        let node = self.node(node)?;
        node.link
            .clone()
            .ok_or_else(|| wrong("it is no symbolic link"))
    }
}
