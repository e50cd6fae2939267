//! Ways to damage an archive, each with the kind of error that a reader must answer with.

use fleece_vma_format::ErrorKind;
use md5::{Digest, Md5};

/// A damaged archive.
pub struct Damaged {
    pub name: String,
    pub bytes: Vec<u8>,
    pub kind: ErrorKind,
}

/// Where the extents of an archive begin, and its end.
pub fn extents(archive: &[u8]) -> Vec<usize> {
    let mut at = u32_at(archive, 56) as usize;
    let mut places = Vec::new();
    while at < archive.len() {
        places.push(at);
        let blocks = u16::from_be_bytes([archive[at + 6], archive[at + 7]]);
        at += 512 + 4096 * blocks as usize;
    }
    places.push(archive.len());
    places
}

/// Every kind of damage of an archive that has at least three extents and two devices.
pub fn all(good: &[u8]) -> Vec<Damaged> {
    let mut cases = header(good);
    cases.extend(cuts(good));
    cases.extend(extent_fields(good));
    cases.extend(rearranged(good));
    cases
}

/// Lies in every field of the header, with and without a checksum that fits them.
fn header(good: &[u8]) -> Vec<Damaged> {
    let mut cases = Vec::new();
    let mut case = |name: &str, kind, change: &dyn Fn(&mut Vec<u8>), checksum: bool| {
        let mut bytes = good.to_vec();
        change(&mut bytes);
        if checksum {
            fix_header(&mut bytes);
        }
        cases.push(Damaged {
            name: format!("header: {name}"),
            bytes,
            kind,
        });
    };
    case("wrong magic", ErrorKind::NotVma, &|b| b[0] = b'X', true);
    case("version 2", ErrorKind::Version, &|b| b[7] = 2, true);
    for bit in [24, 100, 2044, 5000, 12_290] {
        case(
            &format!("flip at {bit}"),
            ErrorKind::HeaderChecksum,
            &|b| b[bit] ^= 4,
            false,
        );
    }
    for size in [
        0,
        1,
        60,
        12_287,
        524_289,
        0x7fff_ffff,
        0xffff_fff0,
        u32::MAX,
    ] {
        case(
            &format!("size {size}"),
            ErrorKind::Header,
            &|b| put_u32(b, 56, size),
            false,
        );
    }
    for offset in [0, 12_287, 0xffff_ffff] {
        case(
            &format!("blob offset {offset}"),
            ErrorKind::Header,
            &|b| put_u32(b, 48, offset),
            true,
        );
    }
    for size in [100_000, 0xffff_ffff, 0xffff_d000] {
        case(
            &format!("blob size {size}"),
            ErrorKind::Header,
            &|b| put_u32(b, 52, size),
            true,
        );
    }
    for pointer in [2, 70_000, u32::MAX] {
        let name = format!("config name pointer {pointer}");
        case(
            &name,
            ErrorKind::Header,
            &|b| put_u32(b, 2044, pointer),
            true,
        );
        let name = format!("device name pointer {pointer}");
        case(
            &name,
            ErrorKind::Header,
            &|b| put_u32(b, 4096 + 32, pointer),
            true,
        );
    }
    let blob = 12_288;
    case(
        "blob longer than the table",
        ErrorKind::Header,
        &|b| b[blob + 2] = 0xff,
        true,
    );
    case(
        "name without NUL",
        ErrorKind::Name,
        &|b| b[blob + 19] = b'x',
        true,
    );
    for (name, text) in [
        ("slash", b'/'),
        ("NUL inside", 0),
        ("space", b' '),
        ("high", 0xe4),
    ] {
        case(
            &format!("name with {name}"),
            ErrorKind::Name,
            &|b| b[blob + 5] = text,
            true,
        );
    }
    case(
        "hidden name",
        ErrorKind::Name,
        &|b| b[blob + 3] = b'.',
        true,
    );
    case(
        "empty name",
        ErrorKind::Name,
        &|b| put_u16_le(b, blob + 1, 0),
        true,
    );
    case(
        "one name for two devices",
        ErrorKind::DuplicateName,
        &|b| {
            let name = u32_at(b, 4096 + 32);
            put_u32(b, 4096 + 64, name);
        },
        true,
    );
    case(
        "device of 2^64 bytes",
        ErrorKind::DeviceSize,
        &|b| b[4096 + 40..4096 + 48].fill(0xff),
        true,
    );
    cases
}

/// Cut at every interesting place.
fn cuts(good: &[u8]) -> Vec<Damaged> {
    let mut cases = Vec::new();
    let mut case = |length: usize, kind| {
        let bytes = good[..length].to_vec();
        cases.push(Damaged {
            name: format!("cut to {length}"),
            bytes,
            kind,
        });
    };
    let places = extents(good);
    case(3, ErrorKind::NotVma);
    case(59, ErrorKind::NotVma);
    for length in [60, 4096, 12_287, 12_288, places[0] - 1] {
        case(length, ErrorKind::Truncated);
    }
    // At an extent's boundary only the missing clusters tell.
    for place in &places[..places.len() - 1] {
        case(*place, ErrorKind::MissingCluster);
    }
    for place in &places[..places.len() - 1] {
        for more in [1, 511, 512, 513, 4608] {
            case(place + more, ErrorKind::Truncated);
        }
    }
    case(good.len() - 1, ErrorKind::Truncated);
    cases
}

/// Lies in every field of an extent's header.
fn extent_fields(good: &[u8]) -> Vec<Damaged> {
    let mut cases = Vec::new();
    let second = extents(good)[1];
    let mut case = |name: &str, kind, change: &dyn Fn(&mut [u8]), checksum: bool| {
        let mut bytes = good.to_vec();
        change(&mut bytes[second..second + 512]);
        if checksum {
            fix_extent(&mut bytes[second..second + 512]);
        }
        cases.push(Damaged {
            name: format!("extent: {name}"),
            bytes,
            kind,
        });
    };
    case(
        "wrong magic",
        ErrorKind::ExtentMagic,
        &|b| b[3] = b'X',
        true,
    );
    case(
        "reserved bytes",
        ErrorKind::ExtentMagic,
        &|b| b[5] = 1,
        true,
    );
    case("zeroed", ErrorKind::ExtentMagic, &|b| b.fill(0), false);
    for place in [7, 8, 30, 40, 300, 511] {
        case(
            &format!("flip at {place}"),
            ErrorKind::ExtentChecksum,
            &|b| b[place] ^= 1,
            false,
        );
    }
    case("another uuid", ErrorKind::ExtentUuid, &|b| b[8] ^= 1, true);
    case(
        "more blocks than masks",
        ErrorKind::BlockCount,
        &|b| b[7] = b[7].wrapping_add(1),
        true,
    );
    case(
        "fewer blocks than masks",
        ErrorKind::BlockCount,
        &|b| b[7] = b[7].wrapping_sub(1),
        true,
    );
    case(
        "65535 blocks",
        ErrorKind::BlockCount,
        &|b| b[6..8].fill(0xff),
        true,
    );
    case(
        "unknown device",
        ErrorKind::UnknownDevice,
        &|b| b[40 + 3] = 77,
        true,
    );
    case(
        "device 255",
        ErrorKind::UnknownDevice,
        &|b| b[40 + 3] = 255,
        true,
    );
    case(
        "cluster 2^32 - 1",
        ErrorKind::ClusterOutOfRange,
        &|b| b[44..48].fill(0xff),
        true,
    );
    case(
        "cluster just behind the end",
        ErrorKind::ClusterOutOfRange,
        &|b| put_u32(b, 44, 100),
        true,
    );
    case(
        "a cluster of before",
        ErrorKind::DuplicateCluster,
        &|b| put_u32(b, 44, 0),
        true,
    );
    case(
        "a cluster of its own twice",
        ErrorKind::DuplicateCluster,
        &|b| b.copy_within(44..48, 52),
        true,
    );
    case(
        "a slot unused",
        ErrorKind::BlockCount,
        &|b| b[40 + 3] = 0,
        true,
    );
    cases
}

/// Whole extents where they do not belong.
fn rearranged(good: &[u8]) -> Vec<Damaged> {
    let places = extents(good);
    let part = |n: usize| &good[places[n]..places[n + 1]];
    let head = &good[..places[0]];
    let rest = &good[places[1]..];
    let last = places.len() - 2;
    let mut foreign = good.to_vec();
    foreign[8] ^= 1;
    fix_header(&mut foreign);
    let case = |name: &str, kind, parts: &[&[u8]]| Damaged {
        name: name.to_owned(),
        bytes: parts.concat(),
        kind,
    };
    vec![
        case(
            "an extent twice",
            ErrorKind::DuplicateCluster,
            &[good, part(0)],
        ),
        case(
            "an extent missing",
            ErrorKind::MissingCluster,
            &[head, rest],
        ),
        case(
            "last extent missing",
            ErrorKind::MissingCluster,
            &[&good[..places[last]]],
        ),
        case(
            "another archive's extents",
            ErrorKind::ExtentUuid,
            &[&foreign[..places[0]], &good[places[0]..]],
        ),
        case(
            "two archives spliced",
            ErrorKind::ExtentMagic,
            &[good, good],
        ),
        case("one byte behind", ErrorKind::Truncated, &[good, b"x"]),
        case("zeroes behind", ErrorKind::ExtentMagic, &[good, &[0; 512]]),
        case(
            "one byte too many in between",
            ErrorKind::ExtentMagic,
            &[&good[..places[1]], b"x", rest],
        ),
        case(
            "a block missing",
            ErrorKind::ExtentMagic,
            &[&good[..places[1] - 4096], rest],
        ),
        case(
            "a block too many",
            ErrorKind::ExtentMagic,
            &[&good[..places[1]], &[7; 4096], rest],
        ),
    ]
}

/// Writes the MD5 that fits a header.
pub fn fix_header(bytes: &mut [u8]) {
    let size = (u32_at(bytes, 56) as usize).min(bytes.len());
    bytes[32..48].fill(0);
    let md5 = Md5::digest(&bytes[..size]);
    bytes[32..48].copy_from_slice(&md5);
}

/// Writes the MD5 that fits an extent's 512 bytes.
pub fn fix_extent(bytes: &mut [u8]) {
    bytes[24..40].fill(0);
    let md5 = Md5::digest(&bytes[..512]);
    bytes[24..40].copy_from_slice(&md5);
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
}

fn put_u16_le(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
}
