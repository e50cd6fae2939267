//! What is wrong with a container, as an error.

use crate::error::{Error, ErrorKind};

/// What the decompressor of a damaged container says.
#[cfg(any(feature = "gzip", feature = "zstd"))]
pub(super) fn undone(offset: u64, cause: std::io::Error) -> Error {
    Error::new(ErrorKind::Container, "compressed archive is damaged")
        .at(offset)
        .caused_by(cause)
}

#[cfg(any(feature = "lzop", feature = "zstd"))]
pub(super) fn damaged(offset: u64, what: impl std::fmt::Display) -> Error {
    Error::new(
        ErrorKind::Container,
        format!("compressed archive is damaged: {what}"),
    )
    .at(offset)
}
