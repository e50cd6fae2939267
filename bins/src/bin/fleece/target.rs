//! Where backups lie: a directory, or a storage that holds some.

use std::path::{Path, PathBuf};

use fleece_backup_core::dump::DumpDirectory;
use fleece_backup_core::{Error, ErrorKind};
use fleece_storage::Storages;

/// The directory of backups that `place` means; `None` if it is neither a directory nor a storage.
pub(crate) fn directory(place: &Path, storages: &Storages) -> Result<Option<PathBuf>, Error> {
    if place.is_dir() {
        return Ok(Some(place.to_owned()));
    }
    let Some(id) = place
        .to_str()
        .filter(|id| storages.config().section(id).is_some())
    else {
        return Ok(None);
    };
    let failed = |error| {
        let message = format!("cannot use storage {id}");
        Error::caused(ErrorKind::Storage, message, error)
    };
    let storage = storages.open(id).map_err(failed)?;
    storage.activate().map_err(failed)?;
    let directory = storage.dump_directory().ok_or_else(|| {
        Error::new(
            ErrorKind::Request,
            format!("storage {id} cannot hold backups"),
        )
    })?;
    Ok(Some(directory))
}

/// The backups of `place`.
pub(crate) fn backups(place: &Path, storages: &Storages) -> Result<DumpDirectory, Error> {
    let directory = directory(place, storages)?.ok_or_else(|| {
        let known: Vec<&str> = storages
            .config()
            .sections()
            .map(|section| section.id())
            .collect();
        let storages = if known.is_empty() {
            "no storages are configured".to_owned()
        } else {
            format!("the storages are {}", known.join(", "))
        };
        Error::new(
            ErrorKind::Target,
            format!(
                "{} is neither a directory nor a storage; {storages}",
                place.display()
            ),
        )
    })?;
    Ok(DumpDirectory::new(directory))
}
