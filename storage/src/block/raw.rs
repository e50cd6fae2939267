//! Raw images and block devices.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{OFlags, SeekFrom, copy_file_range, fstatfs, seek};
use rustix::io::Errno;

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

/// A new file for a guest's data, which only its owner can read, whatever the umask allows.
pub(super) fn new_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600);
    options.open(path)
}

/// Opens what is at `path`, and waits for nobody: a FIFO is refused later, not held until it has another end.
pub(super) fn open_existing(path: &Path, access: Access) -> io::Result<File> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits();
    OpenOptions::new()
        .read(true)
        .write(access == Access::ReadWrite)
        .custom_flags(i32::try_from(flags).unwrap_or_default())
        .open(path)
}

impl RawFile {
    /// Open an existing image or block device.
    ///
    /// # Errors
    ///
    /// If it cannot be opened so, or is neither a regular file nor a block device.
    pub fn open(path: &Path, access: Access) -> Result<Self> {
        open_existing(path, access)
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
        let file = new_file(path).map_err(failed)?;
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
        if !kind.is_file() && !kind.is_block_device() {
            return Err(Error::new(ErrorKind::Unsupported, Operation::Open)
                .on(path)
                .because("neither a regular file nor a block device"));
        }
        // The length in the metadata of a block device is 0.
        let size = seek(&file, SeekFrom::End(0)).map_err(|error| failed(error.into()))?;
        let holes = kind.is_file() && reports_holes_truly(&file);
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
        self.file
            .read_exact_at(buf, offset)
            .map_err(self.failed(Operation::Read, offset))
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
        let failed = |error: Errno| self.failed(Operation::Status, offset)(error.into());
        // What begins at or after `offset`; behind it there may be no more data.
        let next = |what| match seek(&self.file, what) {
            Ok(position) => Ok(position),
            Err(Errno::NXIO) => Ok(u64::MAX),
            Err(error) => Err(failed(error)),
        };
        let length_to = |end: u64| end.saturating_sub(offset).min(len);
        let extent = |status, len| Extent { status, len };
        if self.data_at.load(Ordering::Relaxed) == offset {
            let len = length_to(next(SeekFrom::Hole(offset))?);
            if len > 0 {
                return Ok(extent(Status::Data, len));
            }
        }
        let data = next(SeekFrom::Data(offset))?;
        self.data_at.store(data, Ordering::Relaxed);
        if data > offset {
            return Ok(extent(Status::Zero, length_to(data)));
        }
        let len = length_to(next(SeekFrom::Hole(offset))?);
        // A hole where there was data a moment ago: somebody punched it meanwhile.
        Ok(extent(Status::Data, len.max(1)))
    }
}

impl WriteAt for RawFile {
    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        check_range(Operation::Write, self.size, offset, buf.len() as u64)?;
        self.check_writable(Operation::Write)?;
        self.file
            .write_all_at(buf, offset)
            .map_err(self.failed(Operation::Write, offset))
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
        let (mut from, mut to) = (place, offset);
        let end = offset.saturating_add(len);
        // The kernel shares where it can, and copies else.
        while to < end {
            let left = usize::try_from(end.saturating_sub(to)).unwrap_or(usize::MAX);
            match copy_file_range(file, Some(&mut from), &self.file, Some(&mut to), left) {
                Ok(0) => return Ok(false),
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return Ok(false),
            }
        }
        Ok(true)
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

/// Whether holes that the file system reports are really zero. OpenZFS has reported holes where
/// data was still being written (openzfs/zfs issues 11900, 15526, 15933), so there everything is
/// read.
fn reports_holes_truly(file: &File) -> bool {
    /// `ZFS_SUPER_MAGIC` of OpenZFS.
    const ZFS: i128 = 0x2fc1_2fc1;
    fstatfs(file).is_ok_and(|stat| i128::from(stat.f_type) != ZFS)
}
