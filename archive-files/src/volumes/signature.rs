//! What is known by its signature, but whose files are not read.

use super::Content;
use crate::bytes::{Fields, text, uuid};
use crate::source::{Source, bytes_at};

/// A signature: where it is, what it is, and what that means.
const SIGNATURES: [(u64, &[u8], &str); 18] = [
    (3, b"-FVE-FS-", "BitLocker: encrypted, and not opened here"),
    (3, b"ReFS\0\0\0\0", "ReFS, which is not read"),
    (0, b"hsqs", "squashfs, which is not read"),
    (
        0,
        b"SPACEDB ",
        "a member of Windows Storage Spaces, which are not read",
    ),
    (32, b"NXSB", "APFS, which is not read"),
    (1024, b"\xe2\xe1\xf5\xe0", "EROFS, which is not read"),
    (1024, b"\x10\x20\xf5\xf2", "F2FS, which is not read"),
    (1024, b"H+\0\x04", "HFS+, which is not read"),
    (1024, b"HX\0\x05", "HFS+, which is not read"),
    (
        4120,
        b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81",
        "a bcache device, which is not read",
    ),
    (
        4120,
        b"\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef",
        "bcachefs, which is not read",
    ),
    (32768, b"JFS1", "JFS, which is not read"),
    (65588, b"ReIsEr2Fs", "ReiserFS, which is not read"),
    (65588, b"ReIsEr3Fs", "ReiserFS, which is not read"),
    (66908, b"\x19\x01\x54\x19", "UFS2, which is not read"),
    (8, b"dmvdo001", "a VDO device, which is not read"),
    (1_048_576, b"\x0d\xd0\x01\xc0", "VMFS, which is not read"),
    (0, b"BTLDR001", "a boot loader's own area"),
];

pub(super) fn of(source: &dyn Source) -> Option<Content> {
    luks(source)
        .or_else(|| swap(source))
        .or_else(|| zfs(source))
        .or_else(|| {
            let is_at = |at: u64, bytes: &[u8]| {
                bytes_at(source, at, bytes.len() as u64).is_ok_and(|found| found == bytes)
            };
            let found = SIGNATURES.iter().find(|(at, bytes, _)| is_at(*at, bytes));
            found.map(|(_, _, what)| named(what, Vec::new(), String::new()))
        })
}

fn named(what: &str, label: Vec<u8>, uuid: String) -> Content {
    Content::Named {
        what: what.to_owned(),
        label,
        uuid,
    }
}

/// Facts: LUKS1 and LUKS2 on-disk format specifications; numbers are big-endian.
fn luks(source: &dyn Source) -> Option<Content> {
    let head = bytes_at(source, 0, 512).ok()?;
    if head.part(0, 6).ok()? != b"LUKS\xba\xbe" {
        return None;
    }
    let id = text(head.part(168, 40).ok()?);
    let id = fleece_plain_text::words_of(&id);
    Some(match head.be16(6).ok()? {
        1 => named("LUKS1: encrypted, and not opened here", Vec::new(), id),
        _ => {
            let label = text(head.part(24, 48).ok()?);
            named("LUKS2: encrypted, and not opened here", label, id)
        }
    })
}

/// Facts: `include/linux/swap.h`, `union swap_header`; the signature is at the end of the first page.
fn swap(source: &dyn Source) -> Option<Content> {
    for page in [4096_u64, 8192, 16384, 65536] {
        let signature = bytes_at(source, page.saturating_sub(10), 10).ok()?;
        if signature == b"SWAPSPACE2" {
            let head = bytes_at(source, 1024, 64).ok()?;
            let id = uuid(head.array(12).ok()?);
            return Some(named("swap", text(head.part(28, 16).ok()?), id));
        }
    }
    None
}

/// A pool's device has an array of uberblocks from 128 KiB on, whatever their size is.
fn zfs(source: &dyn Source) -> Option<Content> {
    let array = bytes_at(source, 128 << 10, 128 << 10).ok()?;
    let (blocks, _) = array.as_chunks::<1024>();
    let is_uberblock =
        |block: &[u8; 1024]| matches!(block.le64(0), Ok(0x00ba_b10c | 0x0cb1_ba00_0000_0000));
    let found = blocks.iter().any(is_uberblock);
    found.then(|| {
        named(
            "a member of a ZFS pool, which is not read",
            Vec::new(),
            String::new(),
        )
    })
}
