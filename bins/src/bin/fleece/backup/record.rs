//! The log of a backup and what it was like, beside its archive.

use std::time::Duration;

use fleece_backup_core::dump::{DumpDirectory, Recorder};
use fleece_backup_core::{Error, Outcome};
use jiff::Zoned;

use super::job::Job;
use crate::advice;

/// How long a target that has failed may take to take the log of that.
const AFTER_FAILURE: Duration = Duration::from_secs(3);

/// Does `run` for a guest that is called `name`, and keeps on record what is said and measured meanwhile, whatever its end.
pub(super) fn kept(
    job: &Job<'_>,
    now: &Zoned,
    name: Option<&str>,
    run: impl FnOnce() -> Result<Outcome, Error>,
) -> Result<Outcome, Error> {
    let log = job.log;
    log.record(Recorder::new(now.clone()));
    let result = run();
    let recorder = log.recorded(result.as_ref().err());
    let (Some(recorder), Some(path)) = (recorder, job.archive.target.path()) else {
        return result;
    };
    let limit = match &result {
        Ok(_) => job.arguments.target_timeout,
        Err(_) => AFTER_FAILURE,
    };
    let written = DumpDirectory::record(path, name, &recorder, result.as_ref(), limit);
    match (written, result) {
        (Err(error), Ok(mut done)) => {
            log.warning(&advice::text(&error));
            done.warnings = done.warnings.saturating_add(1);
            Ok(done)
        }
        // What failed is told; where it leaves no log, that is why.
        (_, result) => result,
    }
}
