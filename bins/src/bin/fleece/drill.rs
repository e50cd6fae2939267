//! `fleece drill`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use fleece_backup_core::dump::{Backup, Boots, DumpDirectory};
use fleece_backup_core::restore::{self, Drilled, FileSystemCheck};
use fleece_backup_core::{Error, ErrorKind, Places, clock, units};
use fleece_guest_config::GuestId;
use serde_json::json;

use crate::advice;
use crate::cli::drill::Drill;
use crate::log::Log;
use crate::namesake;
use fleece_bins::signals;

/// Drills all that is named; one that does not boot does not keep the others from being tried.
pub(crate) fn run(arguments: &Drill, places: &Places, log: &Log) -> Result<ExitCode, Error> {
    let cancel = signals::watch_all()?;
    let (directory, backups) = named(arguments, places, log)?;
    let mut failed = 0_usize;
    let mut first = None;
    for backup in &backups {
        log.info(&format!("drill of {}", backup.file_name()));
        let mut job = restore::Drill::new(backup.path().to_owned(), places.state_dir());
        job.markers.clone_from(&arguments.wait);
        job.timeout = arguments.timeout;
        job.screenshot = arguments
            .screenshots
            .as_deref()
            .map(|to| picture(to, backup));
        job.fsck = arguments.fsck;
        job.accelerator.clone_from(&arguments.accel);
        job.memory = arguments.memory;
        let drilled = match restore::drill(&job, log, &cancel) {
            Ok(drilled) => drilled,
            Err(error) if backups.len() == 1 || matches!(error.kind(), ErrorKind::Cancelled(_)) => {
                return Err(error);
            }
            Err(error) => {
                log.warning(&format!("{}: {}", backup.file_name(), advice::text(&error)));
                first.get_or_insert(error);
                continue;
            }
        };
        let now = clock::now().timestamp();
        let boots = if drilled.boots {
            Boots::Yes(now)
        } else {
            Boots::No(now)
        };
        directory.set_boots(backup, boots)?;
        tell(backup, &drilled, log);
        failed = failed.saturating_add(usize::from(!drilled.boots));
    }
    match (failed, first) {
        (0, None) => Ok(ExitCode::SUCCESS),
        (0, Some(error)) => Err(error),
        _ => {
            let message = units::count(failed, "backup does not boot", "backups do not boot");
            Err(Error::new(ErrorKind::Damage, message))
        }
    }
}

/// The backups that are meant, and where they are.
fn named(
    arguments: &Drill,
    places: &Places,
    log: &Log,
) -> Result<(DumpDirectory, Vec<Backup>), Error> {
    let archive = arguments.archive.as_deref();
    let Some(place) = &arguments.to else {
        let archive = archive.unwrap_or_default();
        let (directory, backup) = DumpDirectory::find_archive(Path::new(archive))?;
        return Ok((directory, vec![backup]));
    };
    let storages = places.storages()?;
    namesake::tell(place, &storages, log);
    let directory = DumpDirectory::open(place, &storages)?;
    let guest: Option<GuestId> = archive
        .map(|name| {
            name.parse().map_err(|error| {
                let message = format!("'{name}' is no guest's number or name");
                Error::caused(ErrorKind::Request, message, error)
            })
        })
        .transpose()?;
    let mut newest: Vec<Backup> = Vec::new();
    for backup in directory.list()? {
        let is_wanted = guest.is_none() || backup.guest() == guest.as_ref();
        if backup.guest().is_none()
            || !backup.is_readable()
            || backup.fault().is_some()
            || !is_wanted
        {
            continue;
        }
        match newest
            .iter_mut()
            .find(|other| other.guest() == backup.guest())
        {
            Some(other) if other.time() < backup.time() => *other = backup,
            Some(_) => {}
            None => newest.push(backup),
        }
    }
    if newest.is_empty() {
        let of = guest
            .map(|guest| format!(" of guest {guest}"))
            .unwrap_or_default();
        let message = format!("there is no backup{of} in {} to be tried", place.display());
        return Err(Error::new(ErrorKind::Request, message));
    }
    Ok((directory, newest))
}

fn picture(to: &Path, backup: &Backup) -> PathBuf {
    to.join(format!("{}.png", backup.file_name()))
}

fn tell(backup: &Backup, drilled: &Drilled, log: &Log) {
    let checks = drilled.checks.iter().map(FileSystemCheck::to_json);
    log.result(&json!({
        "file": backup.file_name(),
        "guest": backup.guest().map(GuestId::to_string),
        "boots": drilled.boots,
        "message": drilled.why,
        "seconds": drilled.took.as_secs_f64(),
        "screenshot": drilled.screenshot.as_ref().map(|path| path.display().to_string()),
        "checks": checks.collect::<Vec<_>>(),
    }));
}
