//! Partition tables of the PC's BIOS: four entries in the first sector, and a chain of sectors in an extended partition.

use std::collections::HashSet;

use super::Table;
use crate::bytes::Fields;
use crate::error::Result;
use crate::source::{Pieces, Shared, Source, bytes_at};

const SECTOR: u64 = 512;

/// How many logical partitions are read: Linux has minor numbers for far fewer.
const MAX_LOGICAL: u32 = 256;

#[derive(Clone, Copy)]
struct Entry {
    kind: u8,
    start: u64,
    count: u64,
}

impl Entry {
    const fn is_extended(self) -> bool {
        matches!(self.kind, 0x05 | 0x0f | 0x85)
    }

    fn part(self, disk: &Shared, base: u64) -> Shared {
        let start = base.saturating_add(self.start).saturating_mul(SECTOR);
        Pieces::part(disk, start, self.count.saturating_mul(SECTOR))
    }
}

/// The table of a disk; `None` if what is in its first sector is none.
pub(super) fn read(disk: &Shared) -> Result<Option<Table>> {
    let Some(entries) = entries(disk, 0)? else {
        return Ok(None);
    };
    let sectors = disk.size() / SECTOR;
    let used = || entries.iter().flatten();
    // A boot sector of something else has code there.
    let is_table = used().next().is_some() && used().all(|entry| entry.start < sectors);
    if !is_table {
        return Ok(None);
    }
    let mut partitions = Vec::new();
    let mut warning = None;
    for (place, entry) in entries.iter().enumerate() {
        let Some(entry) = entry else { continue };
        if entry.is_extended() {
            warning = logical(disk, *entry, &mut partitions)?;
        } else {
            let number = place.saturating_add(1).to_string();
            partitions.push((number, entry.part(disk, 0)));
        }
    }
    Ok(Some(Table {
        partitions,
        warning,
    }))
}

/// The partitions in an extended one, which are numbered from 5 on. In each sector the first entry is a partition, from
/// that sector on, and the second the next sector, from the start of the extended partition on.
fn logical(
    disk: &Shared,
    extended: Entry,
    partitions: &mut Vec<(String, Shared)>,
) -> Result<Option<String>> {
    let mut at = extended.start;
    let mut seen = HashSet::new();
    for number in 5_u32..MAX_LOGICAL.saturating_add(5) {
        if !seen.insert(at) {
            let warning = "the chain of logical partitions goes round in a circle, of which one round is shown";
            return Ok(Some(warning.into()));
        }
        let Some([first, second, ..]) = entries(disk, at)? else {
            let warning = format!("the logical partitions from number {number} on cannot be found");
            return Ok((number > 5).then_some(warning));
        };
        if let Some(entry) = first {
            partitions.push((number.to_string(), entry.part(disk, at)));
        }
        match second {
            Some(next) if next.is_extended() => at = extended.start.saturating_add(next.start),
            _ => return Ok(None),
        }
    }
    Ok(Some(format!(
        "of more than {MAX_LOGICAL} logical partitions the rest is not shown"
    )))
}

/// The four entries in a sector, those that are used; `None` if it is no such sector.
fn entries(disk: &dyn Source, at: u64) -> Result<Option<[Option<Entry>; 4]>> {
    let place = at.saturating_mul(SECTOR);
    if place.saturating_add(SECTOR) > disk.size() {
        return Ok(None);
    }
    let sector = bytes_at(disk, place, SECTOR)?;
    if sector.le16(510)? != 0xaa55 {
        return Ok(None);
    }
    let mut entries = [None; 4];
    for (place, found) in entries.iter_mut().enumerate() {
        let raw = sector.part(place.saturating_mul(16).saturating_add(446), 16)?;
        if !matches!(raw.byte(0)?, 0 | 0x80) {
            return Ok(None);
        }
        let (start, count) = (u64::from(raw.le32(8)?), u64::from(raw.le32(12)?));
        let kind = raw.byte(4)?;
        if kind != 0 && count != 0 {
            *found = Some(Entry { kind, start, count });
        }
    }
    Ok(Some(entries))
}
