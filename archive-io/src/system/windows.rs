//! What Windows says of files.

use std::fs::File;
use std::io;
use std::os::windows::fs::FileExt as _;
use std::os::windows::io::AsHandle as _;
use std::path::Path;

/// Standard input, without a buffer.
pub(crate) fn stdin() -> io::Result<File> {
    Ok(io::stdin().as_handle().try_clone_to_owned()?.into())
}

/// Opens a file.
pub(crate) fn without_waiting(path: &Path) -> io::Result<File> {
    // What opening a directory says there, access being denied, tells nobody what is wrong.
    if path.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    File::open(path)
}

/// There are no modes.
pub(crate) fn mode(_file: &File) -> Option<u32> {
    None
}

/// There is no way.
pub(crate) fn forget_cached(_file: &File) {}

/// Reads, whatever others do with the file's position.
pub(crate) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    file.seek_read(buffer, offset)
}

/// Writes all of `data`, wherever the file's position is.
pub(crate) fn write_all_at(file: &File, mut data: &[u8], mut offset: u64) -> io::Result<()> {
    while !data.is_empty() {
        match file.seek_write(data, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                offset = offset.saturating_add(count as u64);
                data = data.get(count..).unwrap_or_default();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
