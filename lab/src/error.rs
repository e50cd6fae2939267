//! What can go wrong in the lab.

use std::error::Error as StdError;
use std::fmt;
use std::io;

/// The kind of an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A file, socket or process could not be handled.
    Io,
    /// A program that the lab ran failed.
    Command,
    /// Something did not happen in time.
    Timeout,
    /// A process ended that should have run on.
    Exited,
    /// The guest, or the lab's folder, is not what it should be.
    Unusable,
}

/// An error of the lab, with all that helps to understand a failed test.
pub struct Error {
    kind: ErrorKind,
    context: String,
    source: Option<io::Error>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self {
            kind,
            context: context.into(),
            source: None,
        }
    }

    /// For `map_err`: an input or output error while doing `what`.
    pub(crate) fn io<T: Into<String>>(what: T) -> impl FnOnce(io::Error) -> Self {
        move |source| Self {
            kind: ErrorKind::Io,
            context: what.into(),
            source: Some(source),
        }
    }

    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The same error, with more to read about it.
    pub(crate) fn with(mut self, more: &str) -> Self {
        let more = more.trim();
        if !more.is_empty() {
            self.context.push('\n');
            self.context.push_str(more);
        }
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)
    }
}

/// What `unwrap` in a test shows: everything, in lines as they were.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.context)?;
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}
