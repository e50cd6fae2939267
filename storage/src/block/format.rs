//! Formats of image files, told by their first bytes.
//!
//! Never to choose how an image is read: what is in a raw image is the guest's, and may look like anything. Only to
//! notice that a file which is taken for raw is probably not.

/// Bytes that are enough for [`image_format`].
pub const FORMAT_BYTES: usize = 512;

/// Where each mark stands, and whose it is: the headers of QEMU's `docs/interop/qcow2.txt` and `qed_spec.txt`, VMware's
/// "Virtual Disk Format 5.0", Microsoft's MS-VHDX and VHD specifications, and VirtualBox's and Parallels' images.
const MARKS: [(usize, &[u8], &str); 10] = [
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
];

/// The format of an image that begins with these bytes; `None` if it begins as a disk may.
#[must_use]
pub fn image_format(start: &[u8]) -> Option<&'static str> {
    let begins = |(at, mark, _): &&(usize, &[u8], &str)| {
        start.get(*at..).is_some_and(|rest| rest.starts_with(mark))
    };
    MARKS.iter().find(begins).map(|(.., format)| *format)
}
