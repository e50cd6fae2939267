//! Reading a header, believing nothing.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use md5::{Digest, Md5};
use nom::bytes::complete::{tag, take};
use nom::multi::count;
use nom::number::complete::{be_i64, be_u32, be_u64};
use nom::{IResult, Parser};

use super::name::check_name;
use super::{Config, Device, Header};
use crate::error::{Error, ErrorKind, Result};
use crate::foreign::not_vma;
use crate::layout::{DeviceId, FIXED_HEADER_SIZE, MAX_CLUSTERS, MAX_HEADER_SIZE, cluster_count};

/// "VMA" and a NUL.
pub(super) const MAGIC: &[u8; 4] = b"VMA\0";

/// Where the MD5 stands; it covers the whole header with itself zeroed.
pub(super) const MD5: Range<usize> = 32..48;

/// Where the table of config name offsets begins.
pub(super) const CONFIG_NAMES: usize = 2044;

/// The fields of the fixed part, in file order.
struct Fixed {
    version: u32,
    uuid: [u8; 16],
    ctime: i64,
    blob_offset: u32,
    blob_size: u32,
    config_names: Vec<u32>,
    config_data: Vec<u32>,
    devices: Vec<(u32, u64)>,
}

pub(super) fn declared_size(start: &[u8]) -> Result<usize> {
    fn fields(input: &[u8]) -> IResult<&[u8], u32> {
        let (input, _) = tag(&MAGIC[..])(input)?;
        let (input, _) = take(52_usize)(input)?;
        be_u32(input)
    }
    let (_, size) = fields(start).map_err(|_| not_vma(start))?;
    usize::try_from(size)
        .ok()
        .filter(|size| (FIXED_HEADER_SIZE..=MAX_HEADER_SIZE).contains(size))
        .ok_or_else(|| {
            let detail = format!(
                "wrong vma header size {size}: expected {FIXED_HEADER_SIZE} to {MAX_HEADER_SIZE}"
            );
            Error::new(ErrorKind::Header, detail).at(56)
        })
}

/// That the header has its declared size and its checksum.
pub(super) fn check(bytes: &[u8]) -> Result<()> {
    let size = declared_size(bytes)?;
    if bytes.len() != size {
        let detail = format!("vma header of {size} bytes is cut after {}", bytes.len());
        return Err(Error::new(ErrorKind::Truncated, detail).at(bytes.len() as u64));
    }
    if bytes.get(MD5) != Some(&checksum(bytes)[..]) {
        return Err(Error::new(ErrorKind::HeaderChecksum, "wrong vma header checksum").at(32));
    }
    Ok(())
}

pub(super) fn header(bytes: Vec<u8>) -> Result<Header> {
    let (_, fixed) =
        fixed(&bytes).map_err(|_| Error::new(ErrorKind::Header, "vma header is incomplete"))?;
    if fixed.version != 1 {
        let detail = format!(
            "wrong vma version {}: only version 1 is known",
            fixed.version
        );
        return Err(Error::new(ErrorKind::Version, detail).at(4));
    }
    let blobs = blobs(&bytes, &fixed)?;
    Ok(Header {
        uuid: fixed.uuid,
        ctime: fixed.ctime,
        configs: configs(&fixed, &blobs)?,
        devices: devices(&fixed, &blobs)?,
        bytes,
        aligned: false,
    })
}

/// The MD5 over a header or an extent header, with the field for it taken as zeroes.
pub(super) fn checksum(bytes: &[u8]) -> [u8; 16] {
    checksum_without(bytes, MD5)
}

/// The MD5 over `bytes` with the 16 bytes at `field` taken as zeroes.
pub(crate) fn checksum_without(bytes: &[u8], field: Range<usize>) -> [u8; 16] {
    let mut md5 = Md5::new();
    md5.update(bytes.get(..field.start).unwrap_or(bytes));
    md5.update([0; 16]);
    md5.update(bytes.get(field.end..).unwrap_or_default());
    md5.finalize().into()
}

fn fixed(input: &[u8]) -> IResult<&[u8], Fixed> {
    let (input, _) = tag(&MAGIC[..])(input)?;
    let (input, version) = be_u32(input)?;
    let (input, uuid) = array16(input)?;
    let (input, ctime) = be_i64(input)?;
    let (input, _md5) = take(16_usize)(input)?;
    let (input, blob_offset) = be_u32(input)?;
    let (input, blob_size) = be_u32(input)?;
    let (input, _size) = be_u32(input)?;
    let (input, _reserved) = take(1984_usize)(input)?;
    let (input, config_names) = count(be_u32, 256).parse(input)?;
    let (input, config_data) = count(be_u32, 256).parse(input)?;
    let (input, _reserved) = be_u32(input)?;
    let (input, devices) = count(device, 256).parse(input)?;
    Ok((
        input,
        Fixed {
            version,
            uuid,
            ctime,
            blob_offset,
            blob_size,
            config_names,
            config_data,
            devices,
        },
    ))
}

fn device(input: &[u8]) -> IResult<&[u8], (u32, u64)> {
    let (input, name) = be_u32(input)?;
    let (input, _reserved) = be_u32(input)?;
    let (input, size) = be_u64(input)?;
    let (input, _reserved) = take(16_usize)(input)?;
    Ok((input, (name, size)))
}

/// Sixteen bytes as an array.
pub(crate) fn array16(input: &[u8]) -> IResult<&[u8], [u8; 16]> {
    let (input, bytes) = take(16_usize)(input)?;
    let mut array = [0; 16];
    array.copy_from_slice(bytes);
    Ok((input, array))
}

/// The blobs by their offset in the table.
///
/// As in the reference, only a pointer to the very start of a blob is one; what runs over the
/// table's end is no blob.
fn blobs<'a>(bytes: &'a [u8], fixed: &Fixed) -> Result<BTreeMap<u32, &'a [u8]>> {
    let wrong = |detail: String| Error::new(ErrorKind::Header, detail).at(48);
    let start = usize::try_from(fixed.blob_offset)
        .ok()
        .filter(|&start| start >= FIXED_HEADER_SIZE)
        .ok_or_else(|| {
            wrong(format!(
                "wrong vma blob buffer offset {}",
                fixed.blob_offset
            ))
        })?;
    let table = usize::try_from(fixed.blob_size)
        .ok()
        .and_then(|size| start.checked_add(size))
        .and_then(|end| bytes.get(start..end))
        .ok_or_else(|| {
            wrong(format!(
                "wrong vma blob buffer size {}/{}",
                fixed.blob_size,
                bytes.len()
            ))
        })?;
    let mut blobs = BTreeMap::new();
    let mut offset = 1_usize;
    while let Some((length, rest)) = table
        .get(offset..)
        .and_then(|rest| rest.split_first_chunk::<2>())
    {
        let length = usize::from(u16::from_le_bytes(*length));
        let Some(data) = rest.get(..length) else {
            break;
        };
        // Offsets are less than the table's size, which came as a u32.
        blobs.insert(u32::try_from(offset).unwrap_or(0), data);
        offset = offset.saturating_add(2).saturating_add(length);
    }
    Ok(blobs)
}

fn configs(fixed: &Fixed, blobs: &BTreeMap<u32, &[u8]>) -> Result<Vec<Config>> {
    let mut configs = Vec::new();
    let mut seen = HashSet::new();
    for (name, data) in fixed.config_names.iter().zip(&fixed.config_data) {
        if *name == 0 || *data == 0 {
            continue;
        }
        let name = blob_name(blobs, *name)?;
        let data = blobs.get(data).ok_or_else(bad_pointer)?;
        if !seen.insert(name) {
            return Err(Error::new(
                ErrorKind::DuplicateName,
                format!("two configs are named {name}"),
            ));
        }
        configs.push(Config {
            name: name.to_owned(),
            data: data.to_vec(),
        });
    }
    Ok(configs)
}

fn devices(fixed: &Fixed, blobs: &BTreeMap<u32, &[u8]>) -> Result<Vec<Device>> {
    let mut devices = Vec::new();
    let mut seen = HashSet::new();
    for (id, &(name, size)) in (0..=u8::MAX).zip(&fixed.devices) {
        let Some(id) = DeviceId::new(id) else {
            continue;
        };
        if size == 0 {
            continue;
        }
        let name = blob_name(blobs, name)?;
        if !seen.insert(name) {
            return Err(Error::new(
                ErrorKind::DuplicateName,
                format!("two devices are named {name}"),
            ));
        }
        if cluster_count(size) > MAX_CLUSTERS {
            let detail =
                format!("device {name} claims {size} bytes, more than the format can address");
            return Err(Error::new(ErrorKind::DeviceSize, detail));
        }
        devices.push(Device {
            id,
            name: name.to_owned(),
            size,
        });
    }
    Ok(devices)
}

/// A name: a blob that ends with NUL.
fn blob_name<'a>(blobs: &BTreeMap<u32, &'a [u8]>, offset: u32) -> Result<&'a str> {
    let blob = blobs.get(&offset).ok_or_else(bad_pointer)?;
    let name = blob.strip_suffix(&[0]).ok_or_else(|| {
        Error::new(
            ErrorKind::Name,
            "a name in the vma header does not end with NUL",
        )
    })?;
    check_name(name)
}

fn bad_pointer() -> Error {
    Error::new(ErrorKind::Header, "vma contains invalid data pointers")
}
