//! What can be wrong with a disk of somebody else.

use std::fmt;
use std::io;

/// A [`Error`] or a value.
pub type Result<T> = std::result::Result<T, Error>;

/// Why something cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The disk cannot be read.
    Io,
    /// What is on the disk contradicts itself.
    Damaged,
    /// It may be right, but is not read by this crate.
    Unsupported,
    /// There is no such volume, file or directory.
    NotFound,
    /// It is not of the kind that was asked for: a file where a directory is needed, or the other way round.
    WrongKind,
    /// More than a file system that is not hostile needs: entries, depth, reads.
    Limit,
}

/// Why something cannot be had, in words.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    what: String,
    source: Option<io::Error>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, what: impl fmt::Display) -> Self {
        Self {
            kind,
            what: what.to_string(),
            source: None,
        }
    }

    pub(crate) fn damaged(what: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Damaged, what)
    }

    pub(crate) fn unsupported(what: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Unsupported, what)
    }

    pub(crate) fn limit(what: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Limit, what)
    }

    /// What kind of error it is.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}

impl From<io::Error> for Error {
    fn from(source: io::Error) -> Self {
        Self {
            kind: ErrorKind::Io,
            what: "cannot read the disk".to_owned(),
            source: Some(source),
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error.kind {
            ErrorKind::Io => error
                .source
                .as_ref()
                .map_or(io::ErrorKind::Other, Self::kind),
            ErrorKind::Damaged | ErrorKind::Limit => io::ErrorKind::InvalidData,
            ErrorKind::Unsupported => io::ErrorKind::Unsupported,
            ErrorKind::NotFound => io::ErrorKind::NotFound,
            ErrorKind::WrongKind => io::ErrorKind::InvalidInput,
        };
        Self::new(kind, error)
    }
}
