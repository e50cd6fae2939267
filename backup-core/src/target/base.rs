//! An older archive of the same disks, of which a new one shares what has not changed.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fleece_staged_file::regular::{self, Links};
use fleece_vma_format::Base;
use fleece_vma_format::container::{Contents, Seekable, embedded_index};
use fleece_vma_format::index::beside;
use rustix::fs::{FlockOperation, flock};

use jiff::Timestamp;

use crate::dump::Verified;
use crate::report::advice::Advice;
use crate::report::error::{Error, ErrorKind};
use crate::report::{Warning, units};
use crate::target::compression::Compression;

/// An archive that is held: as long as this lives, no pruning removes it.
#[derive(Clone, Debug)]
pub struct BaseArchive {
    path: PathBuf,
    file: Arc<File>,
    base: Base,
    /// Whether it is not compressed.
    plain: bool,
    /// When a verification found it sound, and when its files were changed last.
    verified: Option<Timestamp>,
    changed: Option<Timestamp>,
    account: Arc<Account>,
}

/// What was done with a base.
#[derive(Debug, Default)]
struct Account {
    shared: AtomicU64,
    damaged: AtomicU64,
}

impl BaseArchive {
    /// Opens an archive that is not compressed with the index beside it, or a seekable `.vma.zst` with the one inside.
    /// Blocks as long as its storage does.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Archive`] if it cannot be read, or has no index that fits.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let failed = |error| {
            let message = format!("cannot open {}", path.display());
            Error::caused(ErrorKind::Archive, message, error)
        };
        let file = regular::open(path, Links::Follow).map_err(failed)?;
        // Where there are no locks, it is not held; what is open can be read even then.
        if let Err(rustix::io::Errno::WOULDBLOCK) =
            flock(&file, FlockOperation::NonBlockingLockShared)
        {
            let message = format!("{} is being removed", path.display());
            return Err(Error::new(ErrorKind::Archive, message));
        }
        let unusable = |error| {
            let message = format!("{} cannot be a base", path.display());
            Error::caused(ErrorKind::Archive, message, error)
        };
        let again = || -> Result<Contents<'static>, Error> {
            Ok(Arc::new(file.try_clone().map_err(failed)?))
        };
        let mut changed = changed_at(&file);
        let (base, plain) = match (
            Seekable::open(again()?).map_err(unusable)?,
            embedded_index(again()?).map_err(unusable)?,
        ) {
            (Some(contents), Some(index)) => (Base::open_compressed(contents, index), false),
            _ => {
                let index = index_beside(path)?;
                changed = changed.max(changed_at(&index));
                (Base::open(again()?, index), true)
            }
        };
        let base = base.map_err(unusable)?;
        Ok(Self {
            path: path.to_owned(),
            file: Arc::new(file),
            base,
            plain,
            verified: None,
            changed,
            account: Arc::default(),
        })
    }

    /// With what the last verification found.
    pub(crate) fn with(mut self, verified: Verified) -> Self {
        match verified {
            Verified::Unknown => {}
            Verified::Sound(at) => self.verified = Some(at),
            // Whatever else is known of it.
            Verified::Damaged(_) => self.changed = None,
        }
        self
    }

    /// When a verification found it sound.
    pub(crate) fn verified(&self) -> Option<Timestamp> {
        self.verified
    }

    /// When its files were changed last; `None`: it is not known, or it is damaged.
    pub(crate) fn changed(&self) -> Option<Timestamp> {
        self.changed
    }

    /// Whether a job holds the archive at `path`.
    pub(crate) fn is_held(path: &Path) -> bool {
        let file = regular::open(path, Links::Follow);
        let locked = file.map(|file| flock(&file, FlockOperation::NonBlockingLockExclusive));
        matches!(locked, Ok(Err(rustix::io::Errno::WOULDBLOCK)))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name of its file.
    pub(crate) fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Whether a new archive that is compressed like this can share parts of it.
    #[must_use]
    pub fn fits(&self, compression: Compression) -> bool {
        match compression {
            Compression::None => self.plain,
            Compression::Zstd(_) => !self.plain,
        }
    }

    /// Its uuid, in hexadecimal digits.
    pub(crate) fn uuid(&self) -> String {
        digits(self.base.archive().header().uuid())
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    pub(crate) fn base(&self) -> &Base {
        &self.base
    }

    /// How many bytes of it a new archive has taken over.
    #[must_use]
    pub fn shared(&self) -> u64 {
        self.account.shared.load(Ordering::Relaxed)
    }

    pub(crate) fn note_shared(&self, bytes: u64) {
        self.account.shared.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn note_damaged(&self, bytes: u64) {
        self.account.damaged.fetch_add(bytes, Ordering::Relaxed);
    }

    /// What people should know about it.
    #[must_use]
    pub fn warning(&self) -> Option<Warning> {
        let damaged = self.account.damaged.load(Ordering::Relaxed);
        let message = || {
            format!(
                "{} of {} are not what its index says: it is damaged. The new archive took nothing of them",
                units::bytes(damaged),
                self.path.display()
            )
        };
        let advice = || Advice::VerifyArchive(self.path.clone());
        (damaged > 0).then(|| Warning::advised(message(), advice()))
    }
}

/// When the contents of a file, or what is known of it, were changed last: a time that no program sets.
fn changed_at(file: &File) -> Option<Timestamp> {
    let known = file.metadata().ok()?;
    let nanoseconds = i32::try_from(known.ctime_nsec()).ok()?;
    Timestamp::new(known.ctime(), nanoseconds).ok()
}

/// A uuid in hexadecimal digits.
pub(crate) fn digits(uuid: &[u8; 16]) -> String {
    uuid::Uuid::from_bytes(*uuid).simple().to_string()
}

fn index_beside(path: &Path) -> Result<File, Error> {
    regular::open(&beside(path), Links::Follow).map_err(|error| {
        let message = format!("{} has no index", path.display());
        let missing = error.kind() == io::ErrorKind::NotFound;
        let error = Error::caused(ErrorKind::Archive, message, error);
        match missing {
            true => error.advise(Advice::MakeIndex(path.to_owned())),
            false => error,
        }
    })
}
