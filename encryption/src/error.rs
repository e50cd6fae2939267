//! What can go wrong.

use std::fmt;
use std::io;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What kind of thing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// What is given as a public key is none, or there is none.
    Recipient,
    /// What is given as a secret key is none, or cannot be used.
    Identity,
    /// The file is encrypted, and there is no secret key to read it with.
    NoIdentity,
    /// None of the secret keys is one that the file is encrypted for.
    WrongIdentity,
    /// The file is none of age's.
    Foreign,
    /// The file is age's, of a kind that is not read here.
    Unsupported,
    /// The file was cut off or changed.
    Damaged,
    /// A signature is missing, is somebody else's, or is for something else.
    Signature,
    /// Reading or writing failed.
    Io,
}

/// What is wrong, and what with.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<io::Error>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    pub(crate) fn io(message: impl Into<String>, source: io::Error) -> Self {
        Self {
            kind: ErrorKind::Io,
            message: message.into(),
            source: Some(source),
        }
    }

    /// An error of reading an encrypted file: ours is taken out of what carries it.
    pub(crate) fn reading(source: io::Error) -> Self {
        match source.downcast::<Self>() {
            Ok(ours) => ours,
            Err(source) => Self::io("cannot read the encrypted file", source),
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

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}

/// For [`Read`](io::Read) and [`Write`](io::Write): damage is invalid data, and carries the error.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error.kind {
            ErrorKind::Io => error
                .source
                .as_ref()
                .map_or(io::ErrorKind::Other, Self::kind),
            _ => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}
