//! Rock Ridge: POSIX names, modes, owners, links and times, in fields behind the name of each record.

use super::time::short_time;
use crate::bytes::Fields;
use crate::error::Result;
use crate::source::{Source, bytes_at};
use crate::tree::{Kind, Stat, Time};

/// How often the fields go on somewhere else.
const MAX_AREAS: usize = 32;

/// How long a name or a link is at most.
const MAX_LEN: usize = 64 << 10;

#[derive(Debug, Default)]
pub(super) struct RockRidge {
    pub(super) name: Vec<u8>,
    pub(super) link: Vec<u8>,
    mode: Option<(u32, u32, u32, u32)>,
    modified: Option<Time>,
    accessed: Option<Time>,
    changed: Option<Time>,
    device: Option<(u32, u32)>,
    /// Where a directory is that was too deep for its place.
    pub(super) child: Option<u64>,
    /// It is such a directory, in the place where it was put.
    pub(super) is_moved: bool,
}

impl RockRidge {
    pub(super) fn apply(&self, stat: &mut Stat) {
        if let Some((mode, links, uid, gid)) = self.mode {
            if let Ok(kind) = Kind::of_mode(mode) {
                stat.kind = kind;
            }
            stat.permissions = mode & 0o7777;
            (stat.links, stat.uid, stat.gid) = (links.max(1), uid, gid);
            if !matches!(stat.kind, Kind::File) {
                stat.size = 0;
            }
        }
        stat.modified = self.modified.unwrap_or(stat.modified);
        stat.accessed = self.accessed.unwrap_or(stat.modified);
        stat.changed = self.changed.unwrap_or(stat.modified);
        stat.device = self.device.unwrap_or(stat.device);
    }
}

/// Whether the first record of the root says that there are such fields, and how many bytes come before them.
pub(super) fn begins(source: &dyn Source, block: u64, dot: &[u8]) -> Result<Option<usize>> {
    let at = start(dot, 0)?;
    let has = |at: usize| {
        dot.part(at, 2).is_ok_and(|tag| tag == b"SP")
            && dot
                .part(at.saturating_add(4), 2)
                .is_ok_and(|check| check == [0xbe, 0xef])
    };
    if !has(at) {
        return Ok(None);
    }
    let skip = usize::from(dot.byte(at.saturating_add(6))?);
    let found = read(source, block, dot, 0)?;
    Ok(found.mode.map(|_| skip))
}

/// Where the fields begin: behind the name, which has an even length with what is before it.
fn start(record: &[u8], skip: usize) -> Result<usize> {
    let name = usize::from(record.byte(32)?);
    Ok(name
        .saturating_add(33)
        .next_multiple_of(2)
        .saturating_add(skip))
}

pub(super) fn read(
    source: &dyn Source,
    block: u64,
    record: &[u8],
    skip: usize,
) -> Result<RockRidge> {
    let mut found = RockRidge::default();
    let mut area = record
        .get(start(record, skip)?..)
        .unwrap_or_default()
        .to_vec();
    for _ in 0..MAX_AREAS {
        let Some(next) = fields(&area, &mut found)? else {
            break;
        };
        let (at, offset, len) = next;
        let place = u64::from(at)
            .saturating_mul(block)
            .saturating_add(u64::from(offset));
        area = bytes_at(source, place, u64::from(len).min(64 << 10))?;
    }
    Ok(found)
}

/// Reads the fields of an area, and where they go on.
fn fields(area: &[u8], found: &mut RockRidge) -> Result<Option<(u32, u32, u32)>> {
    let mut next = None;
    let mut at = 0_usize;
    while at.saturating_add(4) <= area.len() {
        let len = usize::from(area.byte(at.saturating_add(2))?);
        if len < 4 {
            break;
        }
        let Ok(field) = area.part(at, len) else { break };
        match field.part(0, 2)? {
            b"CE" => next = Some((field.le32(4)?, field.le32(12)?, field.le32(20)?)),
            b"ST" => break,
            b"NM" if found.name.len() < MAX_LEN && field.byte(4)? & 6 == 0 => {
                found
                    .name
                    .extend_from_slice(field.get(5..).unwrap_or_default());
            }
            b"PX" => {
                found.mode = Some((
                    field.le32(4)?,
                    field.le32(12)?,
                    field.le32(20)?,
                    field.le32(28)?,
                ));
            }
            b"PN" => found.device = Some(device(field.le32(4)?, field.le32(12)?)),
            b"SL" if found.link.len() < MAX_LEN => link(field, &mut found.link)?,
            b"TF" => times(field, found)?,
            b"CL" => found.child = Some(u64::from(field.le32(4)?)),
            b"RE" => found.is_moved = true,
            _ => {}
        }
        at = at.saturating_add(len);
    }
    Ok(next)
}

/// Both parts of a number of 64 bits; most writers put all into the second.
const fn device(high: u32, low: u32) -> (u32, u32) {
    match high {
        0 => ((low >> 8) & 0xfff, (low & 0xff) | ((low >> 12) & 0xf_ff00)),
        high => (high, low),
    }
}

/// The parts of a link; a flag says that one goes on in the next.
fn link(field: &[u8], link: &mut Vec<u8>) -> Result<()> {
    let mut at = 5_usize;
    while at.saturating_add(2) <= field.len() {
        let (flags, len) = (
            field.byte(at)?,
            usize::from(field.byte(at.saturating_add(1))?),
        );
        let text = field.part(at.saturating_add(2), len)?;
        match flags & 0xe {
            2 => link.push(b'.'),
            4 => link.extend(b".."),
            8 => link.push(b'/'),
            _ => link.extend(text),
        }
        at = at.saturating_add(len).saturating_add(2);
        let is_last = at.saturating_add(2) > field.len() && field.byte(4)? & 1 == 0;
        if flags & 9 == 0 && !is_last {
            link.push(b'/');
        }
    }
    Ok(())
}

fn times(field: &[u8], found: &mut RockRidge) -> Result<()> {
    let flags = field.byte(4)?;
    let is_long = flags & 0x80 != 0;
    let len = if is_long { 17_usize } else { 7 };
    let mut at = 5_usize;
    for bit in 0..7_u8 {
        if flags & (1 << bit) == 0 {
            continue;
        }
        let raw = field.part(at, len)?;
        let time = if is_long {
            long_time(raw)?
        } else {
            short_time(raw)?
        };
        match bit {
            1 => found.modified = Some(time),
            2 => found.accessed = Some(time),
            3 => found.changed = Some(time),
            _ => {}
        }
        at = at.saturating_add(len);
    }
    Ok(())
}

/// Digits, and the zone in quarters of an hour.
fn long_time(raw: &[u8]) -> Result<Time> {
    let number = |at: usize, len: usize| -> Result<i64> {
        let digits = raw.part(at, len)?.iter();
        Ok(digits.fold(0_i64, |number, digit| {
            number
                .saturating_mul(10)
                .saturating_add(i64::from(digit.saturating_sub(b'0')))
        }))
    };
    let small = |at: usize| -> Result<u8> { Ok(u8::try_from(number(at, 2)?).unwrap_or_default()) };
    let time = Time::civil(
        (number(0, 4)?, small(4)?, small(6)?),
        (small(8)?, small(10)?, small(12)?),
    );
    let quarters = i64::from(i8::from_le_bytes(raw.array(16)?));
    let hundredths = u32::from(small(14)?);
    Ok(Time::new(
        time.seconds.saturating_sub(quarters.saturating_mul(900)),
        hundredths.saturating_mul(10_000_000),
    ))
}
