//! Errors of files, as the program ends with them.

use fleece_archive_files::Error;
use fleece_bins::advice::chain;

use super::super::failure::Failure;
use super::entry::shown;

pub(super) fn failed(error: Error) -> Failure {
    Failure::from(error)
}

/// With the path of the file.
pub(super) fn at(path: &[u8], error: &Error) -> Failure {
    Failure::new(format!("{}: {}", shown(path), chain(error)))
}
