//! The log of a backup and what it was like, beside its archive.

use std::time::Duration;

use fleece_backup_core::dump::{DumpDirectory, RunError};
use fleece_backup_core::{Error, Outcome, Places};
use fleece_guest_config::GuestId;

use super::job::Job;
use crate::advice;
use crate::cli::backup::Backup;
use crate::log::Log;

/// How long a target that has failed may take to take the log of that.
const AFTER_FAILURE: Duration = Duration::from_secs(3);

/// Does `run` for a guest that is called `name`, and puts on record what was said and measured until then, whatever its end.
pub(super) fn kept(
    job: &Job<'_>,
    name: Option<&str>,
    run: impl FnOnce() -> Result<Outcome, Error>,
) -> Result<Outcome, Error> {
    let log = job.log;
    let result = run();
    let recorder = log.recorded(result.as_ref().err());
    let (Some(recorder), Some(path)) = (recorder, job.archive.target.path()) else {
        return result;
    };
    let limit = match &result {
        Ok(_) => job.arguments.target_timeout,
        Err(_) => AFTER_FAILURE,
    };
    let state = job.places.state_dir();
    let written = DumpDirectory::record(path, &state, name, &recorder, result.as_ref(), limit);
    match (written, result) {
        (Err(error), Ok(mut done)) => {
            log.warning(&advice::text(&error));
            done.warnings = done.warnings.saturating_add(1);
            Ok(done)
        }
        // What failed is told; where the target takes no log, that is why.
        (_, result) => result,
    }
}

/// Puts on record that a backup failed which came to no archive, if it is known whose it was; one that was begun has its record.
pub(super) fn early(
    arguments: &Backup,
    places: &Places,
    whose: Option<&GuestId>,
    log: &Log,
    error: &Error,
) {
    let (Some(recorder), Some(guest)) = (log.recorded(Some(error)), whose) else {
        return;
    };
    let (Ok(storages), to) = (places.storages(), &arguments.to) else {
        return;
    };
    // What failed is told; where the target takes no record, that is why, or comes to it.
    let (place, state) = ((&**to, &storages), places.state_dir());
    let why = (&recorder, RunError::from(error));
    let _ = DumpDirectory::record_failure(place, &state, (guest, None), why, Some(AFTER_FAILURE));
}
