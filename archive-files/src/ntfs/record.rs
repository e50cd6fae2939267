//! Records: each file has one, or several, with its attributes.

use std::collections::HashSet;

use super::attribute::{self, Attribute};
use super::geometry::Geometry;
use crate::bytes::{Fields, size};
use crate::error::{Error, Result};
use crate::source::{Source, bytes_at};

const LIST: u32 = 0x20;

/// How long a list of attributes is at most.
const MAX_LIST: u64 = 1 << 20;

/// How many records a file has at most.
const MAX_RECORDS: usize = 4096;

#[derive(Debug)]
pub(super) struct Record {
    raw: Vec<u8>,
}

impl Record {
    /// The record at a place of the volume.
    pub(super) fn read_at(source: &dyn Source, geometry: &Geometry, place: u64) -> Result<Self> {
        Self::parse(bytes_at(source, place, geometry.record)?)
    }

    fn parse(mut raw: Vec<u8>) -> Result<Self> {
        restore(&mut raw, b"FILE")?;
        if raw.le16(22)? & 1 == 0 {
            return Err(Error::damaged("a file has been deleted"));
        }
        Ok(Self { raw })
    }

    fn attributes(&self) -> Result<Vec<Attribute>> {
        let mut found = Vec::new();
        let mut at = usize::from(self.raw.le16(20)?);
        loop {
            let kind = self.raw.le32(at)?;
            if kind == u32::MAX {
                return Ok(found);
            }
            let len = size(u64::from(self.raw.le32(at.saturating_add(4))?));
            if len < 24 {
                return Err(Error::damaged("an attribute has no length"));
            }
            found.push(attribute::parse(self.raw.part(at, len)?)?);
            at = at.saturating_add(len);
        }
    }

    pub(super) fn attribute(&self, kind: u32, name: &[u8]) -> Result<Attribute> {
        let found = self
            .attributes()?
            .into_iter()
            .find(|found| found.kind == kind && found.name == name);
        found.ok_or_else(|| Error::damaged("the table of files has no content"))
    }
}

/// The record of this number.
fn numbered(
    source: &dyn Source,
    geometry: &Geometry,
    table: &Attribute,
    number: u64,
) -> Result<Record> {
    let offset = number.saturating_mul(geometry.record);
    if offset.saturating_add(geometry.record) > table.len() {
        return Err(Error::damaged(format!("there is no file {number}")));
    }
    let mut raw = vec![0; size(geometry.record)];
    table.read(source, geometry, offset, &mut raw)?;
    Record::parse(raw)
}

/// All attributes of a file: also those in other records, of which the parts of one are put together.
pub(super) fn attributes(
    source: &dyn Source,
    geometry: &Geometry,
    table: &Attribute,
    number: u64,
) -> Result<Vec<Attribute>> {
    let base = numbered(source, geometry, table, number)?.attributes()?;
    let Some(list) = base.iter().find(|found| found.kind == LIST) else {
        return Ok(base);
    };
    let list = list.whole(source, geometry, MAX_LIST)?;
    let mut records = Vec::new();
    let mut seen = HashSet::from([number]);
    let mut at = 0_usize;
    while at.saturating_add(26) <= list.len() {
        let len = usize::from(list.le16(at.saturating_add(4))?);
        let record = list.le64(at.saturating_add(16))? & 0xffff_ffff_ffff;
        if seen.insert(record) {
            records.push(record);
        }
        if records.len() > MAX_RECORDS {
            return Err(Error::limit("a file has too many records"));
        }
        at = at.saturating_add(len.max(26));
    }
    let mut all = base;
    for record in records {
        all.extend(numbered(source, geometry, table, record)?.attributes()?);
    }
    Ok(attribute::joined(all))
}

/// Puts back what is at the end of each sector of a record: a number that shows whether all of it was written.
pub(super) fn restore(raw: &mut [u8], magic: &[u8]) -> Result<()> {
    if raw.part(0, 4)? != magic {
        return Err(Error::damaged("a record has no magic number"));
    }
    let (at, count) = (usize::from(raw.le16(4)?), usize::from(raw.le16(6)?));
    let mark = raw.le16(at)?;
    for place in 1..count {
        let end = place.saturating_mul(512).saturating_sub(2);
        let saved: [u8; 2] = raw.array(at.saturating_add(place.saturating_mul(2)))?;
        if raw.le16(end)? != mark {
            return Err(Error::damaged("a record was not written to its end"));
        }
        let into = raw.get_mut(end..end.saturating_add(2));
        into.unwrap_or_default().copy_from_slice(&saved);
    }
    Ok(())
}
