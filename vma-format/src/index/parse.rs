//! The pieces of an index, from bytes.

use nom::branch::alt;
use nom::bytes::complete::{tag, take};
use nom::combinator::{all_consuming, map_opt, value};
use nom::multi::count;
use nom::number::complete::{be_u8, be_u16, be_u32, be_u64};
use nom::{IResult, Parser};

use super::algorithm::Algorithm;
use super::digest::{ExtentDigest, Sums};
use super::{MAX_BODY_SIZE, MAX_PIECE_EXTENTS};
use crate::extent::run::Run;
use crate::layout::{DeviceId, EXTENT_HEADER_SIZE, EXTENT_SLOTS};

/// The version, which stands in each piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    One,
    Two,
}

/// What the checksums of an index are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Version 1.
    One,
    /// Version 2.
    Two(Algorithm),
}

impl Format {
    pub(super) const fn version(self) -> Version {
        match self {
            Self::One => Version::One,
            Self::Two(_) => Version::Two,
        }
    }

    /// That of the digests over the archive's header and over the index itself.
    pub(super) const fn algorithm(self) -> Algorithm {
        match self {
            Self::One => Algorithm::Sha256,
            Self::Two(algorithm) => algorithm,
        }
    }
}

/// What a piece holds.
pub(in crate::index) mod kind {
    pub(in crate::index) const HEAD: u8 = b'H';
    pub(in crate::index) const EXTENTS: u8 = b'E';
    pub(in crate::index) const TAIL: u8 = b'T';
}

/// How many extents a piece of version 1 has at most.
const MAX_PIECE_EXTENTS_1: u32 = 256;

/// What stands before a body.
pub(super) struct PieceHeader {
    pub(super) version: Version,
    pub(super) kind: u8,
    pub(super) length: usize,
    pub(super) crc: u32,
}

#[derive(Debug)]
pub(super) struct Head {
    pub(super) format: Format,
    pub(super) uuid: [u8; 16],
    pub(super) header_size: u64,
    pub(super) header_digest: [u8; 32],
}

pub(super) struct Extents {
    pub(super) number: u64,
    pub(super) offset: u64,
    pub(super) records: Vec<ExtentDigest>,
}

pub(super) struct Tail {
    pub(super) extents: u64,
    pub(super) size: u64,
    pub(super) digest: [u8; 32],
}

pub(super) fn piece_header(input: &[u8]) -> Option<PieceHeader> {
    let fields = |input| -> IResult<_, _> {
        let (input, version) = alt((
            value(Version::One, tag(&b"VIX1"[..])),
            value(Version::Two, tag(&b"VIX2"[..])),
        ))
        .parse(input)?;
        let (input, kind) = be_u8(input)?;
        let (input, _) = tag(&[0_u8; 3][..])(input)?;
        let (input, length) = map_opt(be_u32, |length| {
            usize::try_from(length).ok().filter(|&n| n <= MAX_BODY_SIZE)
        })
        .parse(input)?;
        let (input, crc) = be_u32(input)?;
        let header = PieceHeader {
            version,
            kind,
            length,
            crc,
        };
        Ok((input, header))
    };
    whole(fields, input)
}

pub(super) fn head(version: Version, body: &[u8]) -> Option<Head> {
    let fields = |input| -> IResult<_, _> {
        let (input, uuid) = array(input)?;
        let (input, header_size) = be_u64(input)?;
        let (input, format) = match version {
            Version::One => (input, Format::One),
            Version::Two => {
                let known = |number| Algorithm::from_number(number).map(Format::Two);
                let (input, format) = map_opt(be_u8, known).parse(input)?;
                let (input, _) = tag(&[0_u8; 3][..])(input)?;
                (input, format)
            }
        };
        let (input, header_digest) = array(input)?;
        let head = Head {
            format,
            uuid,
            header_size,
            header_digest,
        };
        Ok((input, head))
    };
    whole(fields, body)
}

pub(super) fn tail(body: &[u8]) -> Option<Tail> {
    let fields = |input| -> IResult<_, _> {
        let (input, (extents, size)) = (be_u64, be_u64).parse(input)?;
        let (input, digest) = array(input)?;
        let tail = Tail {
            extents,
            size,
            digest,
        };
        Ok((input, tail))
    };
    whole(fields, body)
}

pub(super) fn extents(format: Format, body: &[u8]) -> Option<Extents> {
    let most = match format {
        Format::One => MAX_PIECE_EXTENTS_1,
        Format::Two(_) => MAX_PIECE_EXTENTS,
    };

    let fields = |input| -> IResult<_, _> {
        let (input, (number, offset)) = (be_u64, be_u64).parse(input)?;
        let known = |count: u32| (1..=most).contains(&count).then_some(count as usize);
        let (input, records) = map_opt(be_u32, known).parse(input)?;
        let (input, records) = match format {
            Format::One => count(map_opt(record_1, consistent_1), records).parse(input)?,
            Format::Two(algorithm) => count(|i| record_2(algorithm, i), records).parse(input)?,
        };
        let extents = Extents {
            number,
            offset,
            records,
        };
        Ok((input, extents))
    };
    whole(fields, body)
}

fn record_1(input: &[u8]) -> IResult<&[u8], ExtentDigest> {
    let few = |n: u16| (usize::from(n) <= EXTENT_SLOTS).then_some(usize::from(n));
    let (input, length) = be_u32(input)?;
    let (input, number) = map_opt(be_u16, few).parse(input)?;
    let (input, crcs) = map_opt(be_u16, few).parse(input)?;
    let (input, sha256) = array(input)?;
    let (input, runs) = map_opt(count(run, number), possible).parse(input)?;
    let (input, crcs) = count(be_u32, crcs).parse(input)?;
    let sums = Sums::Crcs(sha256, crcs);
    Ok((input, ExtentDigest { length, runs, sums }))
}

/// A record whose length and number of checksums follow from its runs.
fn consistent_1(digest: ExtentDigest) -> Option<ExtentDigest> {
    let crcs = match &digest.sums {
        Sums::Crcs(_, crcs) => crcs.len() as u64,
        Sums::Leaves(..) => return None,
    };
    let fits = digest.length == length(&digest.runs) && crcs == with_payload(&digest.runs);
    fits.then_some(digest)
}

fn record_2(algorithm: Algorithm, input: &[u8]) -> IResult<&[u8], ExtentDigest> {
    let few = |n: u8| (usize::from(n) <= EXTENT_SLOTS).then_some(usize::from(n));
    let (input, number) = map_opt(be_u8, few).parse(input)?;
    let (input, runs) = map_opt(count(run, number), possible).parse(input)?;
    let leaves = usize::try_from(with_payload(&runs)).unwrap_or(EXTENT_SLOTS);
    let (input, leaves) = count(array, leaves).parse(input)?;
    let digest = ExtentDigest {
        length: length(&runs),
        runs,
        sums: Sums::Leaves(algorithm, leaves),
    };
    Ok((input, digest))
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

/// Runs that an extent has room for.
fn possible(runs: Vec<Run>) -> Option<Vec<Run>> {
    let clusters: u64 = runs.iter().map(Run::count).sum();
    let ends = |run: &Run| run.first().saturating_add(run.count()) <= 1 << 32;
    let fits = clusters <= EXTENT_SLOTS as u64 && runs.iter().all(|run| run.count > 0 && ends(run));
    fits.then_some(runs)
}

/// How long an extent of these clusters is, in bytes.
fn length(runs: &[Run]) -> u32 {
    let payload = runs
        .iter()
        .map(|run| run.stored().saturating_mul(run.count()));
    let length = payload.fold(EXTENT_HEADER_SIZE as u64, u64::saturating_add);
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// How many of the clusters have payload.
fn with_payload(runs: &[Run]) -> u64 {
    let stored = runs.iter().filter(|run| run.mask != 0);
    stored.map(Run::count).sum()
}

fn array<const N: usize>(input: &[u8]) -> IResult<&[u8], [u8; N]> {
    map_opt(take(N), |bytes: &[u8]| bytes.first_chunk().copied()).parse(input)
}

fn whole<'a, T>(fields: impl Fn(&'a [u8]) -> IResult<&'a [u8], T>, input: &'a [u8]) -> Option<T> {
    all_consuming(fields)
        .parse(input)
        .ok()
        .map(|(_, value)| value)
}
