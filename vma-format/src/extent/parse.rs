//! The 512 bytes of an extent header, both ways.

use std::ops::Range;

use nom::bytes::complete::tag;
use nom::multi::count;
use nom::number::complete::{be_u16, be_u64};
use nom::{IResult, Parser};

use super::{ClusterEntry, ExtentHeader};
use crate::error::{Error, ErrorKind, Result};
use crate::header::{array16, checksum_without};
use crate::layout::{BLOCK_SIZE, DeviceId, EXTENT_HEADER_SIZE, EXTENT_SLOTS};

/// "VMAE".
pub(crate) const MAGIC: &[u8; 4] = b"VMAE";

/// Where the MD5 stands; it covers the 512 header bytes with itself zeroed, and no payload.
const MD5: Range<usize> = 24..40;

/// Parses the 512 bytes of an extent header.
///
/// The magic is looked at before the checksum (the reference does it the other way round), so that
/// what is no extent at all is called so.
pub(crate) fn parse(bytes: &[u8; EXTENT_HEADER_SIZE]) -> Result<ExtentHeader> {
    let (_, raw) = fields(bytes)
        .map_err(|_| Error::new(ErrorKind::ExtentMagic, "wrong vma extent header magic"))?;
    if raw.md5 != checksum_without(bytes, MD5) {
        return Err(Error::new(
            ErrorKind::ExtentChecksum,
            "wrong vma extent header checksum",
        ));
    }
    let entries: Vec<ClusterEntry> = raw.slots.iter().filter_map(|&slot| entry(slot)).collect();
    let header = ExtentHeader {
        uuid: raw.uuid,
        entries,
    };
    let blocks = header.size().saturating_sub(EXTENT_HEADER_SIZE) / BLOCK_SIZE;
    if blocks != usize::from(raw.blocks) {
        let detail = format!(
            "vma extent claims {} blocks, its clusters have {blocks}",
            raw.blocks
        );
        return Err(Error::new(ErrorKind::BlockCount, detail));
    }
    Ok(header)
}

/// Writes the header into the first 512 bytes of `out`.
pub(crate) fn encode(header: &ExtentHeader, out: &mut [u8]) {
    let blocks = header.size().saturating_sub(EXTENT_HEADER_SIZE) / BLOCK_SIZE;
    let mut bytes = Vec::with_capacity(EXTENT_HEADER_SIZE);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&[0; 2]);
    bytes.extend_from_slice(&u16::try_from(blocks).unwrap_or(u16::MAX).to_be_bytes());
    bytes.extend_from_slice(&header.uuid);
    bytes.extend_from_slice(&[0; 16]);
    for entry in &header.entries {
        bytes.extend_from_slice(&slot(entry).to_be_bytes());
    }
    bytes.resize(EXTENT_HEADER_SIZE, 0);
    let md5 = checksum_without(&bytes, MD5);
    if let Some(field) = bytes.get_mut(MD5) {
        field.copy_from_slice(&md5);
    }
    if let Some(out) = out.get_mut(..EXTENT_HEADER_SIZE) {
        out.copy_from_slice(&bytes);
    }
}

struct Raw {
    blocks: u16,
    uuid: [u8; 16],
    md5: [u8; 16],
    slots: Vec<u64>,
}

fn fields(input: &[u8]) -> IResult<&[u8], Raw> {
    let (input, _) = tag(&MAGIC[..])(input)?;
    // The reserved bytes are checked by the reference, too.
    let (input, _) = tag(&[0_u8; 2][..])(input)?;
    let (input, blocks) = be_u16(input)?;
    let (input, uuid) = array16(input)?;
    let (input, md5) = array16(input)?;
    let (input, slots) = count(be_u64, EXTENT_SLOTS).parse(input)?;
    Ok((
        input,
        Raw {
            blocks,
            uuid,
            md5,
            slots,
        },
    ))
}

/// Bits 63 to 48 mask, 39 to 32 device, 31 to 0 cluster; device 0 marks an unused slot.
#[expect(
    clippy::cast_possible_truncation,
    reason = "takes bit fields out of a word"
)]
fn entry(slot: u64) -> Option<ClusterEntry> {
    let device = DeviceId::new((slot >> 32) as u8)?;
    Some(ClusterEntry::new(device, slot as u32, (slot >> 48) as u16))
}

fn slot(entry: &ClusterEntry) -> u64 {
    u64::from(entry.mask) << 48 | u64::from(entry.device.get()) << 32 | u64::from(entry.index)
}
