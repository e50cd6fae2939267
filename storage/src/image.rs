//! Image files: made with an exact size, measured, grown.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind as IoKind, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use fleece_staged_file::sync_directory_of;
use imago::format::PreallocateMode;
use imago::format::builder::{FormatCreateBuilder, FormatDriverBuilder};
use imago::format::drivers::FormatDriverInstance;
use imago::qcow2::{Qcow2, Qcow2CreateBuilder};
use imago::{DenyImplicitOpenGate, FormatAccess};

use crate::block::Qcow2Header;
use crate::error::{Error, ErrorKind};
use crate::name::VolumeFormat;

type ImagoFile = imago::file::File;
type ImagoQcow2 = Qcow2<ImagoFile, FormatAccess<ImagoFile>>;

/// Makes a new image that takes next to no room. Never touches what is there already.
pub(crate) fn create(path: &Path, format: VolumeFormat, size: u64) -> Result<(), Error> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o640);
    let file = options.open(path).map_err(|source| match source.kind() {
        IoKind::AlreadyExists => Error::new(
            ErrorKind::AlreadyExists,
            path.display(),
            "a volume of this name exists already",
        ),
        _ => Error::io("create the volume", path, source),
    })?;
    let made = match format {
        VolumeFormat::Raw => file.set_len(size),
        VolumeFormat::Qcow2 => create_qcow2(file, size),
    };
    // What a guest's configuration will name is still there after a power failure.
    made.and_then(|()| sync_directory_of(path))
        .map_err(|source| {
            // The first error counts; the file is ours, made a moment ago.
            let _ = std::fs::remove_file(path);
            Error::io("make the new volume", path, source)
        })
}

/// The size that a guest sees, in bytes.
pub(crate) fn size(path: &Path, format: VolumeFormat) -> Result<u64, Error> {
    let io = |source| Error::io("read the size of the volume", path, source);
    let mut file = File::open(path).map_err(io)?;
    match format {
        VolumeFormat::Raw => file.seek(SeekFrom::End(0)).map_err(io),
        VolumeFormat::Qcow2 => Ok(header(path, &file)?.size),
    }
}

/// Grows an image.
pub(crate) fn grow(path: &Path, format: VolumeFormat, new_size: u64) -> Result<(), Error> {
    let old_size = size(path, format)?;
    if new_size < old_size {
        return Err(Error::not_shrunk(path.display(), old_size, new_size));
    }
    if new_size == old_size {
        return Ok(());
    }
    let io = |source| Error::io("grow the volume", path, source);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(io)?;
    // Growing in place is for plain images; others hold what would not grow with them.
    if format == VolumeFormat::Qcow2 && !header(path, &file)?.is_plain() {
        let message =
            "the image has a backing file, encryption, snapshots or bitmaps: use 'qemu-img resize'";
        return Err(Error::new(ErrorKind::Unsupported, path.display(), message));
    }
    match format {
        VolumeFormat::Raw => file.set_len(new_size).map_err(io),
        VolumeFormat::Qcow2 => grow_qcow2(file, new_size).map_err(io),
    }
}

fn create_qcow2(file: File, size: u64) -> std::io::Result<()> {
    let file = ImagoFile::try_from(file)?;
    Qcow2CreateBuilder::<_, FormatAccess<_>>::new(file)
        .size(size)
        .create()
}

fn grow_qcow2(file: File, size: u64) -> std::io::Result<()> {
    let file = ImagoFile::try_from(file)?;
    let image: ImagoQcow2 = Qcow2::builder(file)
        .backing(None)
        .write(true)
        .open(DenyImplicitOpenGate::default())?;
    image.resize_grow(size, PreallocateMode::None)?;
    image.flush()
}

/// The header of a qcow2 image, also of one that only QEMU can read.
fn header(path: &Path, file: &File) -> Result<Qcow2Header, Error> {
    Qcow2Header::read(file).map_err(|error| {
        let message = "not a qcow2 image";
        Error::new(ErrorKind::InvalidData, path.display(), message).caused_by(error)
    })
}
