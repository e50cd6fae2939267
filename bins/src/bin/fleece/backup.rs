//! `fleece backup`

mod afterwards;
mod disks;
mod live;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use fleece_backup_core::dump::DumpDirectory;
use fleece_backup_core::{
    ArchiveOptions, ArchiveTarget, CancelToken, Content, Error, ErrorKind, Outcome, at_target,
    units,
};
use fleece_guest_config::{ConfigFile, GuestConfig, GuestId};
use fleece_storage::Storages;
use jiff::Zoned;
use serde_json::json;

use crate::cli::{Backup, Places};
use crate::guest::Guest;
use crate::log::Log;
use crate::target;
use fleece_bins::{exit, signals};

pub(crate) fn run(arguments: &Backup, places: &Places, log: &Log) -> Result<ExitCode, Error> {
    afterwards::check(arguments)?;
    let cancel = signals::watch_all()?;
    let now = Zoned::now();
    let guest = Guest::settle(&arguments.which, places, log)?;
    let storages = places.storages()?;
    let path = archive_path(arguments, &guest, &storages, &now, &cancel)?;
    let mut archive = archive_options(arguments, path, &now);
    let config = places.guest_config(&guest.id);
    archive.content.configs = configs(&arguments.config)?;
    if let Some(config) = config.as_deref().filter(|_| arguments.config.is_empty()) {
        archive.content.guest = Some(load(config)?);
        archive.content.firewall = firewall(places, &guest.id)?;
    }

    log.info(&format!("Starting Backup of VM {} (qemu)", guest.id));
    log.info(&format!(
        "Backup started at {}",
        now.strftime("%Y-%m-%d %H:%M:%S")
    ));
    if let Some(path) = archive.target.path() {
        log.info(&format!("creating vzdump archive '{}'", path.display()));
    }
    let job = Job {
        arguments,
        places,
        storages,
        guest: &guest,
        archive,
        log,
        cancel: cancel.clone(),
    };
    let done = match (&arguments.which.native, &guest.qmp) {
        (Some(control), _) => disks::served(&job, control),
        (None, Some(qmp)) => live::guest(&job, qmp, config.as_deref()),
        (None, None) => disks::images(&job),
    };
    let mut done = done.inspect_err(|_| log.info(&format!("Backup of VM {} failed", guest.id)))?;
    let warnings = afterwards::run(arguments, &done.archived, &guest.id, &cancel, log)?;
    done.warnings = done.warnings.saturating_add(warnings);
    tell(&done, &guest.id, log);
    Ok(ExitCode::from(if done.warnings > 0 {
        exit::WARNINGS
    } else {
        0
    }))
}

/// What all kinds of backups need.
struct Job<'a> {
    arguments: &'a Backup,
    places: &'a Places,
    storages: Storages,
    guest: &'a Guest,
    archive: ArchiveOptions,
    log: &'a Log,
    cancel: CancelToken,
}

fn tell(done: &Outcome, guest: &GuestId, log: &Log) {
    let archived = &done.archived;
    let seconds = archived.took.as_secs_f64();
    #[expect(
        clippy::cast_precision_loss,
        reason = "a rate is shown with few digits"
    )]
    let rate = archived.disks as f64 / seconds.max(0.001);
    log.info(&format!(
        "backup is sparse: {} ({}%) total zero data",
        units::bytes(archived.zero),
        units::percent(archived.zero, archived.disks)
    ));
    log.info(&format!(
        "transferred {} in {} ({})",
        units::bytes(archived.disks),
        units::duration(archived.took),
        units::rate(rate)
    ));
    if let Some(peak) = done.fleecing_peak {
        log.info(&format!(
            "fleecing images held at most {}",
            units::bytes(peak)
        ));
    }
    log.info(&format!(
        "archive file size: {}",
        units::bytes(archived.size)
    ));
    log.info(&format!(
        "Finished Backup of VM {guest} ({})",
        units::duration(archived.took)
    ));
    log.result(&json!({
        "event": "finished",
        "guest": guest.to_string(),
        "archive": archived.path,
        "size": archived.size,
        "disks": archived.disks,
        "zero": archived.zero,
        "seconds": seconds,
        "switch_ms": millis(done.switched.map(|switched| switched.took)),
        "paused_ms": millis(done.switched.and_then(|switched| switched.paused)),
        "frozen_ms": millis(done.frozen),
        "fleecing_peak": done.fleecing_peak,
        "warnings": done.warnings,
    }));
}

fn millis(duration: Option<Duration>) -> Option<f64> {
    duration.map(|duration| duration.as_secs_f64() * 1000.0)
}

fn archive_options(arguments: &Backup, path: Option<PathBuf>, now: &Zoned) -> ArchiveOptions {
    let uuid = uuid::Uuid::new_v4().into_bytes();
    let content = Content::new(uuid, now.timestamp().as_second());
    let mut target = path.map_or_else(ArchiveTarget::stdout, ArchiveTarget::file);
    target.compression = arguments.compress;
    target.timeout = arguments.target_timeout;
    target.keep_partial = arguments.keep_partial;
    let mut options = ArchiveOptions::new(content, target);
    options.pacing.bandwidth = arguments.bwlimit;
    options.pacing.depth = arguments.max_depth.into();
    options.pacing.guest_latency = arguments.guest_latency;
    options.pacing.finish_within = arguments.finish_within.0;
    options.pacing.fleecing_limit = arguments.fleecing_limit;
    options
}

/// Where the archive goes; `None`: standard output.
fn archive_path(
    arguments: &Backup,
    guest: &Guest,
    storages: &Storages,
    now: &Zoned,
    cancel: &CancelToken,
) -> Result<Option<PathBuf>, Error> {
    let to = arguments.to.as_path();
    if to.as_os_str() == "-" {
        return Ok(None);
    }
    let look = {
        let (to, storages, guest) = (to.to_owned(), storages.clone(), guest.id.clone());
        let (time, wrapper) = (now.datetime(), arguments.compress.wrapper());
        move || {
            let directory = target::directory(&to, &storages)?.map(DumpDirectory::new);
            let name = directory.map(|directory| {
                let name = directory.free_name(&guest, time, wrapper)?;
                Ok(directory.path().join(name.to_string()))
            });
            name.transpose()
        }
    };
    let limit = arguments.target_timeout;
    if let Some(path) = at_target("a first look", limit, cancel, look)? {
        return Ok(Some(path));
    }
    if to.extension().is_some() {
        return Ok(Some(to.to_owned()));
    }
    Err(Error::new(
        ErrorKind::Target,
        format!(
            "{} is no directory, no storage, and no name of an archive",
            to.display()
        ),
    ))
}

/// The files that were named.
fn configs(named: &[PathBuf]) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let mut configs = Vec::new();
    for path in named {
        let data = fs::read(path).map_err(|error| {
            let message = format!("cannot read the configuration {}", path.display());
            Error::caused(ErrorKind::Request, message, error)
        })?;
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        configs.push((name, data));
    }
    Ok(configs)
}

/// The guest's firewall rules, if there are any.
fn firewall(places: &Places, guest: &GuestId) -> Result<Option<Vec<u8>>, Error> {
    let Some(path) = places.firewall(guest) else {
        return Ok(None);
    };
    match fs::read(&path) {
        Ok(rules) => Ok(Some(rules)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let message = format!("cannot read the firewall rules {}", path.display());
            Err(Error::caused(ErrorKind::Request, message, error))
        }
    }
}

fn load(config: &Path) -> Result<GuestConfig, Error> {
    ConfigFile::new(config).load().map_err(|error| {
        Error::caused(
            ErrorKind::Request,
            "cannot read the guest's configuration",
            error,
        )
    })
}
