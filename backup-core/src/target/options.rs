//! Where an archive goes, and how.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fleece_encryption::signature;
use fleece_object_storage::{Address, open_address};
use fleece_vma_format::index::beside;

use crate::job::cancel::CancelToken;
use crate::report::advice::Advice;
use crate::target::base::BaseArchive;
use crate::target::compression::Compression;
use crate::target::deadline;
use crate::target::object::ObjectTarget;
use crate::target::place::{FileTarget, Target};
use crate::target::staged::ArchiveFile;
use crate::target::stream::StreamTarget;

/// Where an archive goes, and how it gets there.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ArchiveTarget {
    /// Where it goes.
    pub place: Arc<dyn Target>,
    /// How it is compressed.
    pub compression: Compression,
    /// A target that takes longer than this for one write hangs, and the backup is given up.
    pub timeout: Duration,
    /// An older archive, of which an aligned one shares what has not changed, where the file system can.
    pub base: Option<BaseArchive>,
    /// Keep what was written of an archive that could not be finished, as `<archive>.partial`.
    pub keep_partial: bool,
    /// About how many bytes it has at most, before compression; 0 if that is not known.
    pub bound: u64,
}

impl ArchiveTarget {
    /// A target of which one write may take ten minutes; the archive is not compressed.
    #[must_use]
    pub fn new(place: Arc<dyn Target>) -> Self {
        Self {
            place,
            compression: Compression::None,
            timeout: Duration::from_secs(600),
            base: None,
            keep_partial: false,
            bound: 0,
        }
    }

    /// A new file, or a new object if the path is an address of one (`s3:STORE/KEY`).
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        match ObjectTarget::new(&path) {
            Some(object) => Self::new(Arc::new(object)),
            None => Self::new(Arc::new(FileTarget::new(path))),
        }
    }

    /// Standard output.
    #[must_use]
    pub fn stdout() -> Self {
        Self::new(Arc::new(StreamTarget::Stdout))
    }

    /// Where the archive will lie; `None` if it is no file.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.place.path()
    }

    /// The files that an unfinished archive consists of: what to put on record before it is begun.
    #[must_use]
    pub fn temporary_files(&self) -> Vec<PathBuf> {
        let Some(path) = self.path() else {
            return Vec::new();
        };
        let mut files = vec![ArchiveFile::temporary_name(path)];
        if self.compression == Compression::None {
            files.push(ArchiveFile::temporary_name(&beside(path)));
        }
        files.push(ArchiveFile::temporary_name(&signature::beside(path)));
        files
    }

    /// What a backup that failed has left of its archive.
    #[must_use]
    pub fn unfinished(&self) -> Unfinished {
        let Some(path) = self.path().map(Path::to_owned) else {
            return Unfinished::Gone;
        };
        let temporary = self.temporary_files();
        let keep_partial = self.keep_partial;
        let look = move || {
            if let Some(address) = Address::of(&path) {
                let left = open_address(&address).and_then(|store| store.unfinished(address.key()));
                return Ok(match left {
                    Ok(left) if left.is_empty() => Unfinished::Gone,
                    _ => temporary
                        .into_iter()
                        .next()
                        .map_or(Unfinished::Gone, Unfinished::Left),
                });
            }
            let partial = ArchiveFile::partial_name(&path);
            Ok(match temporary.into_iter().find(|file| file.exists()) {
                Some(file) => Unfinished::Left(file),
                None if keep_partial && partial.exists() => Unfinished::Kept(partial),
                None => Unfinished::Gone,
            })
        };
        let unknown = self.temporary_files().into_iter().next();
        deadline::at_target("a look", Duration::ZERO, &CancelToken::new(), look)
            .unwrap_or_else(|_| unknown.map_or(Unfinished::Gone, Unfinished::Left))
    }
}

/// What a backup that failed has left, see [`ArchiveTarget::unfinished`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unfinished {
    /// Nothing.
    Gone,
    /// What was asked to be kept.
    Kept(PathBuf),
    /// A temporary file, since the target hangs.
    Left(PathBuf),
}

impl Unfinished {
    /// What people should know of it, and can do about it.
    #[must_use]
    pub fn message(&self) -> Option<(String, Advice)> {
        match self {
            Self::Gone => None,
            Self::Kept(file) => Some((
                format!("what was written is kept as {}", file.display()),
                Advice::Recover(file.clone()),
            )),
            Self::Left(file) => Some((
                format!("{} could not be removed", file.display()),
                Advice::CleanUpLater,
            )),
        }
    }
}
