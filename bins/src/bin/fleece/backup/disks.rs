//! Disks that `fleece serve` or another NBD server has, and images of stopped guests.

use std::path::Path;

use fleece_backup_core::exports::{self, Address, ExportedBackup, backup_exports};
use fleece_backup_core::native::{self, Image, ImageBackup, ServedBackup};
use fleece_backup_core::{Error, Foreseen, Outcome};

use super::job::Job;

/// What a guest uses at this moment, through the control socket of its server.
pub(super) fn served(job: &Job<'_>, control: &Path) -> Result<Outcome, Error> {
    native::backup_served(&of_served(job, control)?, job.log, &job.cancel)
}

/// What a backup of it would do.
pub(super) fn foresee_served(job: &Job<'_>, control: &Path) -> Result<Foreseen, Error> {
    native::foresee_served(&of_served(job, control)?, job.log, &job.cancel)
}

fn of_served(job: &Job<'_>, control: &Path) -> Result<ServedBackup, Error> {
    let record = job.places.record(&job.guest.id);
    let (fleecing, archive) = (job.fleecing_place()?, job.archive.clone());
    let mut backup = ServedBackup::new(control.to_owned(), fleecing.into(), record, archive);
    backup.options.timeout = job.arguments.cbw_timeout;
    backup.incremental = job.arguments.incremental.then(|| job.incrementally());
    backup.storages.clone_from(&job.storages);
    Ok(backup)
}

/// Images, which nobody can write to meanwhile.
pub(super) fn images(job: &Job<'_>) -> Result<Outcome, Error> {
    native::backup_images(&of_images(job), job.log, &job.cancel)
}

/// What a backup of them would do.
pub(super) fn foresee_images(job: &Job<'_>) -> Result<Foreseen, Error> {
    native::foresee_images(&of_images(job), job.log)
}

fn of_images(job: &Job<'_>) -> ImageBackup {
    let record = job.places.record(&job.guest.id);
    let images = job.arguments.which.image.iter();
    let images = images.map(|text| Image::named(text)).collect();
    let mut backup = ImageBackup::new(images, record, job.archive.clone());
    backup.storages.clone_from(&job.storages);
    backup
}

/// What an NBD server exports.
pub(super) fn exports(job: &Job<'_>, server: &Address) -> Result<Outcome, Error> {
    backup_exports(&of_exports(job, server), job.log, &job.cancel)
}

/// What a backup of it would do.
pub(super) fn foresee_exports(job: &Job<'_>, server: &Address) -> Result<Foreseen, Error> {
    exports::foresee_exports(&of_exports(job, server), job.log)
}

fn of_exports(job: &Job<'_>, server: &Address) -> ExportedBackup {
    let record = job.places.record(&job.guest.id);
    let (disks, archive) = (job.arguments.disk.clone(), job.archive.clone());
    let mut backup = ExportedBackup::new(server.clone(), disks, record, archive);
    backup.release = job.arguments.release;
    backup.base.clone_from(&job.arguments.base);
    backup.incremental = job.incrementally();
    backup.storages.clone_from(&job.storages);
    backup
}
