//! Arrays of Linux's MD. Facts: the kernel's `include/uapi/linux/raid/md_p.h`; numbers are little-endian.

use std::collections::BTreeMap;
use std::sync::Arc;

use fleece_plain_text::words_of;

use super::lvm::Made;
use crate::bytes::{Fields, size, text, uuid};
use crate::error::Result;
use crate::source::{Of, Piece, Pieces, Shared, Source, bytes_at};

const MAGIC: u32 = 0xa92b_4efc;

const LINEAR: i32 = -1;

/// A member of an array.
pub(super) struct Member {
    /// The disk that it is on.
    disk: String,
    source: Shared,
    array: [u8; 16],
    name: String,
    level: i32,
    /// How many members the array has, and which of them this is.
    members: u32,
    role: u32,
    events: u64,
    /// Where its data are, in bytes.
    start: u64,
    len: u64,
    /// Of a stripe, in bytes.
    chunk: u64,
}

impl Member {
    /// `None` if it is no member of an array.
    pub(super) fn read(name: &str, source: &Shared) -> Option<Self> {
        let sectors = source.size() / 512;
        let at_end = sectors.saturating_sub(16) & !7;
        [8, 0, at_end]
            .into_iter()
            .find_map(|sector| first(name, source, sector).ok().flatten())
            .or_else(|| old(name, source).ok().flatten())
    }

    pub(super) fn what(&self) -> String {
        let level = match self.level {
            LINEAR => "linear".to_owned(),
            level => format!("raid{level}"),
        };
        format!(
            "member {} of {} of the {level} array {}",
            self.role.saturating_add(1),
            self.members,
            self.name
        )
    }

    fn piece(&self) -> Piece {
        Piece {
            len: self.len,
            of: Of::Source(Arc::clone(&self.source), self.start),
        }
    }
}

/// Version 1: 4 KiB from the start, at the start, or near the end.
fn first(name: &str, source: &Shared, sector: u64) -> Result<Option<Member>> {
    let place = sector.saturating_mul(512);
    if place.saturating_add(4096) > source.size() {
        return Ok(None);
    }
    let raw = bytes_at(source, place, 4096)?;
    if raw.le32(0)? != MAGIC || raw.le32(4)? != 1 || raw.le64(144)? != sector {
        return Ok(None);
    }
    let array = raw.array(16)?;
    let full = text(raw.part(32, 32)?);
    // The name of the host comes first.
    let own = full.rsplit(|byte| *byte == b':').next().unwrap_or_default();
    let number = raw.le32(160)?;
    let role_at = size(u64::from(number).saturating_mul(2).saturating_add(256));
    // A spare has a role that is no number of a member.
    let role = u32::from(raw.le16(role_at).unwrap_or(u16::MAX));
    let sectors = match i32::from_le_bytes(raw.array(72)?) {
        LINEAR | 0 => raw.le64(136)?,
        _ => raw.le64(80)?,
    };
    Ok(Some(Member {
        disk: disk(name),
        source: Shared::clone(source),
        array,
        name: array_name(own, array),
        level: i32::from_le_bytes(raw.array(72)?),
        members: raw.le32(92)?,
        role,
        events: raw.le64(200)?,
        start: raw.le64(128)?.saturating_mul(512),
        len: sectors.saturating_mul(512),
        chunk: u64::from(raw.le32(88)?).saturating_mul(512),
    }))
}

/// Version 0.90: in the last 64 KiB that begin at a multiple of that, in words.
fn old(name: &str, source: &Shared) -> Result<Option<Member>> {
    const ROOM: u64 = 64 << 10;
    let place = (source.size() / ROOM)
        .saturating_sub(1)
        .saturating_mul(ROOM);
    if source.size() < ROOM.saturating_mul(2) {
        return Ok(None);
    }
    let raw = bytes_at(source, place, 4096)?;
    if raw.le32(0)? != MAGIC || raw.le32(4)? != 0 || raw.le32(8)? != 90 {
        return Ok(None);
    }
    let mut array = [0; 16];
    for (place, word) in [5_usize, 13, 14, 15].into_iter().enumerate() {
        let bytes: [u8; 4] = raw.array(word.saturating_mul(4))?;
        let at = place.saturating_mul(4);
        let into = array.get_mut(at..at.saturating_add(4));
        into.unwrap_or_default().copy_from_slice(&bytes);
    }
    Ok(Some(Member {
        disk: disk(name),
        source: Shared::clone(source),
        array,
        name: array_name(b"", array),
        level: i32::from_le_bytes(raw.array(28)?),
        members: raw.le32(40)?,
        role: raw.le32(3980)?,
        events: u64::from(raw.le32(156)?) << 32 | u64::from(raw.le32(152)?),
        start: 0,
        len: match i32::from_le_bytes(raw.array(28)?) {
            LINEAR | 0 => place,
            _ => u64::from(raw.le32(32)?).saturating_mul(1024),
        },
        chunk: u64::from(raw.le32(64 * 4 + 4)?),
    }))
}

fn disk(name: &str) -> String {
    name.split(':').next().unwrap_or_default().to_owned()
}

fn array_name(own: &[u8], array: [u8; 16]) -> String {
    match own {
        [] => uuid(array).chars().take(8).collect(),
        own => words_of(own).replace([':', '/', ' '], "_"),
    }
}

/// The arrays that can be made of members.
pub(super) fn arrays(members: Vec<Member>, warnings: &mut Vec<String>) -> Vec<Made> {
    let mut arrays: BTreeMap<[u8; 16], Vec<Member>> = BTreeMap::new();
    for member in members {
        arrays.entry(member.array).or_default().push(member);
    }
    arrays
        .into_values()
        .filter_map(|members| array(members, warnings))
        .collect()
}

fn array(mut members: Vec<Member>, warnings: &mut Vec<String>) -> Option<Made> {
    // The newest first; a member that was thrown out earlier has older contents.
    members.sort_by_key(|member| (std::cmp::Reverse(member.events), member.role));
    let newest = members.first()?;
    let name = format!("{}:md/{}", newest.disk, newest.name);
    let events = newest.events;
    let (level, count, len) = (newest.level, newest.members, newest.len);
    let is_member = |member: &Member| member.role < member.members;
    if level == 1 {
        let Some(leg) = members.iter().find(|member| is_member(member)) else {
            return Some((
                name,
                Err(("a raid1 array of which only spares are here".into(), 0)),
            ));
        };
        if members
            .iter()
            .any(|member| is_member(member) && member.events != events)
        {
            warnings.push(format!(
                "{name}: its members differ; the one that was written last is used"
            ));
        }
        let pieces = Pieces::new(vec![leg.piece()]);
        return Some((name, Ok(Arc::new(pieces))));
    }
    members.retain(is_member);
    members.sort_by_key(|member| member.role);
    members.dedup_by_key(|member| member.role);
    let is_complete = u32::try_from(members.len()) == Ok(count);
    if level != LINEAR && level != 0 {
        let what = format!("a raid{level} array of {count} members, which is not read");
        return Some((name, Err((what, len))));
    }
    if !is_complete {
        let what = format!(
            "an array of {count} members of which {} are here: not all its bytes are",
            members.len()
        );
        return Some((name, Err((what, 0))));
    }
    if level == LINEAR {
        let pieces = members.iter().map(Member::piece).collect();
        return Some((name, Ok(Arc::new(Pieces::new(pieces)))));
    }
    let chunk = members
        .first()
        .map(|member| member.chunk)
        .unwrap_or_default();
    let whole = |len: u64| {
        len.checked_div(chunk)
            .unwrap_or_default()
            .saturating_mul(chunk)
    };
    let len = members
        .iter()
        .map(|member| whole(member.len))
        .min()
        .unwrap_or_default();
    if len == 0 || members.iter().any(|member| whole(member.len) != len) {
        let what = "a raid0 array of members of different sizes, which is not read".to_owned();
        return Some((name, Err((what, 0))));
    }
    let stripes = members
        .iter()
        .map(|m| (Arc::clone(&m.source), m.start))
        .collect();
    let piece = Piece {
        len: len.saturating_mul(u64::from(count)),
        of: Of::Stripes(stripes, chunk),
    };
    Some((name, Ok(Arc::new(Pieces::new(vec![piece])))))
}
