//! What is wrong with settings.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::Path;

use fleece_plain_text::words;

use crate::setting::Origin;

/// What kind of thing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The file cannot be read.
    Io,
    /// It is no TOML, or too long.
    Syntax,
    /// There is no such key or section, or its value is of a kind that no key takes.
    Unknown,
}

/// What is wrong, and where.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<io::Error>,
}

impl Error {
    pub(crate) fn at(kind: ErrorKind, origin: &Origin, message: &str) -> Self {
        Self {
            kind,
            message: format!("{origin}: {}", words(message)),
            source: None,
        }
    }

    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        Self {
            kind: ErrorKind::Io,
            message: format!("cannot read {}", path.display()),
            source: Some(source),
        }
    }

    /// What kind of thing is wrong.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|error| error as _)
    }
}
