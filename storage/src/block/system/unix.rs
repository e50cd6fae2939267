//! What Unix does with files.

use std::ffi::OsString;
use std::fs::{File, FileType, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{FallocateFlags, OFlags, SeekFrom, copy_file_range, fallocate, fstatfs, seek};
use rustix::io::Errno;

/// A new file for a guest's data, which only its owner can read, whatever the umask allows.
pub(super) fn new_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600);
    options.open(path)
}

/// Opens what is at `path`, and waits for nobody: a FIFO is refused later, not held until it has another end.
pub(super) fn open_existing(path: &Path, write: bool) -> io::Result<File> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits();
    OpenOptions::new()
        .read(true)
        .write(write)
        .custom_flags(i32::try_from(flags).unwrap_or_default())
        .open(path)
}

pub(super) fn is_block_device(kind: FileType) -> bool {
    kind.is_block_device()
}

/// The size of a file or block device; that in the metadata of a block device is 0.
pub(super) fn size(file: &File) -> io::Result<u64> {
    Ok(seek(file, SeekFrom::End(0))?)
}

pub(super) fn read_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    file.read_at(buf, offset)
}

pub(super) fn read_exact_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<()> {
    file.read_exact_at(buf, offset)
}

pub(super) fn write_all_at(file: &File, buf: &[u8], offset: u64) -> io::Result<()> {
    file.write_all_at(buf, offset)
}

/// Where data begins at or after `offset`; `u64::MAX` if there is no more.
pub(super) fn next_data(file: &File, offset: u64) -> io::Result<u64> {
    next(file, SeekFrom::Data(offset))
}

/// Where a hole begins at or after `offset`.
pub(super) fn next_hole(file: &File, offset: u64) -> io::Result<u64> {
    next(file, SeekFrom::Hole(offset))
}

fn next(file: &File, what: SeekFrom) -> io::Result<u64> {
    match seek(file, what) {
        Ok(position) => Ok(position),
        Err(Errno::NXIO) => Ok(u64::MAX),
        Err(error) => Err(error.into()),
    }
}

/// Whether holes that the file system reports are really zero. OpenZFS has reported holes where
/// data was still being written (openzfs/zfs issues 11900, 15526, 15933), so there everything is
/// read.
pub(super) fn reports_holes_truly(file: &File) -> bool {
    /// `ZFS_SUPER_MAGIC` of OpenZFS.
    const ZFS: i128 = 0x2fc1_2fc1;
    fstatfs(file).is_ok_and(|stat| i128::from(stat.f_type) != ZFS)
}

/// Makes a hole of a range. False if there is no such way here.
pub(super) fn punch(file: &File, offset: u64, len: u64) -> io::Result<bool> {
    is_done(file, FallocateFlags::PUNCH_HOLE, offset, len)
}

/// Zeroes a range in the file system or the device, without a hole. False if there is no such way here.
pub(super) fn zero(file: &File, offset: u64, len: u64) -> io::Result<bool> {
    is_done(file, FallocateFlags::ZERO_RANGE, offset, len)
}

fn is_done(file: &File, way: FallocateFlags, offset: u64, len: u64) -> io::Result<bool> {
    match fallocate(file, way | FallocateFlags::KEEP_SIZE, offset, len) {
        Ok(()) => Ok(true),
        Err(error) if is_refusal(error) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether the call does not exist here, as opposed to having failed. `EINVAL` is what block devices
/// say to ranges that are not aligned to their sectors.
fn is_refusal(error: Errno) -> bool {
    matches!(
        error,
        Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::NODEV
    )
}

/// Shares the blocks of a range where the kernel can, and lets it copy them else. False if not all of it could be.
pub(super) fn share(from: &File, mut place: u64, to: &File, mut offset: u64, len: u64) -> bool {
    let end = offset.saturating_add(len);
    while offset < end {
        let left = usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX);
        match copy_file_range(from, Some(&mut place), to, Some(&mut offset), left) {
            Ok(0) => return false,
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return false,
        }
    }
    true
}

/// A file's name as an image has it.
pub(super) fn name(bytes: &[u8]) -> OsString {
    OsString::from_vec(bytes.to_vec())
}
