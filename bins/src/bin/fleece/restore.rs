//! `fleece restore`

use std::path::Path;
use std::process::ExitCode;

use fleece_backup_core::dump;
use fleece_backup_core::restore::{
    DomainRestore, FolderRestore, GuestRestore, LiveResume, LiveServer, Place, Restored, Start,
    restore_domain, restore_folder, restore_guest, restore_live, resume_live, serve_live,
};
use fleece_backup_core::units;
use fleece_backup_core::{Error, ErrorKind, Places, VolumeFormat};
use fleece_guest_config::GuestId;
use serde_json::{Map, Value, json};

use crate::cli::restore::Restore;
use crate::encryption;
use crate::log::Log;
use crate::namesake;
use fleece_bins::{exit, signals};

pub(crate) fn run(arguments: &Restore, places: &Places, log: &Log) -> Result<ExitCode, Error> {
    if let Some(folder) = &arguments.live_server {
        serve_live(folder, &signals::watch_all()?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let restored = match (&arguments.to, &arguments.vmid) {
        _ if arguments.resume.is_some() || arguments.live => live(arguments, log)?,
        _ if arguments.libvirt => to_libvirt(arguments, log)?,
        (Some(folder), _) => to_folder(arguments, folder, log)?,
        (None, Some(guest)) => to_storages(arguments, guest, places, log)?,
        (None, None) => {
            let message = "what is to be restored? give --vmid or --to";
            return Err(Error::new(ErrorKind::Request, message));
        }
    };
    Ok(ExitCode::from(if restored.warnings > 0 {
        exit::WARNINGS
    } else {
        0
    }))
}

fn to_storages(
    arguments: &Restore,
    guest: &GuestId,
    places: &Places,
    log: &Log,
) -> Result<Restored, Error> {
    let cancel = signals::watch_all()?;
    let archive = dump::only_archive(&arguments.archive)?.to_owned();
    let config = match &arguments.config_out {
        Some(file) => std::path::absolute(file).unwrap_or_else(|_| file.clone()),
        None => places.new_config(guest)?,
    };
    let mut job = GuestRestore::new(archive, config, places.record(guest));
    job.identities = encryption::identities(&arguments.identity)?;
    // A configuration that goes elsewhere is not that of the guest whose rules are there.
    job.firewall = match arguments.config_out {
        Some(_) if places.firewall_dir.is_none() => None,
        _ => places.firewall(guest),
    };
    job.storage.clone_from(&arguments.storage);
    job.disks.clone_from(&arguments.disk);
    job.renames.clone_from(&arguments.rename);
    job.dry_run = arguments.dry_run;
    job.storages = places.storages()?;
    if let Some(storage) = &arguments.storage {
        namesake::tell(Path::new(&storage.storage), &job.storages, log);
    }
    job.unique = arguments.unique;
    job.force = arguments.force;
    job.in_place = arguments.in_place;
    job.bwlimit = arguments.bwlimit;
    let start = arguments.start.then(|| Start::of_guest(&job.config, guest));
    let start = start.transpose()?;
    let restored = restore_guest(&job, log, &cancel)?;
    if !arguments.dry_run {
        tell(&restored, log);
        log.info(&format!(
            "guest {guest} is in {}",
            Path::new(&restored.path).display()
        ));
    }
    started(start.as_ref(), log)?;
    let whose = [("vmid", guest.number().into()), ("config", path(&restored))];
    log.result(&result(&restored, arguments.dry_run, whose));
    Ok(restored)
}

/// Starts the guest first, or goes on with what was begun so.
fn live(arguments: &Restore, log: &Log) -> Result<Restored, Error> {
    let cancel = signals::watch_all()?;
    let program = std::env::current_exe().map_err(|error| {
        let message = "it is not known what program this is";
        Error::caused(ErrorKind::Internal, message, error)
    })?;
    let server = LiveServer {
        program,
        arguments: ["restore", "--live-server", "."].map(Into::into).into(),
    };
    let resumed = |folder: &Path, start| {
        let mut job = LiveResume::new(folder.to_owned());
        job.start = start;
        job.bwlimit = arguments.bwlimit;
        resume_live(&job, &server, log, &cancel)
    };
    let restored = match (&arguments.resume, &arguments.to) {
        (Some(folder), _) => resumed(folder, arguments.start)?,
        (None, Some(folder)) if !arguments.libvirt => {
            let mut job = folder_job(arguments, folder)?;
            job.format = arguments.format.unwrap_or(VolumeFormat::Qcow2);
            restore_live(&job, &server, log, &cancel)?
        }
        _ => {
            let message = "a live restore needs a guest that Fleece starts itself, from images in a directory: give --to DIR. \
                           What Proxmox or libvirt starts is restored first: leave out --live, and start it with --start";
            return Err(Error::new(ErrorKind::Request, message));
        }
    };
    if !arguments.dry_run {
        tell(&restored, log);
    }
    let started = restored.started.map(|after| after.as_secs_f64());
    let whose = [("directory", path(&restored)), ("started", started.into())];
    log.result(&result(&restored, arguments.dry_run, whose));
    Ok(restored)
}

fn folder_job(arguments: &Restore, folder: &Path) -> Result<FolderRestore, Error> {
    let archive = dump::only_archive(&arguments.archive)?.to_owned();
    let mut job = FolderRestore::new(archive, folder.to_owned());
    job.identities = encryption::identities(&arguments.identity)?;
    job.format = arguments.format.unwrap_or(job.format);
    job.disks.clone_from(&arguments.disk);
    job.renames.clone_from(&arguments.rename);
    job.dry_run = arguments.dry_run;
    job.startable = arguments.start;
    job.unique = arguments.unique;
    job.force = arguments.force;
    job.in_place = arguments.in_place;
    job.bwlimit = arguments.bwlimit;
    Ok(job)
}

fn to_folder(arguments: &Restore, folder: &Path, log: &Log) -> Result<Restored, Error> {
    let cancel = signals::watch_all()?;
    let job = folder_job(arguments, folder)?;
    let start = arguments.start.then(|| Start::of_folder(folder));
    let start = start.transpose()?;
    let restored = restore_folder(&job, log, &cancel)?;
    if !arguments.dry_run {
        tell(&restored, log);
    }
    if !arguments.dry_run && start.is_none() {
        log.info(&format!(
            "start the guest with {}/start.sh, or `virsh define` its domain.xml",
            folder.display()
        ));
    }
    started(start.as_ref(), log)?;
    let whose = [("directory", path(&restored))];
    log.result(&result(&restored, arguments.dry_run, whose));
    Ok(restored)
}

fn to_libvirt(arguments: &Restore, log: &Log) -> Result<Restored, Error> {
    let cancel = signals::watch_all()?;
    let pool = || arguments.pool.clone().unwrap_or_else(|| "default".into());
    let place = match &arguments.to {
        Some(folder) => Place::Folder(folder.clone()),
        None => Place::Pool(pool()),
    };
    let archive = dump::only_archive(&arguments.archive)?.to_owned();
    let mut job = DomainRestore::new(archive, place);
    job.identities = encryption::identities(&arguments.identity)?;
    job.uri.clone_from(&arguments.connect);
    job.format = arguments.format.unwrap_or(job.format);
    job.disks.clone_from(&arguments.disk);
    job.name.clone_from(&arguments.name);
    job.unique = arguments.unique;
    job.is_trusted = arguments.trust_xml;
    job.start = arguments.start;
    job.bwlimit = arguments.bwlimit;
    let restored = restore_domain(&job, log, &cancel)?;
    tell(&restored, log);
    let whose = [("directory", path(&restored))];
    log.result(&result(&restored, false, whose));
    Ok(restored)
}

/// Starts the guest, if that was asked for.
fn started(start: Option<&Start>, log: &Log) -> Result<(), Error> {
    if let Some(start) = start {
        log.info(&start.run()?);
    }
    Ok(())
}

fn tell(restored: &Restored, log: &Log) {
    log.info(&format!(
        "restored {} ({}% of it zero) in {} ({})",
        units::bytes(restored.bytes),
        units::percent(restored.zero, restored.bytes),
        units::duration(restored.took),
        units::rate(units::speed(restored.bytes, restored.took))
    ));
    if let Some(written) = restored.written {
        log.info(&format!(
            "wrote {} ({}%): the rest was there",
            units::bytes(written),
            units::percent(written, restored.bytes)
        ));
    }
}

fn path(restored: &Restored) -> Value {
    restored.path.display().to_string().into()
}

fn result<const N: usize>(restored: &Restored, dry_run: bool, first: [(&str, Value); N]) -> Value {
    let disks: Map<String, Value> = restored
        .disks
        .iter()
        .map(|(disk, volume)| (disk.clone(), volume.as_str().into()))
        .collect();
    let mut result = json!({
        "disks": disks,
        "bytes": restored.bytes,
        "zero": restored.zero,
        "written": restored.written,
        "seconds": restored.took.as_secs_f64(),
        "warnings": restored.warnings,
        "dry_run": dry_run,
    });
    if let Some(object) = result.as_object_mut() {
        object.extend(first.map(|(key, value)| (key.to_owned(), value)));
    }
    result
}
