//! Compressed files: units of usually 16 clusters, each stored as it is, as nothing, or in fewer clusters by LZNT1.
//! Facts: Microsoft's [MS-XCA], section 2.5.

use super::geometry::Geometry;
use super::runs::{self, Run};
use crate::bytes::{Fields, div, rem, size};
use crate::error::{Error, Result};
use crate::source::Source;

/// The largest unit: NTFS makes them of 64 KiB.
const MAX_UNIT: u64 = 1 << 20;

/// A chunk is decompressed by itself.
const CHUNK: usize = 4096;

pub(super) fn read(
    source: &dyn Source,
    geometry: &Geometry,
    all: &[Run],
    unit: u64,
    offset: u64,
    buffer: &mut [u8],
) -> Result<()> {
    let len = unit.saturating_mul(geometry.cluster);
    if len == 0 || len > MAX_UNIT {
        return Err(Error::damaged("a unit of compression has a wrong size"));
    }
    let (mut at, mut rest) = (offset, buffer);
    while !rest.is_empty() {
        let (number, within) = (div(at, len), rem(at, len));
        let plain = whole(source, geometry, all, number.saturating_mul(unit), unit)?;
        let from = plain.get(size(within)..).unwrap_or_default();
        let count = from.len().min(rest.len());
        if count == 0 {
            return Err(Error::damaged("a compressed unit is empty"));
        }
        let (now, later) = rest.split_at_mut(count);
        now.copy_from_slice(from.get(..count).unwrap_or_default());
        at = at.saturating_add(count as u64);
        rest = later;
    }
    Ok(())
}

/// The unit that begins with a cluster of the file.
fn whole(
    source: &dyn Source,
    geometry: &Geometry,
    all: &[Run],
    first: u64,
    unit: u64,
) -> Result<Vec<u8>> {
    // How many of its clusters are stored.
    let (mut start, mut stored) = (0_u64, 0_u64);
    let end = first.saturating_add(unit);
    for run in all {
        let behind = start.saturating_add(run.count);
        if run.place.is_some() {
            let overlap = behind.min(end).saturating_sub(start.max(first));
            stored = stored.saturating_add(overlap);
        }
        start = behind;
    }
    let len = size(unit.saturating_mul(geometry.cluster));
    let mut plain = vec![0; len];
    if stored == 0 {
        return Ok(plain);
    }
    let bytes = size(stored.saturating_mul(geometry.cluster)).min(len);
    let mut packed = vec![0; bytes];
    let offset = first.saturating_mul(geometry.cluster);
    // The last unit may be shorter than the others.
    let is_last = start < end;
    let room = packed.get_mut(..).unwrap_or_default();
    runs::read(source, geometry, all, offset, room)?;
    if stored >= unit || (is_last && stored == start.saturating_sub(first)) {
        for (byte, from) in plain.iter_mut().zip(packed) {
            *byte = from;
        }
        return Ok(plain);
    }
    let mut unpacked = decompress(&packed, len)?;
    unpacked.resize(len, 0);
    Ok(unpacked)
}

/// LZNT1: chunks of up to 4 KiB, each with a header of two bytes.
fn decompress(packed: &[u8], most: usize) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(most);
    let mut at = 0_usize;
    while out.len() < most && at.saturating_add(2) <= packed.len() {
        let header = packed.le16(at)?;
        if header == 0 {
            break;
        }
        let len = usize::from(header & 0xfff).saturating_add(1);
        at = at.saturating_add(2);
        let chunk = packed.part(at, len)?;
        at = at.saturating_add(len);
        let start = out.len();
        if header & 0x8000 == 0 {
            out.extend_from_slice(chunk);
        } else {
            unpack(chunk, start, &mut out)?;
        }
        // A chunk that is shorter than it could be is filled with zeroes.
        let full = start.saturating_add(CHUNK);
        if at.saturating_add(2) <= packed.len() && packed.le16(at)? != 0 && out.len() < full {
            out.resize(full, 0);
        }
    }
    Ok(out)
}

fn unpack(chunk: &[u8], start: usize, out: &mut Vec<u8>) -> Result<()> {
    let mut bytes = chunk.iter().copied();
    while let Some(flags) = bytes.next() {
        for bit in 0..8_u8 {
            let done = out.len().saturating_sub(start);
            let Some(first) = bytes.next() else {
                return Ok(());
            };
            if flags & (1 << bit) == 0 {
                if done >= CHUNK {
                    return Err(Error::damaged("a compressed chunk is too long"));
                }
                out.push(first);
                continue;
            }
            let second = bytes
                .next()
                .ok_or_else(|| Error::damaged("a compressed chunk is cut off"))?;
            let pair = u16::from_le_bytes([first, second]);
            // The more there is, the more bits a distance has.
            let mut bits = 4_u32;
            while bits < 12 && (1_usize << bits) < done {
                bits = bits.saturating_add(1);
            }
            let len_bits = 16_u32.saturating_sub(bits);
            let len = usize::from(pair & (1_u16 << len_bits).wrapping_sub(1)).saturating_add(3);
            let distance = usize::from(pair >> len_bits).saturating_add(1);
            if distance > done || done.saturating_add(len) > CHUNK {
                return Err(Error::damaged(
                    "a compressed chunk refers to what is not there",
                ));
            }
            for _ in 0..len {
                let from = out.len().saturating_sub(distance);
                out.push(out.get(from).copied().unwrap_or_default());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_decompressed() {
        // The example of [MS-XCA], section 3.3.
        let packed = [
            0x38, 0xb0, 0x88, 0x46, 0x23, 0x20, 0x00, 0x20, 0x47, 0x20, 0x41, 0x00, 0x10, 0xa2,
            0x47, 0x01, 0xa0, 0x45, 0x20, 0x44, 0x00, 0x08, 0x45, 0x01, 0x50, 0x79, 0x00, 0xc0,
            0x45, 0x20, 0x05, 0x24, 0x13, 0x88, 0x05, 0xb4, 0x02, 0x4a, 0x44, 0xef, 0x03, 0x58,
            0x02, 0x8c, 0x09, 0x16, 0x01, 0x48, 0x45, 0x00, 0xbe, 0x00, 0x9e, 0x00, 0x04, 0x01,
            0x18, 0x90, 0x00,
        ];
        let text = "F# F# G A A G F# E D D E F# F# E E F# F# G A A G F# E D D E F# E D D E E F# D E \
                    F# G F# D E F# G F# E D E A F# F# G A A G F# E D D E F# E D D";
        let out = decompress(&packed, 65536).unwrap();
        assert_eq!(String::from_utf8_lossy(&out).trim_end_matches('\0'), text);
    }

    #[test]
    fn what_is_no_chunk_is_damage() {
        assert!(decompress(&[0x01, 0xb0, 0x01, 0xff, 0xff], 4096).is_err());
        assert!(decompress(&[0xff, 0xbf, 0x00], 4096).is_err());
    }
}
