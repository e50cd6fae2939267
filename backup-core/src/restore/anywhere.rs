//! An archive whose disks can be read at any offset by whoever opens it: the one that is restored, or a copy of it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Instant;

use fleece_encryption::Identities;

use super::failure::archive_error;
use crate::input::{CopyPlace, FoundCopy, Input};
use crate::job::cancel::CancelToken;
use crate::report::error::Error;
use crate::report::{Counting, units};

/// Where the copy is that a live restore to this folder needs for as long as it goes on: beside it, since the folder
/// appears only when all in it is made.
pub(super) fn beside(folder: &Path) -> PathBuf {
    let mut name = folder.file_name().map_or_else(OsString::new, Into::into);
    name.push(".live.vma.zst");
    folder.with_file_name(name)
}

/// The archive itself or, if that can only be read from front to back, or with keys that whoever reads it does not get,
/// a copy that is made at `copy` in one pass.
pub(super) fn anywhere(
    archive: &Path,
    identities: &Identities,
    copy: PathBuf,
    reporter: &Counting<'_>,
    cancel: &CancelToken,
) -> Result<PathBuf, Error> {
    let damaged = |error| archive_error(error, cancel);
    let mut input = Input::open(archive, cancel)?.with_identities(identities);
    let is_encrypted = input.encrypted_for().is_some();
    let opened = input.archive().map_err(damaged)?;
    if opened.is_seekable() && !is_encrypted {
        opened.random_access().map_err(damaged)?;
        return Ok(archive.to_owned());
    }
    let place = CopyPlace::Meanwhile(copy.clone());
    match place.find(&input, opened.header(), cancel)? {
        FoundCopy::Copy(_) => {
            reporter.info(format!("{} is used, which was made of it", copy.display()));
            return Ok(copy);
        }
        FoundCopy::None(None) => {}
        FoundCopy::None(Some(removed)) => reporter.info(removed),
    }
    let cost = place.cost(&input, opened.header())?;
    drop(opened);
    let why = match is_encrypted {
        true => "is encrypted",
        false => "can only be read from front to back",
    };
    reporter.info(format!(
        "this archive {why}: all of it ({}) is read once now, and a copy for the meantime is made as {}",
        units::bytes(cost.bytes),
        copy.display()
    ));
    let begun = Instant::now();
    place
        .make(&mut input, &cost, &mut |_| Ok(()))
        .map_err(damaged)?;
    reporter.info(format!(
        "the copy is made, in {}",
        units::duration(begun.elapsed())
    ));
    Ok(copy)
}
