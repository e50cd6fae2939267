//! A name that a storage and a directory here have both.

use std::path::Path;

use fleece_backup_core::dump::storage_id;
use fleece_storage::Storages;

use crate::log::Log;

/// Says which of the two is meant, if there are two.
pub(crate) fn tell(place: &Path, storages: &Storages, log: &Log) {
    if let Some(id) = storage_id(place, storages).filter(|_| place.is_dir()) {
        log.info(&format!(
            "{id} is the storage of that name; the directory is ./{id}"
        ));
    }
}
