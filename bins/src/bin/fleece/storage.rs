//! `fleece storage`: the storages of the configuration.

use std::path::PathBuf;
use std::process::ExitCode;

use fleece_backup_core::{Error, ErrorKind, Places, units};
use fleece_staged_file::create_directories;
use fleece_storage::{StorageFile, StorageSection, Storages};
use serde_json::json;

use crate::cli::storage::{StorageAdd, StorageCommand, StorageRemove};
use crate::log::Log;
use crate::table::table;
use fleece_bins::exit;

pub(crate) fn run(command: &StorageCommand, places: &Places, log: &Log) -> Result<ExitCode, Error> {
    match command {
        StorageCommand::List => list(places, log),
        StorageCommand::Add(arguments) => add(arguments, places, log),
        StorageCommand::Remove(arguments) => remove(arguments, places, log),
    }
}

/// Each storage with its room, or with what is wrong with it. One that does not work does not keep the
/// others from being shown.
fn list(places: &Places, log: &Log) -> Result<ExitCode, Error> {
    let storages = places.storages()?;
    let problems = storages.config().problems();
    for problem in &problems {
        log.warning(problem);
    }
    let mut rows = Vec::new();
    let mut failed = !problems.is_empty();
    for section in storages.config().sections() {
        let [id, kind] = [section.id(), section.kind()].map(str::to_owned);
        let room = room(section, &storages);
        // What is not meant to work here is shown with the reason, and no failure.
        failed |= room.is_err() && Storages::is_in_use(section);
        log.result(&match &room {
            Ok(room) => json!({
                "id": id, "type": kind,
                "total": room.total, "used": room.used, "available": room.available,
            }),
            Err(error) => json!({"id": id, "type": kind, "error": error}),
        });
        rows.push(match room {
            Ok(room) => {
                let [total, used, free] = [room.total, room.used, room.available].map(units::bytes);
                [id, kind, total, used, free, String::new()]
            }
            Err(error) => [id, kind, "-".into(), "-".into(), "-".into(), error],
        });
    }
    if rows.is_empty() {
        log.info(
            "no storages are configured; wherever a storage is asked for, a directory will do",
        );
    } else {
        let titles = ["ID", "TYPE", "TOTAL", "USED", "FREE", "PROBLEM"];
        log.data(&table(titles, rows));
    }
    Ok(ExitCode::from(if failed { exit::WARNINGS } else { 0 }))
}

fn room(section: &StorageSection, storages: &Storages) -> Result<fleece_storage::Status, String> {
    let room = storages
        .open(section.id())
        .and_then(|storage| storage.status());
    room.map_err(|error| Error::caused(ErrorKind::Storage, "cannot be used", error).chain())
}

fn add(arguments: &StorageAdd, places: &Places, log: &Log) -> Result<ExitCode, Error> {
    let is_directory = ["dir", "btrfs"].contains(&arguments.kind.as_str());
    let section = || {
        let mut section = StorageSection::new(&arguments.kind, &arguments.id)?;
        for (key, value) in &arguments.properties {
            match (key.as_str(), is_directory) {
                ("path", true) => section.set(key, &absolute(value))?,
                _ => section.set(key, value)?,
            }
        }
        Ok(section)
    };
    let section = section().map_err(failed)?;
    Storages::knows(&section).map_err(failed)?;
    let directory = section.get("path").map(PathBuf::from);
    let is_own = is_directory && !section.needs_mount();
    if let Some(directory) = directory.filter(|path| is_own && !path.is_dir()) {
        create_directories(&directory, 0o755).map_err(|error| {
            let message = format!("cannot create {}", directory.display());
            Error::caused(ErrorKind::Storage, message, error)
        })?;
        log.info(&format!("created {}", directory.display()));
    }
    file(places)?
        .update(|config| config.add(section))
        .map_err(failed)?;
    log.info(&format!("added the storage {}", arguments.id));
    Ok(ExitCode::SUCCESS)
}

/// The configuration is read from any working directory.
fn absolute(path: &str) -> String {
    let absolute = std::path::absolute(path).ok();
    let absolute = absolute.and_then(|path| path.into_os_string().into_string().ok());
    absolute.unwrap_or_else(|| path.to_owned())
}

fn remove(arguments: &StorageRemove, places: &Places, log: &Log) -> Result<ExitCode, Error> {
    let id = &arguments.id;
    let there = file(places)?
        .update(|config| Ok(config.remove(id)))
        .map_err(failed)?;
    if !there {
        let message = format!("there is no storage {id} in the configuration");
        return Err(Error::new(ErrorKind::Storage, message));
    }
    log.info(&format!("removed the storage {id}; what lies on it stays"));
    Ok(ExitCode::SUCCESS)
}

fn file(places: &Places) -> Result<StorageFile, Error> {
    places
        .storage_config()
        .map(StorageFile::new)
        .ok_or_else(|| {
            Error::new(
                ErrorKind::Request,
                "which storage configuration? give --storage-config",
            )
        })
}

fn failed(error: fleece_storage::Error) -> Error {
    let (kind, message) = match error.kind() {
        fleece_storage::ErrorKind::Unsynced => (ErrorKind::Unsynced, "done"),
        _ => (
            ErrorKind::Storage,
            "cannot change the storage configuration",
        ),
    };
    Error::caused(kind, message, error)
}
