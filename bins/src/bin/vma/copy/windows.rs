//! There is no cache: what can only be read from front to back is not read at any offset.

use std::ffi::OsStr;

use fleece_vma_format::Archive;

use super::cli::CopyArgs;
use super::failure::Result;
use super::input::open_file;

/// Whether a copy is made.
#[derive(Clone, Copy)]
pub(super) enum Make {
    /// Nothing else would do.
    Needed,
}

/// Opens an archive that is to be read at any offset.
pub(super) fn open_seekable(path: &OsStr, _: &CopyArgs, _: Make) -> Result<Archive<'static>> {
    Ok(open_file(path)?.archive()?)
}
