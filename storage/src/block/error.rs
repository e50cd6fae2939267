//! Errors of block devices: a kind to decide by, a context to find the place, a cause.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The result of an operation on a block device.
pub type Result<T> = std::result::Result<T, Error>;

/// What kind of failure it is: what a caller decides by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The system's read, write or other call failed.
    Io,
    /// No space or quota is left for a write.
    NoSpace,
    /// The device did not answer in time.
    TimedOut,
    /// The range is not inside the device.
    OutOfBounds,
    /// The device was opened for reading only.
    ReadOnly,
    /// There is nothing under that name.
    NotFound,
    /// Access was refused, by the system or by a rule of ours.
    Denied,
    /// Another program uses the image.
    Busy,
    /// The bytes are not an image of the expected format.
    InvalidFormat,
    /// The image uses a feature that is not supported.
    Unsupported,
}

impl ErrorKind {
    /// The kind as a word for programs, such as `no-space`. It stays the same.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Io => "io",
            Self::NoSpace => "no-space",
            Self::TimedOut => "timed-out",
            Self::OutOfBounds => "out-of-bounds",
            Self::ReadOnly => "read-only",
            Self::NotFound => "not-found",
            Self::Denied => "denied",
            Self::Busy => "busy",
            Self::InvalidFormat => "invalid-format",
            Self::Unsupported => "unsupported",
        }
    }

    fn phrase(self) -> &'static str {
        match self {
            Self::Io => "I/O error",
            Self::NoSpace => "no space left",
            Self::TimedOut => "timed out",
            Self::OutOfBounds => "out of bounds",
            Self::ReadOnly => "opened read-only",
            Self::NotFound => "not found",
            Self::Denied => "denied",
            Self::Busy => "in use",
            Self::InvalidFormat => "invalid format",
            Self::Unsupported => "unsupported",
        }
    }
}

/// What was attempted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// Opening a device.
    Open,
    /// Creating an image.
    Create,
    /// [`super::ReadAt::read_at`].
    Read,
    /// [`super::WriteAt::write_at`].
    Write,
    /// [`super::WriteAt::write_zeroes`].
    WriteZeroes,
    /// [`super::Discard::discard`].
    Discard,
    /// [`super::WriteAt::flush`].
    Flush,
    /// [`super::BlockStatus::block_status`].
    Status,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Create => "create",
            Self::Read => "read",
            Self::Write => "write",
            Self::WriteZeroes => "write zeroes to",
            Self::Discard => "discard part of",
            Self::Flush => "flush",
            Self::Status => "get the block status of",
        })
    }
}

/// A failed operation on a block device.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    operation: Operation,
    path: Option<PathBuf>,
    offset: Option<u64>,
    detail: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind` during `operation`, without context yet.
    #[must_use]
    pub fn new(kind: ErrorKind, operation: Operation) -> Self {
        Self {
            kind,
            operation,
            path: None,
            offset: None,
            detail: None,
            source: None,
        }
    }

    /// The system's error during `operation`, sorted into a kind.
    #[must_use]
    pub fn from_io(operation: Operation, error: io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::NoSpace,
            io::ErrorKind::TimedOut => ErrorKind::TimedOut,
            io::ErrorKind::NotFound => ErrorKind::NotFound,
            io::ErrorKind::PermissionDenied => ErrorKind::Denied,
            io::ErrorKind::ReadOnlyFilesystem => ErrorKind::ReadOnly,
            io::ErrorKind::Unsupported => ErrorKind::Unsupported,
            _ => ErrorKind::Io,
        };
        Self::new(kind, operation).caused_by(error)
    }

    /// Say at which byte of the device.
    #[must_use]
    pub fn at(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }

    /// Say which file or device.
    #[must_use]
    pub fn on(mut self, path: &Path) -> Self {
        self.path = Some(path.to_owned());
        self
    }

    /// Say why, in words.
    #[must_use]
    pub fn because(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Keep the underlying cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What was attempted.
    #[must_use]
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// At which byte of the device, where that makes sense.
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        self.offset
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}", self.operation)?;
        match &self.path {
            Some(path) => write!(f, " {}", path.display())?,
            None => f.write_str(" the device")?,
        }
        if let Some(offset) = self.offset {
            write!(f, " at offset {offset}")?;
        }
        // Of a system call the cause says it, in the system's words.
        if self.source.is_none() || self.detail.is_some() {
            write!(f, ": {}", self.kind.phrase())?;
        }
        if let Some(detail) = &self.detail {
            write!(f, ": {detail}")?;
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
