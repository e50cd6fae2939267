//! What people take for archives and is none: told by its first bytes, with what to do instead.

use crate::error::{Error, ErrorKind};

/// Something that begins in a known way.
struct Kind {
    /// Where its mark stands, in bytes from the start.
    at: usize,
    mark: &'static [u8],
    /// What it is, and what to do with it.
    what: &'static str,
}

const fn kind(at: usize, mark: &'static [u8], what: &'static str) -> Kind {
    Kind { at, mark, what }
}

const PBS: &str =
    "a file of a Proxmox Backup Server's datastore; restore it with proxmox-backup-client";
const BLOB: &str =
    "a blob of Proxmox Backup Server; decode it with `proxmox-backup-debug inspect file`";
const QCOW2: &str = "a qcow2 disk image; `vma create` puts it into an archive";
const IMAGE: &str =
    "a disk image; `qemu-img convert` makes a raw or qcow2 image of it for `vma create`";
const ZIP: &str = "a zip file; unpack it first: unzip FILE";
const PARTITIONS: &str = "a disk, or a raw image of one; `vma create` puts it into an archive";

/// The marks, by the formats' own descriptions; those of Proxmox Backup Server are in its manual, "File
/// Formats". The last one is the weakest.
const KINDS: [Kind; 33] = [
    kind(
        0,
        b"BZh",
        "compressed by bzip2; decompress it first: bunzip2 -c FILE | vma … -",
    ),
    kind(
        0,
        b"\xfd7zXZ\0",
        "compressed by xz; decompress it first: xz -dc FILE | vma … -",
    ),
    kind(
        0,
        b"\x04\x22\x4d\x18",
        "compressed by lz4; decompress it first: lz4 -dc FILE | vma … -",
    ),
    kind(
        0,
        b"LZIP",
        "compressed by lzip; decompress it first: lzip -dc FILE | vma … -",
    ),
    kind(
        0,
        b"\x5d\0\0",
        "compressed by lzma; decompress it first: xz --format=lzma -dc FILE | vma … -",
    ),
    kind(
        0,
        b"\x1f\x9d",
        "compressed by compress; decompress it first: zcat FILE | vma … -",
    ),
    kind(0, b"PK\x03\x04", ZIP),
    kind(0, b"PK\x05\x06", ZIP),
    kind(
        0,
        b"7z\xbc\xaf\x27\x1c",
        "a 7z file; unpack it first: 7z x FILE",
    ),
    kind(0, b"Rar!\x1a\x07", "a rar file; unpack it first"),
    kind(
        257,
        b"ustar",
        "a tar file: look into it with `tar -tf`; backups of Proxmox's containers are tar files, too",
    ),
    kind(
        0,
        b"age-encryption.org/",
        "encrypted with age; decrypt it first: age -d FILE | vma … -",
    ),
    kind(
        0,
        b"-----BEGIN AGE",
        "encrypted with age; decrypt it first: age -d FILE | vma … -",
    ),
    kind(
        0,
        b"-----BEGIN PGP",
        "encrypted or signed with PGP; decrypt it first: gpg -d FILE | vma … -",
    ),
    kind(
        0,
        b"Salted__",
        "encrypted with openssl; decrypt it first: openssl enc -d",
    ),
    kind(
        0,
        b"VIX1",
        "the index of an archive; the archive lies beside it, without `.idx`",
    ),
    kind(0, b"\x2f\x7f\x41\xed\x91\xfd\x0f\xcd", PBS),
    kind(0, b"\x1c\x91\x4e\xa5\x19\xba\xb3\xcd", PBS),
    kind(0, b"\x42\xab\x38\x07\xbe\x83\x70\xa1", BLOB),
    kind(0, b"\x31\xb9\x58\x42\x6f\xb6\xa3\x7f", BLOB),
    kind(0, b"\x7b\x67\x85\xbe\x22\x2d\x4c\xf0", BLOB),
    kind(0, b"\xe6\x59\x1b\xbf\x0b\xbf\xd8\x0b", BLOB),
    kind(0, b"QFI\xfb", QCOW2),
    kind(0, b"KDMV", IMAGE),
    kind(0, b"# Disk DescriptorFile", IMAGE),
    kind(64, b"\x7f\x10\xda\xbe", IMAGE),
    kind(0, b"vhdxfile", IMAGE),
    kind(0, b"conectix", IMAGE),
    kind(
        0,
        b"LUKS\xba\xbe",
        "an encrypted disk (LUKS); `vma create` puts it into an archive as it is",
    ),
    kind(0, b"hsqs", "a squashfs image"),
    kind(0, b"\x7fELF", "a program"),
    kind(512, b"EFI PART", PARTITIONS),
    kind(510, b"\x55\xaa", PARTITIONS),
];

/// The error for an input that begins with `start` and not as an archive does.
pub(crate) fn not_vma(start: &[u8]) -> Error {
    match recognised(start) {
        Some(what) => Error::new(
            ErrorKind::Foreign,
            format!("not a vma file: this is {what}"),
        ),
        None => Error::new(ErrorKind::NotVma, "not a vma file - wrong magic number"),
    }
    .at(0)
}

fn recognised(start: &[u8]) -> Option<&'static str> {
    if start.is_empty() {
        return Some("empty; look for what ended the copy or the download");
    }
    let begins = |kind: &&Kind| {
        let rest = start.get(kind.at..);
        rest.is_some_and(|rest| rest.starts_with(kind.mark))
    };
    if let Some(kind) = KINDS.iter().find(begins) {
        return Some(kind.what);
    }
    text(start)
}

/// As much of a text as tells what it is.
const TEXT: usize = 512;

fn text(start: &[u8]) -> Option<&'static str> {
    const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
    if start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff") {
        return Some("a text in UTF-16; an archive must be copied as binary");
    }
    let marked = start.strip_prefix(BYTE_ORDER_MARK);
    if marked.is_some_and(|rest| rest.starts_with(b"VMA")) {
        return Some(
            "an archive that was taken for a text and got a byte order mark; copy it again, as binary",
        );
    }
    let start = start.get(..TEXT).unwrap_or(start);
    let words = marked.unwrap_or(start).trim_ascii_start();
    let has = |word: &[u8]| {
        let begin = words.get(..word.len());
        begin.is_some_and(|begin| begin.eq_ignore_ascii_case(word))
    };
    if has(b"<!doctype html") || has(b"<html") || has(b"<head") {
        return Some(
            "a web page, most likely of a failed download; open it in a browser to read why",
        );
    }
    if has(b"<?xml") || has(b"{") {
        return Some("a text (XML or JSON), perhaps of a failed download; read it");
    }
    let is_text = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~');
    (marked.is_some() || words.len() >= 4 && words.iter().all(is_text))
        .then_some("a text; a backup's log and notes lie beside its archive, under similar names")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_archive_is_named_with_the_next_step() {
        let tar = [&[b'a'; 257][..], b"ustar\x0000"].concat();
        let vdi = [
            &b"<<< Oracle VM VirtualBox Disk Image >>>\n"[..],
            &[0; 24],
            b"\x7f\x10\xda\xbe",
        ];
        let disk = [&[0; 510][..], b"\x55\xaa"].concat();
        for (start, what) in [
            (&b""[..], "empty"),
            (b"BZh91AY&SY", "bunzip2 -c"),
            (b"\xfd7zXZ\0\0\x04", "xz -dc"),
            (b"PK\x03\x04\x14", "unzip"),
            (&tar, "tar -tf"),
            (&vdi.concat(), "disk image"),
            (b"QFI\xfb\0\0\0\x03", "qcow2"),
            (b"\n <!DOCTYPE HTML><title>404", "failed download"),
            (b"\xef\xbb\xbf<html>", "failed download"),
            (b"\xef\xbb\xbfVMA\0\0\0\0\x01", "byte order mark"),
            (b"INFO: starting backup\n", "log"),
            (b"\x2f\x7f\x41\xed\x91\xfd\x0f\xcd", "Proxmox Backup Server"),
            (b"VIX1\0\0", "index"),
            (&disk, "raw image"),
        ] {
            let error = not_vma(start);
            assert_eq!(error.kind(), ErrorKind::Foreign, "{start:?}");
            assert!(error.to_string().contains(what), "{error}");
        }
    }

    /// What was an archive must not be taken for a mistake of whoever named it.
    #[test]
    fn a_damaged_archive_is_still_called_damaged() {
        let mut flipped = [0; 4096];
        flipped[..8].copy_from_slice(b"VMB\0\0\0\0\x01");
        for start in [&flipped[..], b"VM", b"VMA", b"\0\0\0\0", &[0; 12_288]] {
            assert_eq!(not_vma(start).kind(), ErrorKind::NotVma, "{start:?}");
        }
    }
}
