//! Raw images and block devices.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::system;
use super::zero::{discard_range, zero_range, zero_range_allocated};
use super::{
    BlockStatus, Discard, Error, ErrorKind, Extent, Geometry, Operation, ReadAt, Result, Status,
    WriteAt, check_range,
};

/// How a device is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no third way")]
pub enum Access {
    /// For reading; writing fails with [`ErrorKind::ReadOnly`].
    ReadOnly,
    /// For reading and writing.
    ReadWrite,
}

/// A raw image in a regular file, or a block device.
#[derive(Debug)]
pub struct RawFile {
    file: File,
    path: PathBuf,
    size: u64,
    access: Access,
    /// Whether SEEK_HOLE can be asked and believed.
    holes: bool,
    /// Where the hole ended that was seen last: there is data, unless somebody has made it a hole since.
    data_at: AtomicU64,
}

impl RawFile {
    /// Open an existing image or block device.
    ///
    /// # Errors
    ///
    /// If it cannot be opened so, or is neither a regular file nor a block device.
    pub fn open(path: &Path, access: Access) -> Result<Self> {
        system::open_existing(path, access == Access::ReadWrite)
            .map_err(|error| Error::from_io(Operation::Open, error).on(path))
            .and_then(|file| Self::from_file(file, path, access))
    }

    /// Create a sparse image of `size` bytes that only its owner can read; there must be nothing at `path`
    /// yet.
    ///
    /// # Errors
    ///
    /// If it exists already or cannot be created; a file that could not get its size is removed.
    pub fn create(path: &Path, size: u64) -> Result<Self> {
        let failed = |error| Error::from_io(Operation::Create, error).on(path);
        let file = system::new_file(path).map_err(failed)?;
        if let Err(error) = file.set_len(size) {
            // The size is what failed; that the empty file stays too would hide it.
            let _ = std::fs::remove_file(path);
            return Err(failed(error));
        }
        Self::from_file(file, path, Access::ReadWrite)
    }

    /// Use an open file, which must have been opened for `access`. `path` only names it in errors.
    ///
    /// # Errors
    ///
    /// If it is neither a regular file nor a block device.
    pub fn from_file(file: File, path: &Path, access: Access) -> Result<Self> {
        let failed = |error| Error::from_io(Operation::Open, error).on(path);
        let kind = file.metadata().map_err(failed)?.file_type();
        if !kind.is_file() && !system::is_block_device(kind) {
            return Err(Error::new(ErrorKind::Unsupported, Operation::Open)
                .on(path)
                .because("neither a regular file nor a block device"));
        }
        let size = system::size(&file).map_err(failed)?;
        let holes = kind.is_file() && system::reports_holes_truly(&file);
        Ok(Self {
            file,
            path: path.to_owned(),
            size,
            access,
            holes,
            data_at: AtomicU64::new(u64::MAX),
        })
    }

    /// Where it was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn check_writable(&self, operation: Operation) -> Result<()> {
        match self.access {
            Access::ReadWrite => Ok(()),
            Access::ReadOnly => Err(Error::new(ErrorKind::ReadOnly, operation).on(&self.path)),
        }
    }

    fn failed(&self, operation: Operation, offset: u64) -> impl Fn(io::Error) -> Error {
        move |error| Error::from_io(operation, error).on(&self.path).at(offset)
    }
}

impl Geometry for RawFile {
    fn size(&self) -> u64 {
        self.size
    }

    /// 4096: what file systems allocate in and most disks write in.
    fn alignment(&self) -> u64 {
        4096
    }
}

impl ReadAt for RawFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        check_range(Operation::Read, self.size, offset, buf.len() as u64)?;
        system::read_exact_at(&self.file, buf, offset).map_err(self.failed(Operation::Read, offset))
    }
}

impl BlockStatus for RawFile {
    fn block_status(&self, offset: u64, len: u64) -> Result<Extent> {
        check_range(Operation::Status, self.size, offset, len)?;
        if !self.holes || len == 0 {
            return Ok(Extent {
                status: Status::Data,
                len,
            });
        }
        let failed = self.failed(Operation::Status, offset);
        let length_to = |end: u64| end.saturating_sub(offset).min(len);
        let extent = |status, len| Extent { status, len };
        if self.data_at.load(Ordering::Relaxed) == offset {
            let len = length_to(system::next_hole(&self.file, offset).map_err(&failed)?);
            if len > 0 {
                return Ok(extent(Status::Data, len));
            }
        }
        let data = system::next_data(&self.file, offset).map_err(&failed)?;
        self.data_at.store(data, Ordering::Relaxed);
        if data > offset {
            return Ok(extent(Status::Zero, length_to(data)));
        }
        let len = length_to(system::next_hole(&self.file, offset).map_err(&failed)?);
        // A hole where there was data a moment ago: somebody punched it meanwhile.
        Ok(extent(Status::Data, len.max(1)))
    }
}

impl WriteAt for RawFile {
    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        check_range(Operation::Write, self.size, offset, buf.len() as u64)?;
        self.check_writable(Operation::Write)?;
        system::write_all_at(&self.file, buf, offset).map_err(self.failed(Operation::Write, offset))
    }

    fn write_zeroes(&self, offset: u64, len: u64) -> Result<()> {
        check_range(Operation::WriteZeroes, self.size, offset, len)?;
        self.check_writable(Operation::WriteZeroes)?;
        if len == 0 {
            return Ok(());
        }
        zero_range(&self.file, offset, len).map_err(self.failed(Operation::WriteZeroes, offset))
    }

    fn write_zeroes_allocated(&self, offset: u64, len: u64) -> Result<()> {
        check_range(Operation::WriteZeroes, self.size, offset, len)?;
        self.check_writable(Operation::WriteZeroes)?;
        if len == 0 {
            return Ok(());
        }
        zero_range_allocated(&self.file, offset, len)
            .map_err(self.failed(Operation::WriteZeroes, offset))
    }

    fn share_from(&self, file: &File, place: u64, offset: u64, len: u64) -> Result<bool> {
        check_range(Operation::Write, self.size, offset, len)?;
        self.check_writable(Operation::Write)?;
        Ok(system::share(file, place, &self.file, offset, len))
    }

    fn flush(&self) -> Result<()> {
        let failed = |error| Error::from_io(Operation::Flush, error).on(&self.path);
        self.file.sync_data().map_err(failed)
    }
}

impl Discard for RawFile {
    fn discard(&self, offset: u64, len: u64) -> Result<()> {
        check_range(Operation::Discard, self.size, offset, len)?;
        self.check_writable(Operation::Discard)?;
        if len == 0 {
            return Ok(());
        }
        discard_range(&self.file, offset, len).map_err(self.failed(Operation::Discard, offset))
    }
}
