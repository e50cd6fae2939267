//! A guest that QEMU runs.

use std::path::Path;

use fleece_backup_core::qemu::{self, Fleecing, GuestBackup};
use fleece_backup_core::{Error, Foreseen, Outcome};
use fleece_fleecing::GuestAddress;

use super::hooks::Phased;
use super::job::Job;

pub(super) fn guest(
    job: &Job<'_>,
    qmp: &GuestAddress,
    config: Option<&Path>,
) -> Result<Outcome, Error> {
    qemu::backup(&of_guest(job, qmp, config)?, &Phased(job), &job.cancel)
}

/// What a backup of it would do.
pub(super) fn foresee(
    job: &Job<'_>,
    qmp: &GuestAddress,
    config: Option<&Path>,
) -> Result<Foreseen, Error> {
    qemu::foresee(&of_guest(job, qmp, config)?, job.log, &job.cancel)
}

fn of_guest(
    job: &Job<'_>,
    qmp: &GuestAddress,
    config: Option<&Path>,
) -> Result<GuestBackup, Error> {
    let Job {
        arguments, guest, ..
    } = job;
    let mut fleecing = Fleecing::on(job.fleecing_place()?);
    fleecing.format = arguments.fleecing_format;
    let record = job.places.record(&guest.id);
    let mut backup = GuestBackup::new(qmp.clone(), record, fleecing, job.archive.clone());
    backup.storages.clone_from(&job.storages);
    backup.include.clone_from(&arguments.include);
    backup.exclude.clone_from(&arguments.exclude);
    if let Some(config) = config.filter(|_| arguments.include.is_empty()) {
        backup.heed(config)?;
    }
    backup.agent = arguments.agent.clone().map(GuestAddress::from);
    backup.max_pause = arguments.max_pause;
    backup.mode = arguments.mode;
    backup.stop_wait = arguments.stop_wait;
    if let Some(domain) = &guest.domain {
        domain.equip(&mut backup, arguments.libvirt_native)?;
    }
    backup.cbw_timeout = arguments.cbw_timeout;
    backup.nbd_server.clone_from(&arguments.nbd_server);
    backup.incremental = arguments.incremental.then(|| job.incrementally());
    Ok(backup)
}
