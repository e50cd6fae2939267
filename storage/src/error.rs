//! What can go wrong with a storage.

use std::fmt;
use std::io;
use std::path::Path;

/// The class of an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A read, write or other system call failed.
    Io,
    /// The volume, file or directory is not there.
    NotFound,
    /// The name is taken.
    AlreadyExists,
    /// The storage is full, or what is asked for does not fit.
    NoSpace,
    /// The storage can only be read.
    ReadOnly,
    /// This user may not do that.
    PermissionDenied,
    /// Somebody else is using it.
    Busy,
    /// No storage of this id is configured.
    UnknownStorage,
    /// A name, id or size that is not allowed.
    InvalidName,
    /// The configuration of the storage is wrong.
    InvalidConfig,
    /// What was to be written is in its place, but a power failure may undo that.
    Unsynced,
    /// The storage, format or tool cannot do that.
    Unsupported,
    /// The storage should be mounted and is not.
    NotMounted,
    /// The storage does not answer in time.
    Unreachable,
    /// The program that drives the storage is not installed.
    CommandMissing,
    /// The program that drives the storage failed.
    CommandFailed,
    /// An answer, image or header that does not say what it must.
    InvalidData,
}

/// A kind, what it is about, what was being done, and the cause if there is one.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    subject: String,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error about `subject`: a path, a volume id or a storage id.
    pub fn new(kind: ErrorKind, subject: impl fmt::Display, message: impl Into<String>) -> Self {
        Self {
            kind,
            subject: subject.to_string(),
            message: message.into(),
            source: None,
        }
    }

    /// A failed system call on `path`; its kind says why, where the cause is a common one.
    pub fn io(operation: &str, path: &Path, source: io::Error) -> Self {
        let kind = match source.kind() {
            io::ErrorKind::NotFound => ErrorKind::NotFound,
            io::ErrorKind::AlreadyExists => ErrorKind::AlreadyExists,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::NoSpace,
            io::ErrorKind::ReadOnlyFilesystem => ErrorKind::ReadOnly,
            io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
            io::ErrorKind::ResourceBusy => ErrorKind::Busy,
            io::ErrorKind::Unsupported => ErrorKind::Unsupported,
            _ => ErrorKind::Io,
        };
        Self::new(kind, path.display(), format!("cannot {operation}")).caused_by(source)
    }

    /// A volume of `old` bytes that was to get `new` ones, which are fewer.
    pub(crate) fn not_shrunk(subject: impl fmt::Display, old: u64, new: u64) -> Self {
        let message = format!("a volume of {old} bytes cannot be shrunk to {new} bytes");
        Self::new(ErrorKind::Unsupported, subject, message)
    }

    /// The same error with its cause.
    pub fn caused_by(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The class of the error.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What the error is about: a path, a volume id or a storage id.
    pub fn subject(&self) -> &str {
        &self.subject
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
