//! What Windows does with files. Holes are neither found nor made there.

use std::ffi::OsString;
use std::fs::{File, FileType, OpenOptions};
use std::io;
use std::os::windows::fs::FileExt as _;
use std::path::Path;

/// A new file.
pub(super) fn new_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).open(path)
}

/// Opens what is at `path`.
pub(super) fn open_existing(path: &Path, write: bool) -> io::Result<File> {
    OpenOptions::new().read(true).write(write).open(path)
}

/// Devices are no files there.
pub(super) fn is_block_device(_kind: FileType) -> bool {
    false
}

/// The size of a file.
pub(super) fn size(file: &File) -> io::Result<u64> {
    Ok(file.metadata()?.len())
}

pub(super) fn read_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    file.seek_read(buf, offset)
}

pub(super) fn read_exact_at(file: &File, mut buf: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buf.is_empty() {
        match file.seek_read(buf, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                buf = buf.get_mut(read..).unwrap_or_default();
                offset = offset.saturating_add(read as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

pub(super) fn write_all_at(file: &File, mut buf: &[u8], mut offset: u64) -> io::Result<()> {
    while !buf.is_empty() {
        match file.seek_write(buf, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                buf = buf.get(written..).unwrap_or_default();
                offset = offset.saturating_add(written as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// All is data.
pub(super) fn next_data(_file: &File, offset: u64) -> io::Result<u64> {
    Ok(offset)
}

/// There are none.
pub(super) fn next_hole(_file: &File, _offset: u64) -> io::Result<u64> {
    Ok(u64::MAX)
}

/// None are.
pub(super) fn reports_holes_truly(_file: &File) -> bool {
    false
}

/// There is no way that is used.
pub(super) fn punch(_file: &File, _offset: u64, _len: u64) -> io::Result<bool> {
    Ok(false)
}

/// There is no way that is used.
pub(super) fn zero(_file: &File, _offset: u64, _len: u64) -> io::Result<bool> {
    Ok(false)
}

/// No blocks are shared.
pub(super) fn share(_from: &File, _place: u64, _to: &File, _offset: u64, _len: u64) -> bool {
    false
}

/// A file's name as an image has it: QEMU writes UTF-8.
pub(super) fn name(bytes: &[u8]) -> OsString {
    String::from_utf8_lossy(bytes).into_owned().into()
}
