//! The one error type of this crate.

use std::io;

/// A file system that cannot be mounted or unmounted: what was attempted, with the next step where there is one, and the
/// cause as its source.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    message: String,
    source: Option<io::Error>,
}

impl Error {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            source: None,
        }
    }

    pub(crate) fn caused(message: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self {
            message: message.into(),
            source: Some(source.into()),
        }
    }
}
