//! Image files: made with an exact size, measured, grown.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind as IoKind, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use fleece_staged_file::sync_directory_of;
use imago::format::PreallocateMode;
use imago::format::builder::{FormatCreateBuilder, FormatDriverBuilder};
use imago::format::drivers::FormatDriverInstance;
use imago::qcow2::{Qcow2, Qcow2CreateBuilder};
use imago::{DenyImplicitOpenGate, FormatAccess};

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
        VolumeFormat::Qcow2 => Ok(Qcow2Header::read(path)?.size),
    }
}

/// Grows an image.
pub(crate) fn grow(path: &Path, format: VolumeFormat, new_size: u64) -> Result<(), Error> {
    let old_size = size(path, format)?;
    if new_size < old_size {
        let message = format!("a volume of {old_size} bytes is not shrunk to {new_size}");
        return Err(Error::new(ErrorKind::Unsupported, path.display(), message));
    }
    if new_size == old_size {
        return Ok(());
    }
    let io = |source| Error::io("grow the volume", path, source);
    if format == VolumeFormat::Qcow2 {
        Qcow2Header::read(path)?.check_growable(path)?;
    }
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(io)?;
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

/// The fields of a qcow2 header that we look at (QEMU's `docs/interop/qcow2.txt`).
#[derive(Debug)]
struct Qcow2Header {
    /// Bytes 8..16; zero if there is no backing file.
    backing_file_offset: u64,
    /// Bytes 24..32.
    size: u64,
    /// Bytes 32..36; zero if not encrypted.
    crypt_method: u32,
    /// Bytes 60..64.
    nb_snapshots: u32,
    /// Bytes 72..80 and 88..96: features that a writer must know, and those it must clear if it
    /// does not keep them right. Both zero in version 2.
    incompatible: u64,
    autoclear: u64,
}

impl Qcow2Header {
    fn read(path: &Path) -> Result<Self, Error> {
        let io = |source| Error::io("read the header of the volume", path, source);
        let mut bytes = Vec::with_capacity(104);
        File::open(path)
            .map_err(io)?
            .take(104)
            .read_to_end(&mut bytes)
            .map_err(io)?;
        Self::parse(&bytes).ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidData,
                path.display(),
                "this is no qcow2 image",
            )
        })
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let u32_at = |at: usize| {
            let field = bytes.get(at..)?.first_chunk()?;
            Some(u32::from_be_bytes(*field))
        };
        let u64_at = |at: usize| {
            let field = bytes.get(at..)?.first_chunk()?;
            Some(u64::from_be_bytes(*field))
        };
        if !bytes.starts_with(b"QFI\xfb") {
            return None;
        }
        let (incompatible, autoclear) = match u32_at(4)? {
            2 => (0, 0),
            3 => (u64_at(72)?, u64_at(88)?),
            _ => return None,
        };
        Some(Self {
            backing_file_offset: u64_at(8)?,
            size: u64_at(24)?,
            crypt_method: u32_at(32)?,
            nb_snapshots: u32_at(60)?,
            incompatible,
            autoclear,
        })
    }

    /// Growing in place is for plain images; others hold what would not grow with them.
    fn check_growable(&self, path: &Path) -> Result<(), Error> {
        let plain = self.backing_file_offset == 0
            && self.crypt_method == 0
            && self.nb_snapshots == 0
            && self.incompatible == 0
            && self.autoclear == 0;
        if plain {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Unsupported,
            path.display(),
            "the image has a backing file, encryption, snapshots or bitmaps: use 'qemu-img resize'",
        ))
    }
}
