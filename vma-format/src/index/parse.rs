//! The pieces of an index, from bytes.

use nom::bytes::complete::{tag, take};
use nom::combinator::{all_consuming, map_opt};
use nom::multi::count;
use nom::number::complete::{be_u8, be_u16, be_u32, be_u64};
use nom::{IResult, Parser};

use super::digest::ExtentDigest;
use super::{MAGIC, MAX_BODY_SIZE, PIECE_EXTENTS};
use crate::extent::run::Run;
use crate::header::array16;
use crate::layout::{DeviceId, EXTENT_HEADER_SIZE, EXTENT_SLOTS};

/// What stands before a body.
pub(super) struct PieceHeader {
    pub(super) kind: u8,
    pub(super) length: usize,
    pub(super) crc: u32,
}

pub(super) struct Head {
    pub(super) uuid: [u8; 16],
    pub(super) header_size: u64,
    pub(super) header_sha256: [u8; 32],
}

pub(super) struct Extents {
    pub(super) number: u64,
    pub(super) offset: u64,
    pub(super) records: Vec<ExtentDigest>,
}

pub(super) struct Tail {
    pub(super) extents: u64,
    pub(super) size: u64,
    pub(super) sha256: [u8; 32],
}

pub(super) fn piece_header(input: &[u8]) -> Option<PieceHeader> {
    let fields = |input| -> IResult<_, _> {
        let (input, _) = tag(&MAGIC[..])(input)?;
        let (input, kind) = be_u8(input)?;
        let (input, _) = tag(&[0_u8; 3][..])(input)?;
        let (input, length) = map_opt(be_u32, |length| {
            usize::try_from(length).ok().filter(|&n| n <= MAX_BODY_SIZE)
        })
        .parse(input)?;
        let (input, crc) = be_u32(input)?;
        Ok((input, PieceHeader { kind, length, crc }))
    };
    whole(fields, input)
}

pub(super) fn head(body: &[u8]) -> Option<Head> {
    let fields = |input| -> IResult<_, _> {
        let (input, uuid) = array16(input)?;
        let (input, header_size) = be_u64(input)?;
        let (input, header_sha256) = array32(input)?;
        Ok((
            input,
            Head {
                uuid,
                header_size,
                header_sha256,
            },
        ))
    };
    whole(fields, body)
}

pub(super) fn tail(body: &[u8]) -> Option<Tail> {
    let fields = |input| -> IResult<_, _> {
        let (input, (extents, size)) = (be_u64, be_u64).parse(input)?;
        let (input, sha256) = array32(input)?;
        Ok((
            input,
            Tail {
                extents,
                size,
                sha256,
            },
        ))
    };
    whole(fields, body)
}

pub(super) fn extents(body: &[u8]) -> Option<Extents> {
    let fields = |input| -> IResult<_, _> {
        let (input, (number, offset)) = (be_u64, be_u64).parse(input)?;
        let known = |count: u32| {
            (1..=PIECE_EXTENTS)
                .contains(&count)
                .then_some(count as usize)
        };
        let (input, records) = map_opt(be_u32, known).parse(input)?;
        let (input, records) = count(map_opt(record, consistent), records).parse(input)?;
        Ok((
            input,
            Extents {
                number,
                offset,
                records,
            },
        ))
    };
    whole(fields, body)
}

fn record(input: &[u8]) -> IResult<&[u8], ExtentDigest> {
    let few = |n: u16| (usize::from(n) <= EXTENT_SLOTS).then_some(usize::from(n));
    let (input, length) = be_u32(input)?;
    let (input, runs) = map_opt(be_u16, few).parse(input)?;
    let (input, crcs) = map_opt(be_u16, few).parse(input)?;
    let (input, sha256) = array32(input)?;
    let (input, runs) = count(run, runs).parse(input)?;
    let (input, crcs) = count(be_u32, crcs).parse(input)?;
    Ok((
        input,
        ExtentDigest {
            length,
            sha256,
            runs,
            crcs,
        },
    ))
}

fn run(input: &[u8]) -> IResult<&[u8], Run> {
    let (input, device) = map_opt(be_u8, DeviceId::new).parse(input)?;
    let (input, (count, mask, first)) = (be_u8, be_u16, be_u32).parse(input)?;
    Ok((
        input,
        Run {
            device,
            first,
            count,
            mask,
        },
    ))
}

/// A record whose length and number of checksums follow from its runs.
fn consistent(digest: ExtentDigest) -> Option<ExtentDigest> {
    let clusters: u64 = digest.runs.iter().map(Run::count).sum();
    let ends = |run: &Run| run.first().saturating_add(run.count()) <= 1 << 32;
    let payload: u64 = digest
        .runs
        .iter()
        .map(|run| run.stored().saturating_mul(run.count()))
        .sum();
    let stored: u64 = digest
        .runs
        .iter()
        .filter(|run| run.mask != 0)
        .map(Run::count)
        .sum();
    let fits = clusters <= EXTENT_SLOTS as u64
        && digest.runs.iter().all(|run| run.count > 0 && ends(run))
        && u64::from(digest.length) == payload.saturating_add(EXTENT_HEADER_SIZE as u64)
        && digest.crcs.len() as u64 == stored;
    fits.then_some(digest)
}

fn array32(input: &[u8]) -> IResult<&[u8], [u8; 32]> {
    let (input, bytes) = take(32_usize)(input)?;
    let mut array = [0; 32];
    array.copy_from_slice(bytes);
    Ok((input, array))
}

fn whole<'a, T>(fields: impl Fn(&'a [u8]) -> IResult<&'a [u8], T>, input: &'a [u8]) -> Option<T> {
    all_consuming(fields)
        .parse(input)
        .ok()
        .map(|(_, value)| value)
}
