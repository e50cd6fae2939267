//! Directories of exFAT: sets of entries, of which the first has times, the second the place and length, the others the
//! name.

use std::ops::ControlFlow;

use super::chain::Runs;
use super::time::dos_time;
use super::{ENTRY, Node};
use crate::bytes::{Fields, low16, units, utf16};
use crate::error::{Error, Result};
use crate::source::{Source, bytes_at};
use crate::tree::{Entry, Kind, NodeId, Stat, Time, entry_name};

const FILE: u8 = 0x85;
const STREAM: u8 = 0xc0;
const NAME: u8 = 0xc1;

/// The node whose first two entries are at these places of the volume.
pub(super) fn node(source: &dyn Source, id: NodeId) -> Result<Node> {
    let file = bytes_at(source, id.tree, ENTRY)?;
    let stream = bytes_at(source, id.number, ENTRY)?;
    if file.byte(0)? != FILE || stream.byte(0)? != STREAM {
        return Err(Error::damaged("there is no entry of a file"));
    }
    let attributes = file.le16(4)?;
    let kind = match attributes & 0x10 {
        0 => Kind::File,
        _ => Kind::Directory,
    };
    let len = stream.le64(24)?;
    let time = |at: usize, fine: u8, zone: usize| -> Result<Time> {
        Ok(time(file.le32(at)?, fine, file.byte(zone)?))
    };
    let modified = time(12, file.byte(21)?, 23)?;
    let mut stat = Stat::plain(kind, len, modified);
    if attributes & 1 != 0 {
        stat.permissions &= 0o555;
    }
    stat.created = Some(time(8, file.byte(20)?, 22)?);
    stat.accessed = time(16, 0, 24)?;
    Ok(Node {
        stat,
        first: stream.le32(20)?,
        is_contiguous: stream.byte(1)? & 2 != 0,
        valid: stream.le64(8)?.min(len),
    })
}

/// A time with a tenth of a second, and the zone in quarters of an hour from UTC if that is known.
fn time(stamp: u32, fine: u8, zone: u8) -> Time {
    let local = dos_time(low16(stamp >> 16), low16(stamp));
    let quarters = match zone {
        128.. => {
            let quarters = i64::from(zone & 0x7f);
            if quarters >= 64 {
                quarters.saturating_sub(128)
            } else {
                quarters
            }
        }
        _ => 0,
    };
    let fine = u32::from(fine.min(199));
    Time::new(
        local
            .seconds
            .saturating_sub(quarters.saturating_mul(900))
            .saturating_add(i64::from(fine / 100)),
        (fine % 100).saturating_mul(10_000_000),
    )
}

/// A set of which some entries have been read.
struct Set {
    file: u64,
    stream: Option<u64>,
    left: u8,
    name_len: usize,
    name: Vec<u16>,
}

pub(super) fn list(
    source: &dyn Source,
    runs: &Runs,
    each: &mut dyn FnMut(Entry) -> ControlFlow<()>,
) -> Result<()> {
    let mut open: Option<Set> = None;
    for (start, len) in &runs.pieces {
        let mut at = *start;
        let end = start.saturating_add(*len);
        while at < end {
            let bytes = bytes_at(source, at, end.saturating_sub(at).min(64 << 10))?;
            for raw in bytes.as_chunks::<32>().0 {
                let place = at;
                at = at.saturating_add(ENTRY);
                match (raw[0], &mut open) {
                    (0, _) => return Ok(()),
                    (FILE, _) => {
                        open = Some(Set {
                            file: place,
                            stream: None,
                            left: raw[1],
                            name_len: 0,
                            name: Vec::new(),
                        });
                        continue;
                    }
                    (STREAM, Some(set)) => {
                        set.stream = Some(place);
                        set.name_len = usize::from(raw[3]);
                    }
                    (NAME, Some(set)) => set.name.extend(units(&raw[2..32])),
                    (_, Some(_)) => {}
                    (_, None) => continue,
                }
                let Some(set) = &mut open else { continue };
                set.left = set.left.saturating_sub(1);
                if set.left > 0 {
                    continue;
                }
                let (file, stream) = (set.file, set.stream);
                let name = utf16(set.name.iter().copied().take(set.name_len));
                open = None;
                let (Some(stream), Some(name)) = (stream, entry_name(&name)) else {
                    continue;
                };
                let node = NodeId {
                    tree: file,
                    number: stream,
                };
                if each(Entry { name, node }).is_break() {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}
