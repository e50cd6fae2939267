//! qcow2 images: all that QEMU writes are read by a reader of our own; plain ones are written by the `imago` crate.
//!
//! imago 0.2 knows neither zstd nor extended L2 entries, refuses images with dirty refcounts, and opens encrypted
//! ones as if they were plain. Behind our header check it sees none of them.

mod budget;
mod chain;
mod compressed;
mod extensions;
mod features;
mod header;
mod image;
mod mapping;
mod reader;

#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use imago::file::File as ImageFile;
use imago::qcow2::Qcow2 as Driver;
use imago::{FormatCreateBuilder, Mapping, StorageOpenOptions};

pub use chain::Backing;
pub use header::Qcow2Header;

use super::system::{new_file, open_existing};
use super::{
    Access, BlockStatus, Discard, Error, ErrorKind, Extent, Geometry, Operation, RawFile, ReadAt,
    Result, Status, WriteAt, check_range,
};
use header::Head;
use image::{Image, Tables};
use reader::Reader;

/// A qcow2 image. Those that are only read have next to nothing in memory. All images of a process that are written share
/// a small memory for their tables, however many there are, but for those that are [opened for a
/// guest](Self::open_for_guest).
pub struct Qcow2(Engine);

enum Engine {
    Reader(Box<Reader>),
    Writer(Arc<Image>),
}

impl Qcow2 {
    /// Open an image for reading, without changing a byte of it.
    ///
    /// # Errors
    ///
    /// If it is not a qcow2 image, is encrypted, marked corrupt, or needs a feature that is not supported; or has a
    /// backing file or a data file, and `backing` denies it.
    pub fn open(path: &Path, backing: Backing) -> Result<Self> {
        let reader = Reader::open(path, backing)?;
        Ok(Self(Engine::Reader(Box::new(reader))))
    }

    /// Open an image for reading and writing, as the target of a restore.
    ///
    /// # Errors
    ///
    /// As for [`Qcow2::open`]; also if it has a feature that only the reader knows, or writing would lose something:
    /// internal snapshots, or persistent bitmaps and other features that a foreign writer has to clear.
    pub fn open_writable(path: &Path) -> Result<Self> {
        let (file, header) = open_file(path)?;
        Self::writable(file, path, header, Tables::Shared)
    }

    /// Open an image for reading and writing, as the disk of a running guest: it keeps its tables, whatever other
    /// images do, and no other's error is its own.
    ///
    /// # Errors
    ///
    /// As for [`Qcow2::open_writable`].
    pub fn open_for_guest(path: &Path) -> Result<Self> {
        let (file, header) = open_file(path)?;
        Self::writable(file, path, header, Tables::Own)
    }

    /// Create an empty image for a disk of `size` bytes, which only its owner can read; there must be
    /// nothing at `path` yet.
    ///
    /// # Errors
    ///
    /// If it exists already or cannot be written; no half-made image stays behind.
    pub fn create(path: &Path, size: u64) -> Result<Self> {
        let file = Self::make(path, size, None)?;
        let header = Qcow2Header::read(&file).map_err(|error| error.on(path))?;
        Self::writable(file, path, header, Tables::Shared)
    }

    /// Create an image of `size` bytes that has nothing of its own yet, over a backing file with raw contents: `backing`
    /// is what QEMU opens, a path or one of its `json:` names. Only QEMU can read it until that reference is gone.
    ///
    /// # Errors
    ///
    /// If it exists already or cannot be written; no half-made image stays behind.
    pub fn create_over(path: &Path, size: u64, backing: &str) -> Result<()> {
        let file = Self::make(path, size, Some(backing))?;
        file.sync_all()
            .map_err(|error| Error::from_io(Operation::Flush, error).on(path))
    }

    /// Whether the image at `path` has a backing file, also while QEMU writes to it.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or is no qcow2 image.
    pub fn has_backing_file(path: &Path) -> Result<bool> {
        let failed = |error| Error::from_io(Operation::Open, error).on(path);
        let file = open_existing(path, false).map_err(failed)?;
        let header = Qcow2Header::read(&file).map_err(|error| error.on(path))?;
        Ok(header.has_backing_file)
    }

    fn make(path: &Path, size: u64, backing: Option<&str>) -> Result<File> {
        let error = |error| Error::from_io(Operation::Create, error).on(path);
        let file = new_file(path).map_err(error)?;
        let options = StorageOpenOptions::new().filename(path).write(true);
        let made = file
            .try_clone()
            .and_then(|file| ImageFile::from_open_file(file, options))
            .and_then(|file| {
                let builder = Driver::<ImageFile>::create_builder(file).size(size);
                let builder = match backing {
                    Some(name) => builder.backing(name.to_owned(), "raw".to_owned()),
                    None => builder,
                };
                builder.create()
            });
        if let Err(cause) = made {
            // Without a header the file is of no use to anyone.
            let _ = std::fs::remove_file(path);
            return Err(error(cause));
        }
        Ok(file)
    }

    fn writable(file: File, path: &Path, header: Qcow2Header, tables: Tables) -> Result<Self> {
        header.check_writable().map_err(|error| error.on(path))?;
        let denied = |why: &str| {
            Err(Error::new(ErrorKind::Denied, Operation::Open)
                .on(path)
                .because(why))
        };
        if header.has_backing_file {
            return denied("an image with a backing file is only opened for reading");
        }
        if header.autoclear_features != 0 || header.snapshots != 0 {
            return denied("writing would harm its persistent bitmaps or internal snapshots");
        }
        let path = path.to_owned();
        let image = Image::open(file, path, header, tables)?;
        Ok(Self(Engine::Writer(image)))
    }

    fn writer(&self, operation: Operation) -> Result<&Image> {
        match &self.0 {
            Engine::Writer(image) => Ok(image),
            Engine::Reader(reader) => {
                Err(Error::new(ErrorKind::ReadOnly, operation).on(reader.path()))
            }
        }
    }
}

impl Geometry for Qcow2 {
    fn size(&self) -> u64 {
        match &self.0 {
            Engine::Reader(reader) => reader.size(),
            Engine::Writer(image) => image.header().size,
        }
    }

    fn alignment(&self) -> u64 {
        match &self.0 {
            Engine::Reader(reader) => reader.alignment(),
            Engine::Writer(image) => image.header().cluster_size,
        }
    }
}

impl ReadAt for Qcow2 {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let image = match &self.0 {
            Engine::Reader(reader) => return reader.read_at(buf, offset),
            Engine::Writer(image) => image,
        };
        check_range(Operation::Read, self.size(), offset, buf.len() as u64)?;
        image.with(Operation::Read, offset, buf.len() as u64, |driver| {
            driver.read(buf, offset)
        })
    }
}

impl BlockStatus for Qcow2 {
    fn block_status(&self, offset: u64, len: u64) -> Result<Extent> {
        let image = match &self.0 {
            Engine::Reader(reader) => return reader.block_status(offset, len),
            Engine::Writer(image) => image,
        };
        check_range(Operation::Status, self.size(), offset, len)?;
        if len == 0 {
            return Ok(Extent {
                status: Status::Data,
                len,
            });
        }
        // No more tables at once than needed.
        let len = len.min(image.reach());
        let (status, mapped) = image.with(Operation::Status, offset, len, |driver| {
            let (mapping, mapped) = driver.get_mapping(offset, len)?;
            let status = match mapping {
                Mapping::Zero { .. } => Status::Zero,
                _ => Status::Data,
            };
            Ok((status, mapped))
        })?;
        // An answer of no bytes would let callers loop for ever; one byte to be read never lies.
        match mapped.min(len) {
            0 => Ok(Extent {
                status: Status::Data,
                len: 1,
            }),
            len => Ok(Extent { status, len }),
        }
    }
}

impl WriteAt for Qcow2 {
    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        check_range(Operation::Write, self.size(), offset, buf.len() as u64)?;
        let image = self.writer(Operation::Write)?;
        image.with(Operation::Write, offset, buf.len() as u64, |driver| {
            driver.write(buf, offset)
        })
    }

    fn write_zeroes(&self, offset: u64, len: u64) -> Result<()> {
        check_range(Operation::WriteZeroes, self.size(), offset, len)?;
        let image = self.writer(Operation::WriteZeroes)?;
        image.with(Operation::WriteZeroes, offset, len, |driver| {
            driver.write_zeroes(offset, len)
        })
    }

    fn flush(&self) -> Result<()> {
        match &self.0 {
            Engine::Reader(_) => Ok(()),
            Engine::Writer(image) => image.sync(),
        }
    }
}

/// Does nothing: imago frees clusters only through exclusive access, which would stop all others.
impl Discard for Qcow2 {
    fn discard(&self, offset: u64, len: u64) -> Result<()> {
        check_range(Operation::Discard, self.size(), offset, len)?;
        self.writer(Operation::Discard).map(drop)
    }
}

impl fmt::Debug for Qcow2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, access) = match &self.0 {
            Engine::Reader(reader) => (reader.path(), Access::ReadOnly),
            Engine::Writer(image) => (image.path.as_path(), Access::ReadWrite),
        };
        f.debug_struct("Qcow2")
            .field("path", &path)
            .field("access", &access)
            .finish_non_exhaustive()
    }
}

fn open_file(path: &Path) -> Result<(File, Qcow2Header)> {
    let failed = |error| Error::from_io(Operation::Open, error).on(path);
    let file = open_existing(path, true).map_err(failed)?;
    // Refuses pipes and directories with a clear message before the driver gets to see them.
    RawFile::from_file(file.try_clone().map_err(failed)?, path, Access::ReadWrite)?;
    let head = Head::read(&file).map_err(|error| error.on(path))?;
    Ok((file, head.header))
}
