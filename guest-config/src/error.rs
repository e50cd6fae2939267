//! What can be wrong with a guest configuration.

use std::fmt;
use std::path::{Path, PathBuf};

/// The class of an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A file could not be read, written, synced or renamed.
    Io,
    /// What was to be written is in its place, but a power failure may undo that.
    Unsynced,
    /// There is no such configuration file.
    NotFound,
    /// The file is larger than any guest configuration can be.
    TooLarge,
    /// Somebody else holds the lock of the file.
    Locked,
    /// A key that the grammar does not allow.
    InvalidKey,
    /// A value that does not fit on one line of its own, or not inside a list.
    InvalidValue,
    /// A text that is neither the number nor the name of a guest.
    InvalidGuest,
    /// A record of a machine that cannot be understood.
    Machine,
    /// A drive whose property string cannot be understood.
    MalformedDrive,
}

/// A kind, what was being done, and the cause if there is one.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    path: Option<PathBuf>,
    source: Option<std::io::Error>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            path: None,
            source: None,
        }
    }

    pub(crate) fn io(operation: &str, path: &Path, source: std::io::Error) -> Self {
        let kind = match source.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::Io,
        };
        Self {
            kind,
            message: format!("cannot {operation} the guest configuration"),
            path: Some(path.to_owned()),
            source: Some(source),
        }
    }

    /// It is done, and only not durable.
    pub(crate) fn unsynced(mut self) -> Self {
        self.kind = ErrorKind::Unsynced;
        self
    }

    pub(crate) fn at(mut self, path: &Path) -> Self {
        self.path = Some(path.to_owned());
        self
    }

    /// The class of the error.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The file concerned, when there is one.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "{}: {}", path.display(), self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}
