//! Chains of clusters: the entry of each in the table is the number of the next.

use super::boot::{Boot, Width};
use crate::bytes::size;
use crate::error::{Error, Result};
use crate::source::Source;

/// Where a file is: pieces with their place and length in bytes, one behind another.
#[derive(Debug)]
pub(super) struct Runs {
    pub(super) pieces: Vec<(u64, u64)>,
}

impl Runs {
    /// Fills a buffer from an offset of the file on.
    pub(super) fn read(&self, source: &dyn Source, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let (mut at, mut rest, mut start) = (offset, buffer, 0_u64);
        for (place, len) in &self.pieces {
            let within = at.saturating_sub(start);
            start = start.saturating_add(*len);
            if at >= start || rest.is_empty() {
                continue;
            }
            let count = size(start.saturating_sub(at)).min(rest.len());
            let (now, later) = rest.split_at_mut(count);
            source.read_at(place.saturating_add(within), now)?;
            at = at.saturating_add(count as u64);
            rest = later;
        }
        match rest.is_empty() {
            true => Ok(()),
            false => Err(Error::damaged(
                "a chain of clusters is shorter than its file",
            )),
        }
    }
}

/// A file whose clusters follow one another.
pub(super) fn contiguous(boot: &Boot, first: u32, len: u64) -> Result<Runs> {
    let start = place(boot, u64::from(first))?;
    let end = boot
        .data
        .saturating_add(boot.clusters.saturating_mul(boot.cluster));
    if start.saturating_add(len) > end {
        return Err(Error::damaged("a file is longer than the volume"));
    }
    Ok(Runs {
        pieces: vec![(start, len.next_multiple_of(boot.cluster.max(1)))],
    })
}

/// The chain that begins with a cluster, as far as so many bytes need it.
pub(super) fn follow(source: &dyn Source, boot: &Boot, first: u32, most: u64) -> Result<Runs> {
    let mut pieces: Vec<(u64, u64)> = Vec::new();
    let (mut cluster, mut len) = (u64::from(first), 0_u64);
    // No chain has more clusters than there are: one that goes round in a circle ends there.
    for _ in 0..boot.clusters {
        if len >= most {
            break;
        }
        let Ok(place) = place(boot, cluster) else {
            break;
        };
        match pieces.last_mut() {
            Some((start, len)) if start.saturating_add(*len) == place => {
                *len = len.saturating_add(boot.cluster);
            }
            _ => pieces.push((place, boot.cluster)),
        }
        len = len.saturating_add(boot.cluster);
        cluster = next(source, boot, cluster)?;
    }
    Ok(Runs { pieces })
}

/// Where a cluster is.
fn place(boot: &Boot, cluster: u64) -> Result<u64> {
    match cluster.checked_sub(2) {
        Some(number) if number < boot.clusters => Ok(boot
            .data
            .saturating_add(number.saturating_mul(boot.cluster))),
        _ => Err(Error::damaged(format!("there is no cluster {cluster}"))),
    }
}

/// What the table says of a cluster.
pub(super) fn next(source: &dyn Source, boot: &Boot, cluster: u64) -> Result<u64> {
    let read =
        |offset: u64, buffer: &mut [u8]| source.read_at(boot.table.saturating_add(offset), buffer);
    match boot.width {
        Width::Twelve => {
            let mut pair = [0; 2];
            read(cluster.saturating_add(cluster / 2), &mut pair)?;
            let pair = u64::from(u16::from_le_bytes(pair));
            Ok(if cluster & 1 == 1 {
                pair >> 4
            } else {
                pair & 0xfff
            })
        }
        Width::Sixteen => {
            let mut pair = [0; 2];
            read(cluster.saturating_mul(2), &mut pair)?;
            Ok(u64::from(u16::from_le_bytes(pair)))
        }
        Width::ThirtyTwo | Width::Ex => {
            let mut four = [0; 4];
            read(cluster.saturating_mul(4), &mut four)?;
            let number = u64::from(u32::from_le_bytes(four));
            let mask = if boot.width == Width::Ex {
                u64::MAX
            } else {
                0x0fff_ffff
            };
            Ok(number & mask)
        }
    }
}
