//! Attributes: small ones are in the record, others in clusters.

use std::ops::Range;

use super::compressed;
use super::geometry::Geometry;
use super::runs::{self, Run};
use crate::bytes::{Fields, size, units, utf16};
use crate::error::{Error, Result};
use crate::source::Source;

const INDEX_ROOT: u32 = 0x90;

/// An attribute of a file.
#[derive(Debug, Clone)]
pub(super) struct Attribute {
    pub(super) kind: u32,
    pub(super) name: Vec<u8>,
    flags: u16,
    pub(super) value: Value,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Resident(Vec<u8>),
    Runs {
        /// The first cluster of the attribute that these are.
        first: u64,
        runs: Vec<Run>,
        /// Of the attribute, in bytes, and how many of them are not zeroes.
        len: u64,
        valid: u64,
        /// So many clusters are compressed together; 0 if none are.
        unit: u64,
    },
}

/// Takes an attribute out of a record.
pub(super) fn parse(raw: &[u8]) -> Result<Attribute> {
    let name_len = usize::from(raw.byte(9)?).saturating_mul(2);
    let name = raw.part(usize::from(raw.le16(10)?), name_len)?;
    let value = match raw.byte(8)? {
        0 => {
            let (len, at) = (size(u64::from(raw.le32(16)?)), usize::from(raw.le16(20)?));
            Value::Resident(raw.part(at, len)?.to_vec())
        }
        _ => {
            let at = usize::from(raw.le16(32)?);
            let runs = runs::parse(raw.get(at..).unwrap_or_default())?;
            let first = raw.le64(16)?;
            let unit = match raw.le16(34)? {
                0 => 0,
                power => 1_u64.checked_shl(u32::from(power)).unwrap_or_default(),
            };
            // Only the first part has the lengths.
            let (len, valid) = match first {
                0 => (raw.le64(48)?, raw.le64(56)?),
                _ => (0, 0),
            };
            Value::Runs {
                first,
                runs,
                len,
                valid,
                unit,
            }
        }
    };
    Ok(Attribute {
        kind: raw.le32(0)?,
        name: utf16(units(name)),
        flags: raw.le16(12)?,
        value,
    })
}

/// Puts the parts of each attribute together.
pub(super) fn joined(mut all: Vec<Attribute>) -> Vec<Attribute> {
    let first = |found: &Attribute| match &found.value {
        Value::Resident(_) => 0,
        Value::Runs { first, .. } => *first,
    };
    all.sort_by(|a, b| (a.kind, &a.name, first(a)).cmp(&(b.kind, &b.name, first(b))));
    let mut whole: Vec<Attribute> = Vec::new();
    for part in all {
        if let Some(last) = whole.last_mut()
            && (last.kind, &last.name) == (part.kind, &part.name)
            && let (
                Value::Runs { runs, .. },
                Value::Runs {
                    first: 1..,
                    runs: more,
                    ..
                },
            ) = (&mut last.value, &part.value)
        {
            runs.extend(more.iter().copied());
            continue;
        }
        whole.push(part);
    }
    whole
}

impl Attribute {
    pub(super) fn len(&self) -> u64 {
        match &self.value {
            Value::Resident(bytes) => bytes.len() as u64,
            Value::Runs { len, .. } => *len,
        }
    }

    pub(super) fn is_index(&self) -> bool {
        self.kind == INDEX_ROOT && self.name == b"$I30"
    }

    pub(super) const fn is_encrypted(&self) -> bool {
        self.flags & 0x4000 != 0
    }

    const fn is_compressed(&self) -> bool {
        self.flags & 0xff != 0
    }

    /// All of it, if it is not longer than that.
    pub(super) fn whole(
        &self,
        source: &dyn Source,
        geometry: &Geometry,
        most: u64,
    ) -> Result<Vec<u8>> {
        if self.len() > most {
            return Err(Error::damaged(
                "an attribute is longer than any that is right",
            ));
        }
        let mut bytes = vec![0; size(self.len())];
        self.read(source, geometry, 0, &mut bytes)?;
        Ok(bytes)
    }

    /// Fills a buffer from an offset on, which is not behind the end.
    pub(super) fn read(
        &self,
        source: &dyn Source,
        geometry: &Geometry,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<()> {
        match &self.value {
            Value::Resident(bytes) => {
                let from = bytes.get(size(offset)..).unwrap_or_default();
                let from = from.get(..buffer.len());
                let from = from.ok_or_else(|| Error::damaged("an attribute is cut off"))?;
                buffer.copy_from_slice(from);
                Ok(())
            }
            Value::Runs {
                runs, valid, unit, ..
            } => {
                let stored = size(valid.saturating_sub(offset)).min(buffer.len());
                let (stored, behind) = buffer.split_at_mut(stored);
                behind.fill(0);
                match (self.is_compressed(), *unit) {
                    (true, 1..) => compressed::read(source, geometry, runs, *unit, offset, stored),
                    _ => runs::read(source, geometry, runs, offset, stored),
                }
            }
        }
    }

    /// The stored bytes at or behind an offset.
    pub(super) fn data_at(&self, geometry: &Geometry, offset: u64) -> Option<Range<u64>> {
        let Value::Runs {
            runs, valid, unit, ..
        } = &self.value
        else {
            let end = self.len();
            return (offset < end).then_some(offset..end);
        };
        let mut start = 0_u64;
        // A unit whose clusters are all missing is a hole; where some are, it is compressed.
        let unit = unit.max(&1).saturating_mul(geometry.cluster);
        for run in runs {
            let end = start.saturating_add(run.count.saturating_mul(geometry.cluster));
            if run.place.is_some() && end > offset {
                let from = start
                    .saturating_sub(crate::bytes::rem(start, unit))
                    .max(offset);
                let to = end
                    .checked_next_multiple_of(unit)
                    .unwrap_or(end)
                    .min(*valid);
                if from < to {
                    return Some(from..to);
                }
            }
            start = end;
        }
        // Where the last run was behind the offset only by its unit.
        None
    }
}
