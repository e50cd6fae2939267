//! Backups of disks that no QEMU runs, on record: those that a [`super::Server`] serves, and images.

use std::path::PathBuf;
use std::sync::Arc;

use fleece_fleecing::Place;
use fleece_storage::Storages;

use super::guest::Guest;
use super::image::Image;
use super::incremental;
use super::source::ImageSource;
use crate::cbw::Options;
use crate::job::archive::{ArchiveOptions, Archived};
use crate::job::cancel::CancelToken;
use crate::job::incremental::Incrementally;
use crate::job::{Job, Outcome, Tracked};
use crate::pipeline::source::Source;
use crate::report::error::{Error, ErrorKind};
use crate::report::units;
use crate::report::{Counting, Reporter};
use crate::target::base::digits;

/// A backup of the disks that another process serves.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServedBackup {
    /// The control socket of the server.
    pub control: PathBuf,
    /// The directory in which the server makes fleecing images.
    pub fleecing: PathBuf,
    /// How the instant is kept.
    pub options: Options,
    /// Read only what has changed since the last archive at the target, as the server knows it.
    pub incremental: Option<Incrementally>,
    /// The guest, and where its record is kept.
    pub record: Place,
    /// Storages by name, for cleaning up.
    pub storages: Storages,
    /// The archive to write.
    pub archive: ArchiveOptions,
}

impl ServedBackup {
    /// A backup with the defaults.
    #[must_use]
    pub fn new(
        control: PathBuf,
        fleecing: PathBuf,
        record: Place,
        archive: ArchiveOptions,
    ) -> Self {
        Self {
            control,
            fleecing,
            options: Options::default(),
            incremental: None,
            record,
            storages: Storages::none(),
            archive,
        }
    }
}

impl ServedBackup {
    /// The directory of the fleecing images, as the server sees it.
    pub(super) fn fleecing_directory(&self) -> Result<PathBuf, Error> {
        std::fs::canonicalize(&self.fleecing).map_err(|error| {
            let message = format!(
                "cannot use {} for fleecing images; it must be a directory",
                self.fleecing.display()
            );
            Error::caused(ErrorKind::Storage, message, error)
        })
    }
}

/// Backs up what a guest uses at this moment, while it does.
///
/// # Errors
/// The first cause. The archive exists only if there is no error.
pub fn backup_served(
    job: &ServedBackup,
    reporter: &dyn Reporter,
    cancel: &CancelToken,
) -> Result<Outcome, Error> {
    let reporter = &Counting::new(reporter);
    let fleecing = job.fleecing_directory()?;
    let on_record = Job::open(&job.record, &job.storages, reporter, cancel)?;
    let uuid = job.incremental.map(|_| digits(&job.archive.content.uuid));
    let guest = Guest::attach_for(uuid, &job.control, &fleecing, &job.options, cancel)?;
    if let Some(before) = guest.before() {
        let before = units::millis(before);
        reporter.info(format!(
            "99 of 100 of the guest's writes take up to {before}"
        ));
    }
    reporter.info("copy-before-write is active on all disks; the guest was not stopped".into());
    let archived = match job.incremental {
        None => {
            let archived = guest.archive(Some(&on_record), &job.archive, reporter, cancel);
            archived.map(|archived| (archived, None))
        }
        Some(how) => changed(job, how, &guest, &on_record, reporter, cancel),
    };
    let fleecing_peak = guest.fleecing_peak();
    let detached = guest.detach();
    let (archived, tracked) = archived?;
    detached?;
    Ok(Outcome {
        tracked,
        ..outcome(archived, fleecing_peak, reporter)
    })
}

/// An archive for which only what has changed is read.
fn changed(
    job: &ServedBackup,
    how: Incrementally,
    guest: &Guest,
    on_record: &Job,
    reporter: &Counting<'_>,
    cancel: &CancelToken,
) -> Result<(Archived, Option<Tracked>), Error> {
    let record = on_record.record();
    let (earlier, sources) =
        incremental::sources(&job.archive, how, guest, record, reporter, cancel)?;
    let mut options = job.archive.clone();
    options.target.base = earlier.base().cloned();
    let archived = guest.archive_of(&sources, Some(on_record), &options, reporter, cancel);
    let complete = archived.as_ref().ok().map(|_| &options.content.uuid);
    if let Err(error) = earlier.end(record, complete) {
        reporter.warning(error);
    }
    let archived = archived?;
    // Without it, the next archive has more to read.
    if let Err(error) = guest.complete() {
        reporter.warning(error);
    }
    let tracked = earlier.tracked(&archived);
    Ok((archived, Some(tracked)))
}

/// A backup of the images of a stopped guest.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ImageBackup {
    /// The images, which nobody can write to meanwhile.
    pub images: Vec<Image>,
    /// The guest, and where its record is kept.
    pub record: Place,
    /// Storages by name, for cleaning up.
    pub storages: Storages,
    /// The archive to write.
    pub archive: ArchiveOptions,
}

impl ImageBackup {
    /// A backup with the defaults.
    #[must_use]
    pub fn new(images: Vec<Image>, record: Place, archive: ArchiveOptions) -> Self {
        Self {
            images,
            record,
            storages: Storages::none(),
            archive,
        }
    }
}

/// Backs up images.
///
/// # Errors
/// The first cause. The archive exists only if there is no error.
pub fn backup_images(
    job: &ImageBackup,
    reporter: &dyn Reporter,
    cancel: &CancelToken,
) -> Result<Outcome, Error> {
    let reporter = &Counting::new(reporter);
    let mut sources: Vec<Arc<dyn Source>> = Vec::new();
    let mut locks = Vec::new();
    for image in &job.images {
        let (device, lock) = image.open_for_reading()?;
        let (name, path) = (image.name(), image.path().display());
        reporter.info(format!("include disk '{name}' '{path}'"));
        sources.push(Arc::new(ImageSource::new(name, device)));
        locks.push(lock);
    }
    let on_record = Job::open(&job.record, &job.storages, reporter, cancel)?;
    let archived = on_record.archive(&sources, &job.archive, None, reporter, cancel)?;
    drop(locks);
    Ok(outcome(archived, None, reporter))
}

fn outcome(archived: Archived, fleecing_peak: Option<u64>, reporter: &Counting<'_>) -> Outcome {
    Outcome {
        archived,
        switched: None,
        frozen: None,
        down: None,
        fleecing_peak,
        tracked: None,
        warnings: reporter.warnings(),
    }
}
