//! What people take for archives and is none: told by its first bytes, with what to do instead.

use crate::advice::Advice;
use crate::error::{Error, ErrorKind};

/// Something that begins in a known way.
#[derive(Clone, Copy)]
struct Kind {
    /// Where its mark stands, in bytes from the start.
    at: usize,
    mark: &'static [u8],
    /// What it is, and what to do with it.
    what: &'static str,
    advice: Option<Advice>,
    /// Whether an archive may be in it.
    wraps: bool,
}

const fn kind(at: usize, mark: &'static [u8], what: &'static str) -> Kind {
    Kind {
        at,
        mark,
        what,
        advice: None,
        wraps: false,
    }
}

/// What may hold an archive that is not read through it.
const fn wrapping(at: usize, mark: &'static [u8], what: &'static str) -> Kind {
    Kind {
        wraps: true,
        ..kind(at, mark, what)
    }
}

const fn advised(at: usize, mark: &'static [u8], what: &'static str, advice: Advice) -> Kind {
    Kind {
        advice: Some(advice),
        ..kind(at, mark, what)
    }
}

/// What a command decompresses or decrypts to its standard output.
const fn piped(
    mark: &'static [u8],
    what: &'static str,
    verb: &'static str,
    command: &'static str,
) -> Kind {
    let advice = Advice::Pipe {
        what: verb,
        command,
    };
    Kind {
        advice: Some(advice),
        ..wrapping(0, mark, what)
    }
}

/// What `gpg` writes begins with a packet for a passphrase, or for a key: RSA of 2048, 3072 and 4096 bits, and
/// Curve25519 (RFC 9580, section 5).
const fn gpg(mark: &'static [u8]) -> Kind {
    piped(mark, "encrypted with PGP", "decrypt", "gpg -d FILE")
}

const PBS: &str =
    "a file of a Proxmox Backup Server's datastore; restore it with proxmox-backup-client";
const BLOB: &str =
    "a blob of Proxmox Backup Server; decode it with `proxmox-backup-debug inspect file`";
const IMAGE: &str = "a disk image";
const ZIP: &str = "a zip file; unpack it first: unzip FILE";
const PARTITIONS: &str = "a disk, or a raw image of one";

/// The marks, by the formats' own descriptions; those of Proxmox Backup Server are in its manual, "File
/// Formats". The last one is the weakest.
const KINDS: [Kind; 38] = [
    piped(
        b"BZh",
        "compressed by bzip2",
        "decompress",
        "bunzip2 -c FILE",
    ),
    piped(
        b"\xfd7zXZ\0",
        "compressed by xz",
        "decompress",
        "xz -dc FILE",
    ),
    piped(
        b"\x04\x22\x4d\x18",
        "compressed by lz4",
        "decompress",
        "lz4 -dc FILE",
    ),
    piped(b"LZIP", "compressed by lzip", "decompress", "lzip -dc FILE"),
    piped(
        b"\x5d\0\0",
        "compressed by lzma",
        "decompress",
        "unlzma -c FILE",
    ),
    piped(
        b"\x1f\x9d",
        "compressed by compress",
        "decompress",
        "zcat FILE",
    ),
    wrapping(0, b"PK\x03\x04", ZIP),
    wrapping(0, b"PK\x05\x06", ZIP),
    wrapping(
        0,
        b"7z\xbc\xaf\x27\x1c",
        "a 7z file; unpack it first: 7z x FILE",
    ),
    wrapping(0, b"Rar!\x1a\x07", "a rar file; unpack it first"),
    wrapping(
        257,
        b"ustar",
        "a tar file: look into it with `tar -tf`; backups of Proxmox's containers are tar files, too",
    ),
    piped(
        b"age-encryption.org/",
        "encrypted with age",
        "decrypt",
        "age -d FILE",
    ),
    piped(
        b"-----BEGIN AGE",
        "encrypted with age",
        "decrypt",
        "age -d FILE",
    ),
    piped(
        b"-----BEGIN PGP",
        "encrypted or signed with PGP",
        "decrypt",
        "gpg -d FILE",
    ),
    gpg(b"\x8c\x0d\x04"),
    gpg(b"\x85\x01\x0c\x03"),
    gpg(b"\x85\x01\x8c\x03"),
    gpg(b"\x85\x02\x0c\x03"),
    gpg(b"\x84\x5e\x03"),
    wrapping(
        0,
        b"Salted__",
        "encrypted with openssl; decrypt it first: openssl enc -d",
    ),
    kind(
        0,
        b"VIX",
        "the index of an archive; the archive is beside it, without `.idx`",
    ),
    kind(0, b"\x2f\x7f\x41\xed\x91\xfd\x0f\xcd", PBS),
    kind(0, b"\x1c\x91\x4e\xa5\x19\xba\xb3\xcd", PBS),
    kind(0, b"\x42\xab\x38\x07\xbe\x83\x70\xa1", BLOB),
    kind(0, b"\x31\xb9\x58\x42\x6f\xb6\xa3\x7f", BLOB),
    kind(0, b"\x7b\x67\x85\xbe\x22\x2d\x4c\xf0", BLOB),
    kind(0, b"\xe6\x59\x1b\xbf\x0b\xbf\xd8\x0b", BLOB),
    advised(0, b"QFI\xfb", "a qcow2 disk image", Advice::Archive),
    advised(0, b"KDMV", IMAGE, Advice::ConvertAndArchive),
    advised(
        0,
        b"# Disk DescriptorFile",
        IMAGE,
        Advice::ConvertAndArchive,
    ),
    advised(64, b"\x7f\x10\xda\xbe", IMAGE, Advice::ConvertAndArchive),
    advised(0, b"vhdxfile", IMAGE, Advice::ConvertAndArchive),
    advised(0, b"conectix", IMAGE, Advice::ConvertAndArchive),
    advised(
        0,
        b"LUKS\xba\xbe",
        "an encrypted disk (LUKS)",
        Advice::Archive,
    ),
    kind(0, b"hsqs", "a squashfs image"),
    kind(0, b"\x7fELF", "a program"),
    advised(512, b"EFI PART", PARTITIONS, Advice::Archive),
    advised(510, b"\x55\xaa", PARTITIONS, Advice::Archive),
];

/// The error for an input that begins with `start` and not as an archive does.
pub(crate) fn not_vma(start: &[u8]) -> Error {
    let Some(kind) = recognised(start) else {
        return Error::new(ErrorKind::NotVma, "not a vma file - wrong magic number").at(0);
    };
    let detail = format!("not a vma file: this is {}", kind.what);
    let error = match kind.wraps {
        true => ErrorKind::Wrapped,
        false => ErrorKind::Foreign,
    };
    let error = Error::new(error, detail).at(0);
    match kind.advice {
        Some(advice) => error.advise(advice),
        None => error,
    }
}

fn recognised(start: &[u8]) -> Option<Kind> {
    let unmarked = |what| kind(0, b"", what);
    if start.is_empty() {
        return Some(unmarked(
            "empty; look for what ended the copy or the download",
        ));
    }
    let begins = |kind: &Kind| {
        let rest = start.get(kind.at..);
        rest.is_some_and(|rest| rest.starts_with(kind.mark))
    };
    let marked = KINDS.into_iter().find(begins);
    marked.or_else(|| text(start).map(unmarked))
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
            (b"BZh91AY&SY", "bzip2"),
            (b"\xfd7zXZ\0\0\x04", "xz"),
            (b"PK\x03\x04\x14", "unzip"),
            (&tar, "tar -tf"),
            (&vdi.concat(), "disk image"),
            (b"QFI\xfb\0\0\0\x03", "qcow2"),
            (b"\n <!DOCTYPE HTML><title>404", "failed download"),
            (b"\xef\xbb\xbf<html>", "failed download"),
            (b"\xef\xbb\xbfVMA\0\0\0\0\x01", "byte order mark"),
            (b"\x8c\x0d\x04\x09\x03\x08", "PGP"),
            (b"INFO: starting backup\n", "log"),
            (b"\x2f\x7f\x41\xed\x91\xfd\x0f\xcd", "Proxmox Backup Server"),
            (b"VIX1\0\0", "index"),
            (&disk, "raw image"),
        ] {
            let error = not_vma(start);
            let wraps = ["bzip2", "xz", "unzip", "tar -tf", "PGP"].contains(&what);
            let kind = [ErrorKind::Foreign, ErrorKind::Wrapped][usize::from(wraps)];
            assert_eq!(error.kind(), kind, "{start:?}");
            assert!(error.to_string().contains(what), "{error}");
        }
    }

    #[test]
    fn the_next_step_is_data() {
        let advice = |start: &[u8]| not_vma(start).advice();
        let command = "bunzip2 -c FILE";
        let what = "decompress";
        assert_eq!(advice(b"BZh9"), Some(Advice::Pipe { what, command }));
        assert_eq!(advice(b"QFI\xfb\0\0\0\x03"), Some(Advice::Archive));
        assert_eq!(advice(b"KDMV"), Some(Advice::ConvertAndArchive));
        assert_eq!(advice(b"VMA?"), None);
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
