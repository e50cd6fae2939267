//! Runs of clusters: lengths, and places relative to the one before.

use super::geometry::Geometry;
use crate::bytes::{Fields, size};
use crate::error::{Error, Result};
use crate::source::Source;

/// So many clusters from a place on, or none at all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) place: Option<u64>,
    pub(super) count: u64,
}

pub(super) fn parse(raw: &[u8]) -> Result<Vec<Run>> {
    let mut runs = Vec::new();
    let (mut at, mut place) = (0_usize, 0_i64);
    loop {
        let sizes = match raw.get(at) {
            None | Some(0) => return Ok(runs),
            Some(sizes) => *sizes,
        };
        let (of_count, of_place) = (usize::from(sizes & 0xf), usize::from(sizes >> 4));
        if of_count > 8 || of_place > 8 {
            return Err(Error::damaged("a run of clusters has a wrong size"));
        }
        at = at.saturating_add(1);
        let count = number(raw.part(at, of_count)?, false);
        at = at.saturating_add(of_count);
        let relative = number(raw.part(at, of_place)?, true);
        at = at.saturating_add(of_place);
        let count =
            u64::try_from(count).map_err(|_| Error::damaged("a run of clusters is too long"))?;
        place = place.saturating_add(relative);
        runs.push(Run {
            place: match of_place {
                0 => None,
                _ => Some(
                    u64::try_from(place)
                        .map_err(|_| Error::damaged("a run of clusters is nowhere"))?,
                ),
            },
            count,
        });
    }
}

fn number(bytes: &[u8], is_signed: bool) -> i64 {
    let is_negative = is_signed && bytes.last().is_some_and(|last| last & 0x80 != 0);
    let mut whole = if is_negative { [0xff; 8] } else { [0; 8] };
    for (byte, stored) in whole.iter_mut().zip(bytes) {
        *byte = *stored;
    }
    i64::from_le_bytes(whole)
}

/// Fills a buffer from an offset on; what is missing is zeroes.
pub(super) fn read(
    source: &dyn Source,
    geometry: &Geometry,
    runs: &[Run],
    offset: u64,
    buffer: &mut [u8],
) -> Result<()> {
    let (mut at, mut rest, mut start) = (offset, buffer, 0_u64);
    for run in runs {
        if rest.is_empty() {
            break;
        }
        let within = at.saturating_sub(start);
        start = start.saturating_add(run.count.saturating_mul(geometry.cluster));
        if at >= start {
            continue;
        }
        let len = size(start.saturating_sub(at)).min(rest.len());
        let (now, later) = rest.split_at_mut(len);
        match run.place {
            None => now.fill(0),
            Some(place) => {
                let place = place
                    .saturating_mul(geometry.cluster)
                    .saturating_add(within);
                source.read_at(place, now)?;
            }
        }
        at = at.saturating_add(len as u64);
        rest = later;
    }
    match rest.is_empty() {
        true => Ok(()),
        false => Err(Error::damaged(
            "an attribute has fewer clusters than its length",
        )),
    }
}
