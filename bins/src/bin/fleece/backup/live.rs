//! A guest that QEMU runs.

use std::path::Path;

use fleece_backup_core::qemu::{self, Fleecing, GuestBackup};
use fleece_backup_core::{Error, ErrorKind, Outcome};
use fleece_guest_config::Drive;
use fleece_qmp_client::Address;
use fleece_staged_file::create_directories;

use super::{Job, load};

pub(super) fn guest(job: &Job<'_>, qmp: &Address, config: Option<&Path>) -> Result<Outcome, Error> {
    let Job {
        arguments, guest, ..
    } = job;
    let mut fleecing = Fleecing::on(fleecing_place(job)?);
    fleecing.format = arguments.fleecing_format;
    let record = job.places.record(&guest.id);
    let mut backup = GuestBackup::new(qmp.clone(), record, fleecing, job.archive.clone());
    backup.storages.clone_from(&job.storages);
    backup.include.clone_from(&arguments.include);
    backup.exclude.clone_from(&arguments.exclude);
    if let Some(config) = config.filter(|_| arguments.include.is_empty()) {
        backup.unwanted = not_wanted(config)?;
    }
    backup.agent.clone_from(&arguments.agent);
    backup.cbw_timeout = arguments.cbw_timeout;
    backup.nbd_server.clone_from(&arguments.nbd_server);
    qemu::backup(&backup, job.log, &job.cancel)
}

/// Where old data is saved: a storage's id, or a directory.
pub(super) fn fleecing_place(job: &Job<'_>) -> Result<String, Error> {
    let Job {
        arguments, places, ..
    } = job;
    let archive = job.archive.target.path();
    match (&arguments.fleecing, arguments.no_fleecing) {
        (Some(storage), _) => Ok(storage.clone()),
        (None, false) => {
            let directory = places.state_dir().join("images");
            create_directories(&directory, 0o755).map_err(|error| {
                let message = format!("cannot create {}; name another", directory.display());
                Error::caused(
                    ErrorKind::Storage,
                    format!("{message} with --fleecing"),
                    error,
                )
            })?;
            Ok(directory.to_string_lossy().into_owned())
        }
        (None, true) => {
            let beside = archive.and_then(Path::parent).ok_or_else(|| {
                Error::new(
                    ErrorKind::Request,
                    "--no-fleecing saves old data beside the archive, and standard output has no \
                     place beside it",
                )
            })?;
            Ok(format!("{}/", beside.display()))
        }
    }
}

/// Disks that the guest's configuration excludes, with `backup=0` for example.
fn not_wanted(config: &Path) -> Result<Vec<String>, Error> {
    let drives = load(config)?.drives().map_err(|error| {
        Error::caused(ErrorKind::Request, "cannot read the guest's drives", error)
    })?;
    Ok(drives
        .iter()
        .filter(|drive| !drive.is_included() && !drive.is_cdrom)
        .map(Drive::device_name)
        .collect())
}
