//! Archives and indexes that the command line names.

use std::ffi::OsStr;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use fleece_archive_io::{Index, IndexPlace, Input};
use fleece_bins::advice::{chain, text};
use fleece_bins::signals;
use fleece_encryption::Identities;
use fleece_vma_format::container::Contents;
use fleece_vma_format::{Archive, Device, Header, RandomAccess};

use super::failure::{Failure, Result};
use super::report;

/// An archive, any of whose devices can be read at any offset.
pub(super) type Anywhere = RandomAccess<Contents<'static>>;

/// The variable that names a file of secret keys.
const IDENTITY: &str = "FLEECE_IDENTITY";

/// The files of secret keys, for the whole run.
static IDENTITIES: OnceLock<Vec<PathBuf>> = OnceLock::new();

/// From now on, encrypted archives are read with the secret keys in these files, or in that which the environment names.
pub(super) fn identify(files: &[PathBuf]) {
    let named = || {
        let file = std::env::var_os(IDENTITY).filter(|file| !file.is_empty());
        file.map(PathBuf::from).into_iter().collect()
    };
    let files = match files.is_empty() {
        true => named(),
        false => files.to_vec(),
    };
    let _ = IDENTITIES.set(files);
}

/// Opens `path`, or standard input for `-`.
pub(super) fn open(path: &OsStr) -> Result<Input> {
    let mut identities = Identities::new();
    for file in IDENTITIES.get().into_iter().flatten() {
        identities
            .add_file(file)
            .map_err(|error| Failure::new(chain(&error)))?;
    }
    let input = Input::open(Path::new(path), signals::token())?;
    Ok(input.with_identities(&identities))
}

/// Opens what must be a file.
pub(super) fn open_file(path: &OsStr) -> Result<Input> {
    let input = open(path)?;
    if input.is_file() {
        Ok(input)
    } else {
        Err(in_order_only())
    }
}

fn in_order_only() -> Failure {
    Failure::new(if cfg!(unix) {
        "this archive can only be read from front to back; make a seekable one with `vma reframe` first"
    } else {
        "this archive can only be read from front to back; `vma extract` it, or make a seekable one with `vma reframe` on Linux"
    })
}

/// Any device at any offset, or an error that says what to do.
pub(super) fn anywhere<'r>(archive: &'r Archive<'static>) -> Result<&'r Anywhere> {
    let open = archive.random_access();
    warn_of_index(archive);
    Ok(open?)
}

/// The devices that were asked for, or all.
pub(super) fn chosen<'h>(header: &'h Header, names: Option<&[String]>) -> Result<Vec<&'h Device>> {
    header.select(names).map_err(Failure::refused)
}

/// Warns of an index that was not used.
pub(super) fn warn_of_index(archive: &Archive<'static>) {
    if let Some(error) = archive.index_error() {
        report::warning(text(error));
    }
}

/// The index: the one that was named, the one inside, or the one beside.
pub(super) fn index(input: &Input, named: Option<&Path>) -> Result<Option<Index>> {
    let Some(path) = named else {
        return Ok(input.index()?);
    };
    // It may come through a pipe.
    let file = signals::at_once(|| File::open(path));
    let failed = |e| Failure::io(format!("can't open index {}", path.display()), e);
    let index = BufReader::new(file.map_err(failed)?);
    Ok(Some((IndexPlace::Beside(path.to_owned()), Box::new(index))))
}
