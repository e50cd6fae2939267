//! GUID partition tables. Facts: UEFI specification, section 5.3; numbers are little-endian.

use super::Table;
use crate::bytes::{Fields, size};
use crate::error::{Error, Result};
use crate::source::{Pieces, Shared, Source, bytes_at};

const SIGNATURE: &[u8] = b"EFI PART";

/// How many entries are read: eight times as many as the specification asks for.
const MAX_ENTRIES: u32 = 1024;

/// A header that is right, with its entries.
struct Header {
    sector: u64,
    entries: Vec<u8>,
    entry: usize,
}

/// The table of a disk: the one at its start, or the copy at its end. `None` if there is none.
pub(super) fn read(disk: &Shared) -> Result<Option<Table>> {
    let mut first = None;
    for sector in [512, 4096] {
        let last = disk.size().checked_div(sector).unwrap_or_default();
        let backup = last.saturating_sub(1);
        match header(disk, sector, 1) {
            Ok(None) => {}
            Ok(Some(header)) => return table(disk, &header, None).map(Some),
            Err(error) => first = Some(error),
        }
        // Without a first one, a copy is only what is left of an older table, unless the disk says it has one.
        if first.is_none() && !is_protected(disk)? {
            continue;
        }
        if let Ok(Some(header)) = header(disk, sector, backup) {
            let why = match first.take() {
                Some(error) => error.to_string(),
                None => "it is gone".to_owned(),
            };
            let warning = format!(
                "the GPT at the start of the disk is not used ({why}), but its copy at the end"
            );
            return table(disk, &header, Some(warning)).map(Some);
        }
    }
    first.map_or(Ok(None), Err)
}

/// Whether there is an MBR that says there is a GPT.
fn is_protected(disk: &dyn Source) -> Result<bool> {
    if disk.size() < 512 {
        return Ok(false);
    }
    let mbr = bytes_at(disk, 0, 512)?;
    Ok(mbr.le16(510)? == 0xaa55 && mbr.byte(446 + 4)? == 0xee)
}

fn header(disk: &dyn Source, sector: u64, lba: u64) -> Result<Option<Header>> {
    let place = lba.saturating_mul(sector);
    if place.saturating_add(sector) > disk.size() {
        return Ok(None);
    }
    let mut header = bytes_at(disk, place, sector)?;
    if header.part(0, 8)? != SIGNATURE {
        return Ok(None);
    }
    let len = header.le32(12)?;
    let stored = header.le32(16)?;
    if !(92..=512).contains(&len) {
        return Err(Error::damaged("its header has a wrong size"));
    }
    let sum = header.get_mut(16..20);
    sum.unwrap_or_default().fill(0);
    if crc32fast::hash(header.part(0, size(u64::from(len)))?) != stored {
        return Err(Error::damaged("the checksum of its header is wrong"));
    }
    let (count, entry) = (header.le32(80)?, header.le32(84)?);
    if count > MAX_ENTRIES || !(128..=4096).contains(&entry) {
        return Err(Error::damaged(format!(
            "it has {count} entries of {entry} bytes"
        )));
    }
    let bytes = u64::from(count).saturating_mul(u64::from(entry));
    let entries = bytes_at(disk, header.le64(72)?.saturating_mul(sector), bytes)?;
    if crc32fast::hash(&entries) != header.le32(88)? {
        return Err(Error::damaged("the checksum of its entries is wrong"));
    }
    Ok(Some(Header {
        sector,
        entries,
        entry: size(u64::from(entry)),
    }))
}

fn table(disk: &Shared, header: &Header, warning: Option<String>) -> Result<Table> {
    let mut partitions = Vec::new();
    for (place, entry) in header.entries.chunks_exact(header.entry.max(1)).enumerate() {
        if entry.part(0, 16)?.iter().all(|byte| *byte == 0) {
            continue;
        }
        let (first, last) = (entry.le64(32)?, entry.le64(40)?);
        let start = first.saturating_mul(header.sector);
        let count = last.saturating_add(1).saturating_sub(first);
        let len = count.saturating_mul(header.sector);
        let part = Pieces::part(disk, start, len);
        let number = place.saturating_add(1).to_string();
        partitions.push((number, part));
    }
    Ok(Table {
        partitions,
        warning,
    })
}
