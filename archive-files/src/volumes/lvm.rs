//! LVM: physical volumes, and the logical ones that their metadata describe. Facts: the label and the header of the
//! metadata area as `pvck --dump headers` shows them, the text as `vgcfgbackup` writes it; numbers are little-endian.

mod text;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::bytes::{Fields, size};
use crate::error::{Error, Result};
use crate::source::{Of, Piece, Pieces, Shared, Source, bytes_at};
use text::Section;

const SECTOR: u64 = 512;

/// The longest text of a group that is read.
const MAX_TEXT: u64 = 16 << 20;

/// How deep logical volumes are made of logical volumes: a mirror of a linear one, and some more.
const MAX_DEPTH: usize = 6;

/// A name, and its bytes or what it is and how large.
pub(super) type Made = (String, std::result::Result<Shared, (String, u64)>);

/// A physical volume.
pub(super) struct Physical {
    disk: String,
    source: Shared,
    /// Without dashes.
    id: String,
    group: Option<Group>,
}

struct Group {
    name: String,
    id: String,
    sequence: u64,
    section: Section,
}

impl Physical {
    /// `None` if it is none.
    pub(super) fn read(name: &str, source: &Shared) -> Result<Option<Self>> {
        for sector in 0..4_u64 {
            let place = sector.saturating_mul(SECTOR);
            if place.saturating_add(SECTOR) > source.size() {
                break;
            }
            let label = bytes_at(source, place, SECTOR)?;
            if label.part(0, 8)? == b"LABELONE" && label.part(24, 8)? == b"LVM2 001" {
                return Self::labelled(name, source, &label).map(Some);
            }
        }
        Ok(None)
    }

    fn labelled(name: &str, source: &Shared, label: &[u8]) -> Result<Self> {
        let mut at = size(u64::from(label.le32(20)?));
        let id = String::from_utf8_lossy(label.part(at, 32)?).into_owned();
        at = at.saturating_add(40);
        // Areas with data, up to one of zeroes; then those with metadata, likewise.
        let mut lists = [Vec::new(), Vec::new()];
        for list in &mut lists {
            loop {
                let area = (label.le64(at)?, label.le64(at.saturating_add(8))?);
                at = at.saturating_add(16);
                if area.0 == 0 {
                    break;
                }
                list.push(area);
            }
        }
        let [_, metadata] = lists;
        let mut group = None;
        let mut failed = None;
        for (start, len) in metadata {
            match group_in(source, start, len) {
                Ok(Some(found)) => {
                    let is_newer = |known: &Group| found.sequence > known.sequence;
                    if group.as_ref().is_none_or(is_newer) {
                        group = Some(found);
                    }
                }
                Ok(None) => {}
                Err(error) => failed = Some(error),
            }
        }
        match (group, failed) {
            (None, Some(error)) => Err(error),
            // Another physical volume of the group has the text, if this one has none.
            (group, _) => Ok(Self {
                disk: name.split(':').next().unwrap_or_default().to_owned(),
                source: Shared::clone(source),
                id,
                group,
            }),
        }
    }

    pub(super) fn what(&self) -> String {
        match &self.group {
            Some(group) => format!("an LVM physical volume of {}", group.name),
            None => "an LVM physical volume".to_owned(),
        }
    }
}

/// The group that a metadata area describes; `None` if it is empty or to be ignored.
fn group_in(source: &dyn Source, start: u64, len: u64) -> Result<Option<Group>> {
    let header = bytes_at(source, start, SECTOR)?;
    if header.part(4, 16)? != b" LVM2 x[5A%r0N*>" {
        return Err(Error::damaged("a metadata area has no magic number"));
    }
    if checksum(header.part(4, 508)?) != header.le32(0)? {
        return Err(Error::damaged("the checksum of a metadata area is wrong"));
    }
    let (offset, bytes) = (header.le64(40)?, header.le64(48)?);
    let is_ignored = header.le32(60)? & 1 != 0;
    if offset == 0 || bytes == 0 || is_ignored {
        return Ok(None);
    }
    if bytes > MAX_TEXT || offset >= len || bytes > len {
        return Err(Error::damaged("a text of metadata is larger than its area"));
    }
    // A ring, whose first sector is the header.
    let straight = bytes.min(len.saturating_sub(offset));
    let mut text = bytes_at(source, start.saturating_add(offset), straight)?;
    let wrapped = bytes.saturating_sub(straight);
    text.extend(bytes_at(source, start.saturating_add(SECTOR), wrapped)?);
    if checksum(&text) != header.le32(56)? {
        return Err(Error::damaged(
            "the checksum of a text of metadata is wrong",
        ));
    }
    group(&text).map(Some)
}

/// A physical volume whose group has this text: the first that the text names.
pub(super) fn described(disk: &str, source: &Shared, text: &[u8]) -> Result<Physical> {
    let group = group(text)?;
    let volumes = group.section.section("physical_volumes");
    let id = volumes.and_then(|all| all.sections().next()?.1.text("id"));
    Ok(Physical {
        disk: disk.to_owned(),
        source: Shared::clone(source),
        id: id.unwrap_or_default().replace('-', ""),
        group: Some(group),
    })
}

fn group(text: &[u8]) -> Result<Group> {
    let whole = text::parse(text)?;
    let (name, section) = whole
        .sections()
        .next()
        .ok_or_else(|| Error::damaged("a text of metadata has no group"))?;
    Ok(Group {
        name: name.to_owned(),
        id: section.text("id").unwrap_or_default().to_owned(),
        sequence: section.number("seqno").unwrap_or_default(),
        section: section.clone(),
    })
}

/// CRC-32 with LVM's own start, and without the inversion at the end.
fn checksum(bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(!0xf597_a6cf);
    hasher.update(bytes);
    !hasher.finalize()
}

/// The logical volumes of all groups.
pub(super) fn logical(physical: Vec<Physical>, warnings: &mut Vec<String>) -> Vec<Made> {
    // Each group as its newest text describes it.
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    let mut disks: HashMap<String, String> = HashMap::new();
    let mut sources: HashMap<String, (String, Shared)> = HashMap::new();
    for volume in physical {
        if let Some(group) = volume.group {
            disks
                .entry(group.id.clone())
                .or_insert_with(|| volume.disk.clone());
            let is_newer = |known: &Group| group.sequence > known.sequence;
            if groups.get(&group.id).is_none_or(is_newer) {
                groups.insert(group.id.clone(), group);
            }
        }
        let place = (volume.disk, volume.source);
        if sources.insert(volume.id.clone(), place).is_some() {
            warnings.push(format!(
                "the LVM physical volume {} is there twice",
                volume.id
            ));
        }
    }
    let mut made = Vec::new();
    for (id, group) in groups {
        let disk = disks.remove(&id).unwrap_or_default();
        match volumes(&group, &disk, &sources) {
            Ok(volumes) => made.extend(volumes),
            Err(error) => warnings.push(format!(
                "{disk}:{}: its volumes cannot be found: {error}",
                group.name
            )),
        }
    }
    made
}

fn volumes(
    group: &Group,
    disk: &str,
    sources: &HashMap<String, (String, Shared)>,
) -> Result<Vec<Made>> {
    let section = &group.section;
    let extent = section
        .number("extent_size")
        .unwrap_or_default()
        .saturating_mul(SECTOR);
    if extent == 0 {
        return Err(Error::damaged("an extent has no size"));
    }
    let mut physical = HashMap::new();
    for (name, volume) in section
        .section("physical_volumes")
        .into_iter()
        .flat_map(Section::sections)
    {
        let id = volume.text("id").unwrap_or_default().replace('-', "");
        let start = volume
            .number("pe_start")
            .unwrap_or_default()
            .saturating_mul(SECTOR);
        let source = sources.get(&id).map(|(_, source)| Shared::clone(source));
        physical.insert(name.to_owned(), (source, start));
    }
    let empty = Section::default();
    let logical = section.section("logical_volumes").unwrap_or(&empty);
    let context = Context {
        extent,
        physical,
        logical,
    };
    // What a snapshot has stored is no volume that anybody reads.
    let mut stores: HashMap<&str, &str> = HashMap::new();
    for (_, volume) in logical.sections() {
        for (_, segment) in volume.sections() {
            if let (Some(store), Some(origin)) = (segment.text("cow_store"), segment.text("origin"))
            {
                stores.insert(store, origin);
            }
        }
    }
    let mut made = Vec::new();
    let mut seen = HashSet::new();
    for (name, volume) in logical.sections() {
        if !volume.has("status", "VISIBLE") || !seen.insert(name) {
            continue;
        }
        let full = format!("{disk}:{}/{name}", group.name);
        let len = context.len(volume);
        made.push(match stores.get(name) {
            Some(origin) => (
                full,
                Err((format!("a snapshot of {origin}, which is not read"), len)),
            ),
            None => match context.volume(name, 0) {
                Ok(pieces) => {
                    let source: Shared = Arc::new(Pieces::new(pieces));
                    (full, Ok(source))
                }
                Err(error) => (full, Err((error.to_string(), len))),
            },
        });
    }
    Ok(made)
}

struct Context<'g> {
    /// Of an extent, in bytes.
    extent: u64,
    physical: HashMap<String, (Option<Shared>, u64)>,
    logical: &'g Section,
}

impl Context<'_> {
    fn len(&self, volume: &Section) -> u64 {
        let counts = volume
            .sections()
            .filter_map(|(_, segment)| segment.number("extent_count"));
        counts
            .fold(0_u64, u64::saturating_add)
            .saturating_mul(self.extent)
    }

    /// The pieces of a logical volume.
    fn volume(&self, name: &str, depth: usize) -> Result<Vec<Piece>> {
        if depth > MAX_DEPTH {
            return Err(Error::damaged("a volume that consists of itself"));
        }
        let volume = self.logical.section(name);
        let volume = volume.ok_or_else(|| Error::damaged("a volume of which a part is missing"))?;
        let mut segments: Vec<&Section> = volume
            .sections()
            .map(|(_, segment)| segment)
            .filter(|segment| segment.text("type").is_some())
            .collect();
        segments.sort_by_key(|segment| segment.number("start_extent"));
        let mut pieces = Vec::new();
        let mut next = 0;
        for segment in segments {
            let count = segment.number("extent_count").unwrap_or_default();
            if segment.number("start_extent") != Some(next) {
                return Err(Error::damaged("a volume with a gap"));
            }
            next = next.saturating_add(count);
            let len = count.saturating_mul(self.extent);
            pieces.extend(self.segment(segment, len, depth)?);
        }
        Ok(pieces)
    }

    fn segment(&self, segment: &Section, len: u64, depth: usize) -> Result<Vec<Piece>> {
        let kind = segment.text("type").unwrap_or_default();
        let one = |of| Ok(vec![Piece { len, of }]);
        match kind {
            "striped" => {
                let mut stripes = self.areas(segment.pairs("stripes"), depth)?;
                let width = segment
                    .number("stripe_size")
                    .unwrap_or_default()
                    .saturating_mul(SECTOR);
                match (stripes.len(), stripes.pop()) {
                    (1, Some((source, start))) => one(Of::Source(source, start)),
                    (2.., Some(last)) if width > 0 => {
                        stripes.push(last);
                        one(Of::Stripes(stripes, width))
                    }
                    _ => Err(Error::damaged("a striped volume without stripes")),
                }
            }
            // All legs have the same; the first that is here does.
            "mirror" => self.leg(segment.pairs("mirrors"), len, depth),
            "raid1" => {
                let legs = segment.texts("raids").skip(1).step_by(2);
                self.leg(legs.map(|leg| (leg, 0)).collect(), len, depth)
            }
            "raid0" | "raid0_meta" => {
                let (skip, step) = if kind == "raid0" { (0, 1) } else { (1, 2) };
                let legs = segment.texts("raids").skip(skip).step_by(step);
                let stripes = self.areas(legs.map(|leg| (leg, 0)).collect(), depth)?;
                let width = segment
                    .number("stripe_size")
                    .unwrap_or_default()
                    .saturating_mul(SECTOR);
                match width {
                    0 => Err(Error::damaged("a striped volume without a size of stripes")),
                    width => one(Of::Stripes(stripes, width)),
                }
            }
            "zero" => one(Of::Zero),
            "thin-pool" => Err(Error::unsupported("an LVM thin pool, which is not read")),
            "thin" => Err(Error::unsupported("an LVM thin volume, which is not read")),
            "snapshot" => Err(Error::unsupported("an LVM snapshot, which is not read")),
            kind => Err(Error::unsupported(format!(
                "an LVM volume of type {}, which is not read",
                fleece_plain_text::words(kind)
            ))),
        }
    }

    fn leg(&self, legs: Vec<(&str, u64)>, len: u64, depth: usize) -> Result<Vec<Piece>> {
        let mut failed = Error::damaged("a mirror without legs");
        for leg in legs {
            match self.areas(vec![leg], depth).map(|mut areas| areas.pop()) {
                Ok(Some((source, start))) => {
                    let of = Of::Source(source, start);
                    return Ok(vec![Piece { len, of }]);
                }
                Ok(None) => {}
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// Where areas begin, each in a physical volume or a logical one.
    fn areas(&self, areas: Vec<(&str, u64)>, depth: usize) -> Result<Vec<(Shared, u64)>> {
        let area = |(name, extent): (&str, u64)| {
            let offset = extent.saturating_mul(self.extent);
            match self.physical.get(name) {
                Some((Some(source), start)) => {
                    Ok((Shared::clone(source), start.saturating_add(offset)))
                }
                Some((None, _)) => Err(Error::unsupported(
                    "an LVM volume that is partly on a disk that is not here",
                )),
                None => {
                    let pieces = self.volume(name, depth.saturating_add(1))?;
                    let source: Shared = Arc::new(Pieces::new(pieces));
                    Ok((source, offset))
                }
            }
        };
        areas.into_iter().map(area).collect()
    }
}
