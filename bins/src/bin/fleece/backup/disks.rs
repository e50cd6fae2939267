//! Disks that `fleece serve` serves, and images of stopped guests.

use std::path::Path;
use std::sync::Arc;

use fleece_backup_core::cbw::Options;
use fleece_backup_core::native::{self, ImageSource};
use fleece_backup_core::{Archived, Error, ErrorKind, Source};
use fleece_fleecing::{Cleaned, Record};

use super::live::fleecing_place;
use super::{Done, Job};
use crate::advice;
use crate::image::Image;

/// What a guest uses at this moment, through the control socket of its server.
pub(super) fn served(job: &Job<'_>, control: &Path) -> Result<Done, Error> {
    let place = fleecing_place(job)?;
    let place = std::fs::canonicalize(&place).map_err(|error| {
        let message = format!("cannot use {place} for fleecing images; it must be a directory");
        Error::caused(ErrorKind::Storage, message, error)
    })?;
    on_record(job, || {
        let mut options = Options::default();
        options.timeout = job.arguments.cbw_timeout;
        let guest = native::Guest::attach(control, &place, &options, &job.cancel)?;
        if let Some(before) = guest.before() {
            let before = before.as_secs_f64() * 1000.0;
            job.log.info(&format!(
                "99 of 100 of the guest's writes take up to {before:.1} ms"
            ));
        }
        job.log
            .info("copy-before-write is active on all disks; the guest was not stopped");
        let archived = guest.archive(&job.archive, job.log, &job.cancel);
        let peak = guest.fleecing_peak();
        let detached = guest.detach();
        let archived = archived?;
        detached?;
        Ok((archived, peak))
    })
}

/// Images, which nobody can write to meanwhile.
pub(super) fn images(job: &Job<'_>) -> Result<Done, Error> {
    let mut sources: Vec<Arc<dyn Source>> = Vec::new();
    let mut locks = Vec::new();
    for text in &job.arguments.which.image {
        let image = Image::new(text);
        let (device, lock) = image.open_for_reading()?;
        job.log.info(&format!(
            "include disk '{}' '{}'",
            image.name(),
            image.path.display()
        ));
        sources.push(Arc::new(ImageSource::new(image.name(), device)));
        locks.push(lock);
    }
    let archive = || {
        let archived =
            fleece_backup_core::archive(&sources, &job.archive, None, job.log, &job.cancel)?;
        Ok((archived, None))
    };
    let done = on_record(job, archive);
    drop(locks);
    done
}

/// Runs with the archive's temporary files on record, so that a clean-up finds them if we are killed.
///
/// `archive` also tells what the fleecing images held at most.
fn on_record(
    job: &Job<'_>,
    archive: impl FnOnce() -> Result<(Archived, Option<u64>), Error>,
) -> Result<Done, Error> {
    let place = job.places.record(&job.guest.id);
    let record = Record::open(&place)?;
    let mut cleaned = Cleaned::default();
    fleece_fleecing::clean(
        &record,
        None,
        &job.storages,
        job.cancel.interrupt(),
        &mut cleaned,
    )?;
    for done in cleaned.done {
        job.log
            .info(&format!("removed what an earlier backup left: {done}"));
    }
    for error in cleaned.failed {
        job.log.warning(&advice::text(&error.into()));
    }
    let mut files = job.archive.target.temporary_files();
    // What is there already is somebody else's; the archive will be refused.
    files.retain(|file| !file.exists());
    record.add_files(&files)?;
    let archived = archive();
    if archived.is_err()
        && !files.is_empty()
        && let Some(message) = job.archive.target.unfinished().message()
    {
        job.log.info(&message);
    }
    // An archive that could not be written has removed its files; a hung target keeps them.
    let forgotten = match files.iter().all(|file| !file.exists()) {
        true => record.remove_files(&files),
        false => Ok(()),
    };
    let (archived, fleecing_peak) = archived?;
    let mut warnings = archived.warnings.len();
    if let Err(error) = forgotten {
        job.log.warning(&advice::text(&error.into()));
        warnings = warnings.saturating_add(1);
    }
    Ok(Done {
        warnings,
        archived,
        switched: None,
        frozen: None,
        fleecing_peak,
    })
}
