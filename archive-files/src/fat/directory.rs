//! Directories of FAT: entries with names of eight and three bytes, before them entries with the long name, last part
//! first.

use std::ops::ControlFlow;

use super::boot::{Boot, Width};
use super::chain::Runs;
use super::time::dos_time;
use super::{ENTRY, Node};
use crate::bytes::{Fields, units, utf16};
use crate::error::Result;
use crate::source::{Source, bytes_at};
use crate::tree::{Entry, Kind, NodeId, Stat, entry_name};

const DIRECTORY: u8 = 0x10;
const LABEL: u8 = 0x08;
const LONG: u8 = 0x0f;

/// The node whose entry is at this place of the volume.
pub(super) fn node(source: &dyn Source, boot: &Boot, id: NodeId) -> Result<Node> {
    let raw = bytes_at(source, id.number, ENTRY)?;
    let attributes = raw.byte(11)?;
    let is_directory = attributes & DIRECTORY != 0;
    let len = if is_directory {
        0
    } else {
        u64::from(raw.le32(28)?)
    };
    let kind = if is_directory {
        Kind::Directory
    } else {
        Kind::File
    };
    let modified = dos_time(raw.le16(24)?, raw.le16(22)?);
    let mut stat = Stat::plain(kind, len, modified);
    if attributes & 1 != 0 {
        stat.permissions &= 0o555;
    }
    stat.accessed = dos_time(raw.le16(18)?, 0).max(modified);
    stat.created = (raw.le16(16)? != 0)
        .then(|| Ok::<_, crate::error::Error>(dos_time(raw.le16(16)?, raw.le16(14)?)))
        .transpose()?;
    let high = match boot.width {
        Width::ThirtyTwo => u32::from(raw.le16(20)?),
        _ => 0,
    };
    Ok(Node {
        stat,
        first: u32::from(raw.le16(26)?) | (high << 16),
        is_contiguous: false,
        valid: len,
    })
}

pub(super) fn list(
    source: &dyn Source,
    runs: &Runs,
    each: &mut dyn FnMut(Entry) -> ControlFlow<()>,
) -> Result<()> {
    let mut long = Long::default();
    for (start, len) in &runs.pieces {
        let mut at = *start;
        let end = start.saturating_add(*len);
        while at < end {
            let bytes = bytes_at(source, at, end.saturating_sub(at).min(64 << 10))?;
            for raw in bytes.as_chunks::<32>().0 {
                let place = at;
                at = at.saturating_add(ENTRY);
                let attributes = raw[11];
                match raw[0] {
                    0 => return Ok(()),
                    0xe5 => long = Long::default(),
                    _ if attributes & 0x3f == LONG => long.add(raw),
                    _ if attributes & LABEL != 0 => long = Long::default(),
                    _ => {
                        let name = std::mem::take(&mut long)
                            .name(raw)
                            .unwrap_or_else(|| short(raw));
                        let Some(name) = entry_name(&name) else {
                            continue;
                        };
                        let node = NodeId {
                            tree: 0,
                            number: place,
                        };
                        if each(Entry { name, node }).is_break() {
                            return Ok(());
                        }
                    }
                }
            }
        }
    }
    Ok(())
}

/// A long name that is being put together.
#[derive(Default)]
struct Long {
    /// The last part first, each with its number.
    parts: Vec<(u8, [u16; 13])>,
    sum: u8,
}

impl Long {
    fn add(&mut self, raw: &[u8; 32]) {
        if raw[0] & 0x40 != 0 || self.parts.len() >= 20 {
            self.parts.clear();
        }
        self.sum = raw[13];
        let mut part = [0; 13];
        let stored = [&raw[1..11], &raw[14..26], &raw[28..32]];
        for (unit, stored) in part.iter_mut().zip(stored.into_iter().flat_map(units)) {
            *unit = stored;
        }
        self.parts.push((raw[0] & 0x1f, part));
    }

    /// The whole name, if it belongs to this entry.
    fn name(self, raw: &[u8; 32]) -> Option<Vec<u8>> {
        let sum = raw[..11]
            .iter()
            .fold(0_u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte));
        let numbers = self.parts.iter().rev().map(|(number, _)| *number);
        let is_whole = numbers.eq(1..=u8::try_from(self.parts.len()).ok()?);
        if self.parts.is_empty() || sum != self.sum || !is_whole {
            return None;
        }
        let units = self
            .parts
            .iter()
            .rev()
            .flat_map(|(_, part)| part.iter().copied());
        Some(utf16(units.take_while(|unit| *unit != 0)))
    }
}

/// The short name, whose two parts may be in small letters as Windows NT has it.
fn short(raw: &[u8; 32]) -> Vec<u8> {
    let part = |bytes: &[u8], is_small: bool| {
        let text: String = bytes
            .trim_ascii_end()
            .iter()
            .map(|byte| char::from(*byte))
            .collect();
        if is_small { text.to_lowercase() } else { text }
    };
    let mut base = raw;
    let mut changed = *raw;
    if raw[0] == 5 {
        changed[0] = 0xe5;
        base = &changed;
    }
    let name = part(&base[..8], raw[12] & 8 != 0);
    let end = part(&raw[8..11], raw[12] & 16 != 0);
    match end.is_empty() {
        true => name.into_bytes(),
        false => format!("{name}.{end}").into_bytes(),
    }
}
