//! Whose fault it is when a restore fails: the archive's, or a disk's.

use std::io;

use fleece_storage::block;

use crate::job::cancel::CancelToken;
use crate::report::advice::Advice;
use crate::report::error::{Error, ErrorKind};

/// An error of the archive, or of a disk met while it was read.
pub(super) fn archive_error(error: fleece_vma_format::Error, cancel: &CancelToken) -> Error {
    if let Some(reason) = cancel.reason() {
        return Error::cancelled(reason);
    }
    let advice = error.advice();
    let error = blamed(error);
    match advice {
        Some(advice) => error.advise(Advice::Archive(advice)),
        None => error,
    }
}

fn blamed(error: fleece_vma_format::Error) -> Error {
    if error.kind().is_damage() {
        let message = "the archive is damaged, or is none; nothing of it was restored";
        return Error::caused(ErrorKind::Damage, message, error);
    }
    match on_disk(&error) {
        Some(block::ErrorKind::NoSpace) => Error::caused(ErrorKind::Target, FULL, error),
        Some(_) => Error::caused(ErrorKind::Target, FAILS, error),
        None => Error::caused(ErrorKind::Archive, "cannot read the archive", error),
    }
}

const FULL: &str = "the storage is full; free space there, or restore to another";
const FAILS: &str = "the storage fails";

/// An error of a disk.
pub(super) fn target_error(error: block::Error) -> Error {
    let message = match error.kind() {
        block::ErrorKind::NoSpace => FULL,
        _ => FAILS,
    };
    Error::caused(ErrorKind::Target, message, error)
}

/// The kind of the disk's error among the causes. What [`io::Error::other`] wraps is not among its
/// sources, so that it is looked for within.
fn on_disk(error: &fleece_vma_format::Error) -> Option<block::ErrorKind> {
    let first: &(dyn std::error::Error + 'static) = error;
    std::iter::successors(Some(first), |error| error.source()).find_map(|error| {
        let within = error.downcast_ref::<io::Error>()?.get_ref()?;
        Some(within.downcast_ref::<block::Error>()?.kind())
    })
}
