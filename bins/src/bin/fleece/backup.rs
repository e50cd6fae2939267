//! `fleece backup`

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use fleece_backup_core::qemu::{self, Fleecing, GuestBackup, Outcome};
use fleece_backup_core::{ArchiveOptions, Error, ErrorKind, units};
use fleece_guest_config::{ConfigFile, Drive, GuestConfig};
use fleece_storage::Storages;
use jiff::Zoned;
use serde_json::json;

use crate::cli::{Backup, Places};
use crate::guest::Guest;
use crate::log::Log;
use crate::{exit, signals};

pub(crate) fn run(arguments: &Backup, places: &Places, log: &Log) -> Result<ExitCode, Error> {
    let cancel = signals::token()?;
    let now = Zoned::now();
    let guest = Guest::new(arguments.vmid, arguments.qmp.as_ref())?;
    let storages = places.storages()?;
    let config = places.guest_config(&guest.name);

    let archive = archive_path(arguments, &guest, &storages, &now)?;
    let fleecing = fleecing(arguments, places, archive.as_deref())?;
    let record = places.record(&guest.name)?;
    let mut job = GuestBackup::new(guest.qmp, guest.vmid, record, fleecing);
    job.storages = storages;
    job.archive = archive_options(arguments, archive, &now);
    job.archive.configs = configs(&arguments.config, config.as_deref())?;
    job.include.clone_from(&arguments.include);
    job.exclude.clone_from(&arguments.exclude);
    if let Some(config) = config.filter(|_| arguments.include.is_empty()) {
        job.unwanted = not_wanted(&config)?;
    }
    job.agent.clone_from(&arguments.agent);
    job.cbw_timeout = arguments.cbw_timeout;
    job.nbd_server.clone_from(&arguments.nbd_server);

    log.info(&format!("Starting Backup of VM {} (qemu)", guest.name));
    log.info(&format!(
        "Backup started at {}",
        now.strftime("%Y-%m-%d %H:%M:%S")
    ));
    if let Some(archive) = &job.archive.path {
        log.info(&format!("creating vzdump archive '{}'", archive.display()));
    }
    let outcome = qemu::backup(&job, log, &cancel)
        .inspect_err(|_| log.info(&format!("Backup of VM {} failed", guest.name)))?;
    tell(&outcome, &guest.name, log);
    Ok(ExitCode::from(if outcome.warnings > 0 {
        exit::WARNINGS
    } else {
        0
    }))
}

fn tell(outcome: &Outcome, guest: &str, log: &Log) {
    let archived = &outcome.archived;
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
    if let Some(peak) = outcome.fleecing_peak {
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
        "archive": archived.path,
        "size": archived.size,
        "disks": archived.disks,
        "zero": archived.zero,
        "seconds": seconds,
        "switch_ms": outcome.switched.took.as_secs_f64() * 1000.0,
        "paused_ms": outcome.switched.paused.map(|paused| paused.as_secs_f64() * 1000.0),
        "fleecing_peak": outcome.fleecing_peak,
        "warnings": outcome.warnings,
    }));
}

fn archive_options(arguments: &Backup, path: Option<PathBuf>, now: &Zoned) -> ArchiveOptions {
    let mut options = ArchiveOptions::default();
    options.path = path;
    options.compression = arguments.compress;
    options.uuid = uuid::Uuid::new_v4().into_bytes();
    options.ctime = now.timestamp().as_second();
    options.bwlimit = arguments.bwlimit;
    options.max_depth = arguments.max_depth.into();
    options.guest_latency = arguments.guest_latency;
    options
}

/// Where the archive goes; `None`: standard output.
fn archive_path(
    arguments: &Backup,
    guest: &Guest,
    storages: &Storages,
    now: &Zoned,
) -> Result<Option<PathBuf>, Error> {
    let to = arguments.to.as_path();
    if to.as_os_str() == "-" {
        return Ok(None);
    }
    let name = format!(
        "vzdump-qemu-{}-{}.vma{}",
        guest.vmid,
        now.strftime("%Y_%m_%d-%H_%M_%S"),
        arguments.compress.ending()
    );
    if to.is_dir() {
        return Ok(Some(to.join(name)));
    }
    if let Some(id) = to
        .to_str()
        .filter(|id| storages.config().section(id).is_some())
    {
        let failed = |error| {
            Error::caused(
                ErrorKind::Storage,
                format!("cannot use storage {id}"),
                error,
            )
        };
        let storage = storages.open(id).map_err(failed)?;
        storage.activate().map_err(failed)?;
        return storage
            .dump_directory()
            .map(|directory| Some(directory.join(name)))
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::Request,
                    format!("storage {id} cannot hold backups"),
                )
            });
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

fn fleecing(
    arguments: &Backup,
    places: &Places,
    archive: Option<&Path>,
) -> Result<Fleecing, Error> {
    let directory = match (&arguments.fleecing, arguments.no_fleecing) {
        (Some(storage), _) => storage.clone(),
        (None, false) => {
            let directory = places.state_dir().join("images");
            fs::create_dir_all(&directory).map_err(|error| {
                let message = format!("cannot create {}; name another", directory.display());
                Error::caused(
                    ErrorKind::Storage,
                    format!("{message} with --fleecing"),
                    error,
                )
            })?;
            directory.to_string_lossy().into_owned()
        }
        (None, true) => {
            let beside = archive.and_then(Path::parent).ok_or_else(|| {
                Error::new(
                    ErrorKind::Request,
                    "--no-fleecing saves old data beside the archive, and standard output has no \
                     place beside it",
                )
            })?;
            format!("{}/", beside.display())
        }
    };
    let mut fleecing = Fleecing::on(directory);
    fleecing.format = arguments.fleecing_format;
    Ok(fleecing)
}

/// The files that were named, or the guest's own configuration.
fn configs(named: &[PathBuf], config: Option<&Path>) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let mut configs = Vec::new();
    if let Some(config) = config.filter(|_| named.is_empty()) {
        let text = load(config)?.archive_text(&[]);
        configs.push(("qemu-server.conf".to_owned(), text.into_bytes()));
    }
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

fn load(config: &Path) -> Result<GuestConfig, Error> {
    ConfigFile::new(config).load().map_err(|error| {
        Error::caused(
            ErrorKind::Request,
            "cannot read the guest's configuration",
            error,
        )
    })
}
