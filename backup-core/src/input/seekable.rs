//! Seekable copies of archives that can only be read from front to back, such as a `.vma.zst` of one frame.
//!
//! zstd, gzip and lzop have no places inside a frame or stream from which they could be read on. So what is kept is the
//! archive itself, written again as independent frames with an index: about as large, and read at any offset.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use fleece_archive_io::Input;
use fleece_staged_file::{check_owned, create_directories};
use fleece_vma_format::container::FrameOptions;
use fleece_vma_format::{self as format, Compression, Header, Reader};
use rustix::fs::statvfs;
use rustix::process::geteuid;

use crate::job::cancel::CancelToken;
use crate::report::error::{Error, ErrorKind};
use crate::target::cache::Cache;
use crate::target::new::NewArchive;
use crate::target::place::FileTarget;
use crate::target::staged::FileOptions;

/// How the names of copies in a cache end.
const SUFFIX: &str = ".vma.zst";

/// Where a copy is kept.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_enums, reason = "there is no other place")]
pub enum CopyPlace {
    /// In a directory of copies. What was used longest ago makes room for new ones.
    Cache {
        /// The directory, for its owner only.
        directory: PathBuf,
        /// How many bytes all copies have at most.
        limit: u64,
    },
    /// In this file, which stays.
    File(PathBuf),
    /// In this file, for its owner only, until whoever reads it has no need of it any more.
    Meanwhile(PathBuf),
}

/// What making a copy costs.
#[derive(Debug)]
#[non_exhaustive]
pub struct CopyCost {
    /// Where it will be.
    pub path: PathBuf,
    /// How many bytes are read, and about how many are written.
    pub bytes: u64,
    /// How many bytes are free there.
    pub available: u64,
}

/// What there is in the place of a copy.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "a caller must handle each")]
pub enum FoundCopy {
    /// The copy.
    Copy(Input),
    /// Nothing, or what was there was no copy of this archive, and is removed: a warning then says so.
    None(Option<String>),
}

impl CopyPlace {
    /// Where a user's copies are if nobody says so: `fleece` in the directory for caches, if that is known.
    #[must_use]
    pub fn default_cache() -> Option<PathBuf> {
        let absolute = |name| {
            let path = std::env::var_os(name).map(PathBuf::from);
            path.filter(|path| path.is_absolute())
        };
        let caches = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
        Some(caches?.join("fleece"))
    }

    /// The copy of the archive in `input`, which has this header, if there is a sound one. It is not believed for its
    /// name: its header must be the archive's, and its index is checked by all that is read.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Target`] if others can write to the cache, or if there is something else in the file's place.
    pub fn find(
        &self,
        input: &Input,
        header: &Header,
        cancel: &CancelToken,
    ) -> Result<FoundCopy, Error> {
        let path = self.path(input, header)?;
        let nothing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        if let Self::Cache { directory, .. } = self {
            match check_owned(directory) {
                Err(error) if nothing(&error) => return Ok(FoundCopy::None(None)),
                checked => checked.map_err(|error| failed("cannot use", directory, error))?,
            }
        }
        let refused = match fs::symlink_metadata(&path) {
            Err(error) if nothing(&error) => return Ok(FoundCopy::None(None)),
            Err(error) => return Err(failed("cannot read", &path, error)),
            Ok(_) => match sound(&path, header, cancel) {
                Ok(copy) => return Ok(FoundCopy::Copy(copy)),
                Err(refused) => refused,
            },
        };
        match self {
            Self::File(_) => Err(failed("cannot use", &path, io::Error::other(refused))),
            Self::Cache { .. } | Self::Meanwhile(_) => {
                fs::remove_file(&path).map_err(|error| failed("cannot remove", &path, error))?;
                let what = format!("{} is removed: {refused}", path.display());
                Ok(FoundCopy::None(Some(what)))
            }
        }
    }

    /// What a copy costs, for which there is room. In a cache others are removed for it.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Target`] if there is no room, or the cache cannot be had.
    pub fn cost(&self, input: &Input, header: &Header) -> Result<CopyCost, Error> {
        let path = self.path(input, header)?;
        let bytes = input.size().unwrap_or_default();
        if let Self::Cache { directory, limit } = self {
            if input.encrypted_for().is_some() {
                let why = "a seekable copy of an encrypted archive would lie in the cache in clear";
                return Err(Error::new(ErrorKind::Request, why));
            }
            create_directories(directory, 0o700)
                .and_then(|_| check_owned(directory))
                .map_err(|error| failed("cannot use", directory, error))?;
            if bytes > *limit {
                let why =
                    format!("a seekable copy has about {bytes} bytes, and the cache holds {limit}");
                return Err(Error::new(ErrorKind::Target, why));
            }
            make_room(directory, limit.saturating_sub(bytes));
        }
        let directory = path.parent().filter(|path| !path.as_os_str().is_empty());
        let directory = directory.unwrap_or_else(|| Path::new("."));
        let room =
            statvfs(directory).map_err(|error| failed("cannot use", directory, error.into()))?;
        let available = room.f_bavail.saturating_mul(room.f_frsize);
        if bytes > available {
            let why = format!(
                "a seekable copy has about {bytes} bytes, and {} has room for {available}",
                directory.display()
            );
            return Err(Error::new(ErrorKind::Target, why));
        }
        Ok(CopyCost {
            path,
            bytes,
            available,
        })
    }

    /// Reads the archive in `input` and writes the copy, telling how many of its bytes are read.
    ///
    /// # Errors
    /// Those of reading the archive, and of the file.
    pub fn make(
        &self,
        input: &mut Input,
        cost: &CopyCost,
        read: &mut dyn FnMut(u64) -> format::Result<()>,
    ) -> format::Result<Input> {
        let io = |error: Error| format::Error::io("cannot write the copy", io::Error::other(error));
        let mut options = FileOptions::default();
        if !matches!(self, Self::File(_)) {
            options.mode = 0o600;
        }
        if matches!(self, Self::Cache { .. }) {
            options.cache = Cache::NotDurable;
        }
        let cancel = input.cancel().clone();
        let mut reader = Reader::new(input.stream()?)?;
        let target = FileTarget::with(&cost.path, options);
        let archive = NewArchive::begin(&target, false).map_err(io)?;
        let output = archive.output(&Compression::Zstd(FrameOptions::default()), None);
        format::copy(&mut reader, output.map_err(io)?, &mut |input| {
            read(input.consumed())
        })?;
        archive.finish().map_err(io)?;
        Input::open(&cost.path, &cancel).map_err(|error| io(error.into()))
    }

    fn path(&self, input: &Input, header: &Header) -> Result<PathBuf, Error> {
        let directory = match self {
            Self::Cache { directory, .. } => directory,
            Self::File(path) | Self::Meanwhile(path) => return Ok(path.clone()),
        };
        let metadata = input.file().map(fs::File::metadata).transpose();
        let metadata = metadata
            .map_err(|e| Error::caused(ErrorKind::Archive, "cannot read the archive", e))?
            .ok_or_else(|| {
                Error::new(ErrorKind::Request, "what comes through a pipe has no copy")
            })?;
        let uuid = u128::from_be_bytes(*header.uuid());
        let name = format!(
            "{uuid:032x}-{:x}-{:x}-{:x}.{:x}{SUFFIX}",
            metadata.size(),
            metadata.ino(),
            metadata.mtime(),
            metadata.mtime_nsec()
        );
        Ok(directory.join(name))
    }
}

/// The copy at a path, or why there is none.
fn sound(path: &Path, header: &Header, cancel: &CancelToken) -> Result<Input, String> {
    let mut input = Input::open_regular(path, cancel).map_err(|error| error.to_string())?;
    let metadata = input.file().map(fs::File::metadata);
    let ours = metadata.is_some_and(|metadata| {
        metadata.is_ok_and(|metadata| metadata.uid() == geteuid().as_raw())
    });
    if !ours {
        return Err("it belongs to somebody else".to_owned());
    }
    let archive = input.archive().map_err(|error| error.to_string())?;
    if archive.header().as_bytes() != header.as_bytes() {
        return Err("it is another archive".to_owned());
    }
    let random = archive.random_access().map_err(|error| error.to_string())?;
    if !random.is_checked() {
        return Err("it has no sound index".to_owned());
    }
    drop(archive);
    // What was used last is removed last; a cache where that cannot be noted is none the worse.
    let _ = input
        .file()
        .map(|file| file.set_modified(SystemTime::now()));
    Ok(input)
}

/// Removes the copies that were used longest ago, until the others have so many bytes at most. What cannot be removed
/// stays.
fn make_room(directory: &Path, limit: u64) {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut copies: Vec<_> = entries
        .filter(|entry| entry.file_name().to_string_lossy().ends_with(SUFFIX))
        .filter_map(|entry| {
            let metadata = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            Some((metadata.modified().ok()?, metadata.len(), entry.path()))
        })
        .collect();
    copies.sort();
    let mut total: u64 = copies.iter().map(|(_, size, _)| *size).sum();
    for (_, size, path) in copies {
        if total <= limit {
            return;
        }
        if fs::remove_file(path).is_ok() {
            total = total.saturating_sub(size);
        }
    }
}

fn failed(what: &str, path: &Path, error: io::Error) -> Error {
    Error::caused(
        ErrorKind::Target,
        format!("{what} {}", path.display()),
        error,
    )
}
