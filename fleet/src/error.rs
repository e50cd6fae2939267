//! What can go wrong with programs of others, and with several runs at a time.

use std::error::Error as StdError;
use std::fmt;
use std::io;

/// What kind of thing went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The program cannot be started, or not be waited for.
    Start,
    /// It ended with an exit code, or by a signal.
    Failed,
    /// It took longer than it may, and was ended.
    Deadline,
    /// It was ended because the job is to end.
    Stopped,
    /// A job of this name runs already.
    Busy,
    /// This is no name of a job.
    Name,
    /// A file that is needed cannot be made.
    File,
}

/// What went wrong.
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

    pub(crate) fn start(program: &str, source: io::Error) -> Self {
        Self::caused(ErrorKind::Start, format!("cannot run {program}"), source)
    }

    pub(crate) fn caused(kind: ErrorKind, message: String, source: io::Error) -> Self {
        Self {
            kind,
            message,
            source: Some(source),
        }
    }

    /// What kind of thing went wrong.
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
