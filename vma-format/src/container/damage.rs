//! What is wrong with a container, as an error.

use crate::error::{Error, ErrorKind};

pub(super) fn damaged(offset: u64, what: impl std::fmt::Display) -> Error {
    Error::new(
        ErrorKind::Container,
        format!("compressed archive is damaged: {what}"),
    )
    .at(offset)
}
