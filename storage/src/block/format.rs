//! Formats of image files, told by their first bytes.
//!
//! Never to choose how an image is read: what is in a raw image is the guest's, and may look like anything. Only to
//! notice that a file which is taken for raw is probably not.

use std::fmt;

/// Bytes at the start, or at the end, that are enough to tell.
pub(super) const FORMAT_BYTES: usize = 512;

/// Where a mark stands, the mark, and whose it is.
type Mark = (usize, &'static [u8], &'static str);

/// Formats of images: the headers of QEMU's `docs/interop/qcow2.txt` and `qed_spec.txt`, VMware's "Virtual Disk Format
/// 5.0", Microsoft's MS-VHDX and VHD specifications, and VirtualBox's, Parallels' and Bochs' images.
const IMAGES: [Mark; 11] = [
    (0, b"QFI\xfb", "qcow2"),
    (0, b"QED\0", "QED"),
    (0, b"KDMV", "VMDK"),
    (0, b"COWD", "VMDK"),
    (0, b"# Disk DescriptorFile", "VMDK"),
    (64, b"\x7f\x10\xda\xbe", "VDI"),
    (0, b"vhdxfile", "VHDX"),
    (0, b"conectix", "VHD"),
    (0, b"WithoutFreeSpace", "Parallels"),
    (0, b"WithouFreSpacExt", "Parallels"),
    (0, b"Bochs Virtual HD Image", "Bochs"),
];

/// The same in the last sector, behind what is a disk's own bytes: a VHD of fixed size, as clouds have it, and a DMG.
const IMAGES_AT_END: [Mark; 2] = [(0, b"conectix", "VHD"), (0, b"koly", "DMG")];

/// What images are packed into when they are passed on.
const PACKED: [Mark; 10] = [
    (0, b"\x1f\x8b\x08", "gzip"),
    (4, b"1AY&SY", "bzip2"),
    (0, b"\xfd7zXZ\0", "xz"),
    (0, b"\x28\xb5\x2f\xfd", "zstd"),
    (0, b"\x04\x22\x4d\x18", "lz4"),
    (0, b"\x89LZO\0\r\n\x1a\n", "lzop"),
    (0, b"PK\x03\x04", "zip"),
    (0, b"7z\xbc\xaf\x27\x1c", "7z"),
    (257, b"ustar", "tar"),
    (0, b"VMA\0\0\0\0\x01", "VMA"),
];

/// What a file looks like that is taken for a raw image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Look {
    /// An image of another format.
    Image(&'static str),
    /// A file that an image may be packed into.
    Packed(&'static str),
}

impl Look {
    /// What a file of `size` bytes looks like, of which `read` fills a buffer from an offset; `None` if it looks as a
    /// disk may.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn of<E>(
        size: u64,
        read: impl Fn(&mut [u8], u64) -> Result<(), E>,
    ) -> Result<Option<Self>, E> {
        const BYTES: u64 = FORMAT_BYTES as u64;
        let mut bytes = [0; FORMAT_BYTES];
        let length = usize::try_from(size).unwrap_or(usize::MAX);
        let start = bytes
            .get_mut(..length.min(FORMAT_BYTES))
            .unwrap_or_default();
        read(start, 0)?;
        let found = image_format(start).map(Self::Image);
        let found = found.or_else(|| marked(&PACKED, start).map(Self::Packed));
        if found.is_some() || size <= BYTES || !size.is_multiple_of(BYTES) {
            return Ok(found);
        }
        read(&mut bytes, size.saturating_sub(BYTES))?;
        Ok(marked(&IMAGES_AT_END, &bytes).map(Self::Image))
    }
}

impl fmt::Display for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image(format) => write!(f, "a {format} image"),
            Self::Packed(format) => write!(f, "a {format} file"),
        }
    }
}

/// The format of an image that begins with these bytes; `None` if it begins as a disk may.
pub(super) fn image_format(start: &[u8]) -> Option<&'static str> {
    marked(&IMAGES, start)
}

fn marked(marks: &[Mark], bytes: &[u8]) -> Option<&'static str> {
    let begins = |(at, mark, _): &&Mark| {
        let rest = bytes.get(*at..);
        rest.is_some_and(|rest| rest.starts_with(mark))
    };
    marks.iter().find(begins).map(|(.., format)| *format)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(bytes: &[u8]) -> Option<Look> {
        let read = |buffer: &mut [u8], offset: u64| {
            let at = usize::try_from(offset).unwrap();
            buffer.copy_from_slice(&bytes[at..][..buffer.len()]);
            Ok::<_, ()>(())
        };
        Look::of(bytes.len() as u64, read).unwrap()
    }

    #[test]
    fn what_is_no_disk_is_noticed_at_its_start_and_at_its_end() {
        for (marks, look_of) in [
            (&IMAGES[..], Look::Image as fn(_) -> _),
            (&PACKED, Look::Packed),
        ] {
            for (at, mark, name) in marks {
                let mut bytes = vec![0; 2048];
                bytes[*at..][..mark.len()].copy_from_slice(mark);
                assert_eq!(look(&bytes), Some(look_of(name)));
                // As long as the mark, and cut.
                let end = at.saturating_add(mark.len());
                assert_eq!(look(&bytes[..end]), Some(look_of(name)));
                assert_eq!(look(&bytes[..end.saturating_sub(1)]), None);
            }
        }
        for (_, mark, name) in IMAGES_AT_END {
            let mut disk = vec![7; 1536];
            disk[1024..][..mark.len()].copy_from_slice(mark);
            assert_eq!(look(&disk), Some(Look::Image(name)));
            assert_eq!(look(&disk[1..]), None, "no whole sectors");
            assert_eq!(look(&[&disk[..], &[0; 512]].concat()), None);
        }
        for disk in [&b""[..], &[0; 4096], &[0xff; 513], b"\x1f\x8b"] {
            assert_eq!(look(disk), None);
        }
    }
}
