//! Disks that `fleece serve` serves, and images of stopped guests.

use std::path::Path;

use fleece_backup_core::native::{self, Image, ImageBackup, ServedBackup};
use fleece_backup_core::{Error, Outcome};

use super::job::Job;

/// What a guest uses at this moment, through the control socket of its server.
pub(super) fn served(job: &Job<'_>, control: &Path) -> Result<Outcome, Error> {
    let record = job.places.record(&job.guest.id);
    let (fleecing, archive) = (job.fleecing_place()?, job.archive.clone());
    let mut backup = ServedBackup::new(control.to_owned(), fleecing.into(), record, archive);
    backup.options.timeout = job.arguments.cbw_timeout;
    backup.storages.clone_from(&job.storages);
    native::backup_served(&backup, job.log, &job.cancel)
}

/// Images, which nobody can write to meanwhile.
pub(super) fn images(job: &Job<'_>) -> Result<Outcome, Error> {
    let record = job.places.record(&job.guest.id);
    let images = job.arguments.which.image.iter();
    let images = images.map(|text| Image::named(text)).collect();
    let mut backup = ImageBackup::new(images, record, job.archive.clone());
    backup.storages.clone_from(&job.storages);
    native::backup_images(&backup, job.log, &job.cancel)
}
