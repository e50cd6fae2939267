//! What becomes a file.

use std::io;

/// A disk of constant size, which can be read, and perhaps written, by many threads at once.
pub trait Disk: Send + Sync {
    /// Its size in bytes.
    fn size(&self) -> u64;

    /// How many bytes of it are stored: the rest are holes.
    fn stored(&self) -> u64;

    /// Fills `buffer` from `offset` on, all of it inside the disk.
    ///
    /// # Errors
    /// Whatever is below; the reader gets EIO.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// What there is at `offset`, and for how many of the next `length` bytes, at least one.
    ///
    /// # Errors
    /// Whatever is below.
    fn run_at(&self, offset: u64, length: u64) -> io::Result<Run>;

    /// Whether it can be written to.
    fn is_writable(&self) -> bool {
        false
    }

    /// Writes `data` at `offset`, all of it inside the disk.
    ///
    /// # Errors
    /// Kind [`io::ErrorKind::ReadOnlyFilesystem`] if it cannot be written to, or whatever is below.
    fn write_at(&self, _offset: u64, _data: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}

/// Bytes of a disk that are stored, or are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a pair that disks construct")]
pub struct Run {
    /// Whether they are stored; a hole reads as zeroes.
    pub data: bool,
    /// How many.
    pub length: u64,
}

/// Where data, or a hole, begins at or behind `offset`: what lseek(2) finds. The end of a disk is a hole. `None`: there is
/// no more data, or `offset` is behind the end.
pub(crate) fn seek(disk: &dyn Disk, offset: u64, data: bool) -> io::Result<Option<u64>> {
    let (size, mut at) = (disk.size(), offset);
    if offset >= size {
        return Ok(None);
    }
    while at < size {
        let run = disk.run_at(at, size.saturating_sub(at))?;
        if run.data == data {
            return Ok(Some(at));
        }
        at = at.saturating_add(run.length.max(1));
    }
    Ok((!data).then_some(size))
}
