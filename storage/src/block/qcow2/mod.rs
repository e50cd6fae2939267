//! qcow2 images, read and written by the `imago` crate behind a header check of our own.
//!
//! The check is ours because imago 0.2 opens encrypted images as if they were plain, and because
//! opening for writing makes QEMU discard the persistent dirty bitmaps of an image.

mod header;

#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use imago::file::File as ImageFile;
use imago::format::Format;
use imago::format::gate::ImplicitOpenGate;
use imago::qcow2::Qcow2 as Driver;
use imago::{
    DenyImplicitOpenGate, FormatAccess, FormatCreateBuilder, FormatDriverBuilder, Mapping, Storage,
    StorageOpenOptions,
};

pub use header::Qcow2Header;

use super::raw::new_file;
use super::{
    Access, BlockStatus, Discard, Error, ErrorKind, Extent, Geometry, Operation, RawFile, ReadAt,
    Result, Status, WriteAt, check_range,
};

/// A qcow2 image.
pub struct Qcow2 {
    image: FormatAccess<ImageFile>,
    path: PathBuf,
    access: Access,
    cluster_size: u64,
}

/// Whether an image may name other files that are then opened too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no third way")]
pub enum Backing {
    /// Refuse images with a backing file: who wrote the image may have named any file.
    Deny,
    /// Open the chain of backing files, for images whose origin is trusted.
    Follow,
}

/// How many images may lie below one another, to end on chains that bite their tail.
const MAX_CHAIN: usize = 64;

impl Qcow2 {
    /// Open an image for reading, without changing a byte of it.
    ///
    /// # Errors
    ///
    /// If it is not a qcow2 image, is encrypted or damaged, needs a feature that is not supported,
    /// or has a backing file and `backing` denies it.
    pub fn open(path: &Path, backing: Backing) -> Result<Self> {
        let header = read_header(path).map_err(|error| error.on(path))?;
        if header.has_backing_file && backing == Backing::Deny {
            return Err(Error::new(ErrorKind::Denied, Operation::Open)
                .on(path)
                .because("the image has a backing file, which is only opened when asked for"));
        }
        let builder = Driver::<ImageFile>::builder(image_file(path, Access::ReadOnly)?);
        let image = match backing {
            Backing::Deny => builder.open(DenyImplicitOpenGate::default()),
            Backing::Follow => builder.open(ChainGate {
                remaining: MAX_CHAIN,
            }),
        };
        let image = image.map_err(|error| failed(path, error))?;
        Ok(Self::new(path, image, Access::ReadOnly, header))
    }

    /// Open an image for reading and writing, as the disk of a guest or the target of a restore.
    ///
    /// # Errors
    ///
    /// As for [`Qcow2::open`]; also if writing would lose something: internal snapshots, or
    /// persistent bitmaps and other features that a foreign writer has to clear.
    pub fn open_writable(path: &Path) -> Result<Self> {
        let header = read_header(path).map_err(|error| error.on(path))?;
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
        let image = Driver::<ImageFile>::builder(image_file(path, Access::ReadWrite)?)
            .write(true)
            .open(DenyImplicitOpenGate::default())
            .map_err(|error| failed(path, error))?;
        Ok(Self::new(path, image, Access::ReadWrite, header))
    }

    /// Create an empty image for a disk of `size` bytes, which only its owner can read; there must be
    /// nothing at `path` yet.
    ///
    /// # Errors
    ///
    /// If it exists already or cannot be written; no half-made image stays behind.
    pub fn create(path: &Path, size: u64) -> Result<Self> {
        let error = |error| Error::from_io(Operation::Create, error).on(path);
        let file = new_file(path).and_then(|file| {
            let options = StorageOpenOptions::new().filename(path).write(true);
            ImageFile::from_open_file(file, options)
        });
        let file = file.map_err(error)?;
        if let Err(cause) = Driver::<ImageFile>::create_builder(file)
            .size(size)
            .create()
        {
            // Without a header the file is of no use to anyone.
            let _ = std::fs::remove_file(path);
            return Err(error(cause));
        }
        Self::open_writable(path)
    }

    fn new(path: &Path, image: Driver<ImageFile>, access: Access, header: Qcow2Header) -> Self {
        let image = FormatAccess::new(image);
        Self {
            image,
            path: path.to_owned(),
            access,
            cluster_size: header.cluster_size,
        }
    }

    fn check_writable(&self, operation: Operation) -> Result<()> {
        match self.access {
            Access::ReadWrite => Ok(()),
            Access::ReadOnly => Err(Error::new(ErrorKind::ReadOnly, operation).on(&self.path)),
        }
    }

    fn error(&self, operation: Operation, offset: u64, error: io::Error) -> Error {
        Error::from_io(operation, error).on(&self.path).at(offset)
    }
}

impl Geometry for Qcow2 {
    fn size(&self) -> u64 {
        self.image.size()
    }

    fn alignment(&self) -> u64 {
        self.cluster_size
    }
}

impl ReadAt for Qcow2 {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        check_range(Operation::Read, self.size(), offset, buf.len() as u64)?;
        self.image
            .read(buf, offset)
            .map_err(|error| self.error(Operation::Read, offset, error))
    }
}

impl BlockStatus for Qcow2 {
    fn block_status(&self, offset: u64, len: u64) -> Result<Extent> {
        check_range(Operation::Status, self.size(), offset, len)?;
        if len == 0 {
            return Ok(Extent {
                status: Status::Data,
                len,
            });
        }
        let (mapping, mapped) = self
            .image
            .get_mapping(offset, len)
            .map_err(|error| self.error(Operation::Status, offset, error))?;
        let status = match mapping {
            Mapping::Zero { .. } => Status::Zero,
            _ => Status::Data,
        };
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
        self.check_writable(Operation::Write)?;
        self.image
            .write(buf, offset)
            .map_err(|error| self.error(Operation::Write, offset, error))
    }

    fn write_zeroes(&self, offset: u64, len: u64) -> Result<()> {
        check_range(Operation::WriteZeroes, self.size(), offset, len)?;
        self.check_writable(Operation::WriteZeroes)?;
        self.image
            .write_zeroes(offset, len)
            .map_err(|error| self.error(Operation::WriteZeroes, offset, error))
    }

    fn flush(&self) -> Result<()> {
        if self.access == Access::ReadOnly {
            return Ok(());
        }
        let flushed = self.image.flush().and_then(|()| self.image.sync());
        flushed.map_err(|error| Error::from_io(Operation::Flush, error).on(&self.path))
    }
}

/// Does nothing: imago frees clusters only through exclusive access, which would stop all others.
impl Discard for Qcow2 {
    fn discard(&self, offset: u64, len: u64) -> Result<()> {
        check_range(Operation::Discard, self.size(), offset, len)?;
        self.check_writable(Operation::Discard)
    }
}

impl fmt::Debug for Qcow2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, access, .. } = self;
        f.debug_struct("Qcow2")
            .field("path", path)
            .field("access", access)
            .finish_non_exhaustive()
    }
}

/// Opens the images below, each behind the same header check, for reading only, to a limited depth.
struct ChainGate {
    remaining: usize,
}

impl ImplicitOpenGate<ImageFile> for ChainGate {
    fn open_format<F: FormatDriverBuilder<ImageFile>>(
        &mut self,
        builder: F,
    ) -> io::Result<FormatAccess<ImageFile>> {
        let remaining = self.remaining.checked_sub(1).ok_or_else(|| {
            io::Error::other(format!(
                "more than {MAX_CHAIN} images lie below one another"
            ))
        })?;
        match F::FORMAT {
            Format::Raw => {}
            Format::Qcow2 => {
                let path = builder.get_image_path().ok_or_else(|| {
                    io::Error::other("the header of an image without a name cannot be checked")
                })?;
                read_header(&path).map_err(io::Error::other)?;
            }
            _ => return Err(io::Error::other("only raw and qcow2 images may lie below")),
        }
        Ok(FormatAccess::new(
            builder.write(false).open(Self { remaining })?,
        ))
    }

    fn open_storage(&mut self, options: StorageOpenOptions) -> io::Result<ImageFile> {
        ImageFile::open(options.write(false))
    }
}

fn read_header(path: &Path) -> Result<Qcow2Header> {
    let mut bytes = Vec::with_capacity(header::HEADER_LEN);
    File::open(path)
        .and_then(|file| file.take(header::HEADER_LEN as u64).read_to_end(&mut bytes))
        .map_err(|error| Error::from_io(Operation::Open, error))?;
    Qcow2Header::parse(&bytes)
}

fn image_file(path: &Path, access: Access) -> Result<ImageFile> {
    // Refuses pipes and directories with a clear message before the driver gets to see them.
    RawFile::open(path, access)?;
    let options = StorageOpenOptions::new()
        .filename(path)
        .write(access == Access::ReadWrite);
    ImageFile::open(options).map_err(|error| failed(path, error))
}

fn failed(path: &Path, error: io::Error) -> Error {
    Error::from_io(Operation::Open, error).on(path)
}
