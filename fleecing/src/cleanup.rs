//! Finishing what a killed backup left.

use std::path::Path;
use std::slice;
use std::time::Duration;

use fleece_guest_config::{ConfigFile, ErrorKind as ConfigErrorKind};
use fleece_qmp_client::{Address, Agent, ErrorKind as QmpErrorKind, Options};
use fleece_storage::{Storages, VolumeId};

use crate::record::{Contents, Place, Record};
use crate::{Error, ErrorKind, hang, image, inside};

/// What a clean-up did.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Cleaned {
    /// Things that were removed, for people.
    pub done: Vec<String>,
    /// What could not be removed; it stays on record.
    pub failed: Vec<Error>,
}

/// Removes everything that the record of a guest names, and what carries our names inside its QEMU.
///
/// `qmp` is the guest's monitor, if it is not the recorded one. QEMU may run, have been restarted, or
/// be gone. What cannot be removed, say because its storage does not answer, stays on record, and the
/// rest is removed. Doing it twice does no harm.
///
/// # Errors
/// [`ErrorKind::Busy`] while the guest is being backed up; [`ErrorKind::Record`] when the record
/// cannot be read. All other failures are in [`Cleaned::failed`].
pub fn cleanup(
    place: &Place,
    qmp: Option<&Address>,
    storages: &Storages,
) -> Result<Cleaned, Error> {
    let record = Record::open(place)?;
    let mut cleaned = Cleaned::default();
    clean(&record, qmp, storages, &mut cleaned)?;
    Ok(cleaned)
}

/// The same for a record that is open: what every backup does first.
///
/// # Errors
/// As [`cleanup`].
pub fn clean(
    record: &Record,
    qmp: Option<&Address>,
    storages: &Storages,
    cleaned: &mut Cleaned,
) -> Result<(), Error> {
    let contents = record.contents()?;
    if let Some(agent) = &contents.frozen {
        match thaw(agent) {
            Ok(()) => {
                record.note_frozen(None)?;
                cleaned
                    .done
                    .push("freeze of the guest's file systems".into());
            }
            Err(error) => cleaned.failed.push(error),
        }
    }
    for file in &contents.files {
        match remove_file(file) {
            Ok(removed) => {
                record.remove_files(slice::from_ref(file))?;
                let what = removed.then(|| format!("unfinished archive {}", file.display()));
                cleaned.done.extend(what);
            }
            Err(error) => cleaned.failed.push(error),
        }
    }
    let recorded = contents
        .qmp
        .as_deref()
        .map(|text| text.parse())
        .transpose()
        .unwrap_or_default();
    let answer = || must_answer(&contents.images, storages);
    if let Some(address) = qmp.or(recorded.as_ref())
        && let Err(error) = inside::remove_all(None, address, record, &answer)
    {
        // What QEMU may still use must not be freed.
        cleaned.failed.push(error);
        return Ok(());
    }
    if let Some(socket) = &contents.nbd_socket {
        record.note_nbd_socket(None)?;
        cleaned
            .done
            .push(format!("NBD server on {}", socket.display()));
    }
    if contents.paused {
        record.note_paused(false)?;
    }
    for name in &contents.images {
        match free(record, name, storages) {
            Ok(()) => cleaned.done.push(format!("fleecing image {name}")),
            Err(error) => cleaned.failed.push(error),
        }
    }
    free_volumes(record, &contents, storages, cleaned)?;
    if cleaned.failed.is_empty() {
        record.forget()?;
    }
    Ok(())
}

/// Frees what an unfinished restore made. A restore writes the guest's configuration last: volumes that
/// the configuration names are complete and the guest's own.
fn free_volumes(
    record: &Record,
    contents: &Contents,
    storages: &Storages,
    cleaned: &mut Cleaned,
) -> Result<(), Error> {
    let Some(path) = &contents.restores else {
        return Ok(());
    };
    let config = match ConfigFile::new(path).load() {
        Ok(config) => Some(config),
        Err(error) if error.kind() == ConfigErrorKind::NotFound => None,
        Err(error) => {
            let message = "cannot tell whether the restored guest uses its volumes";
            let error = Error::caused(ErrorKind::Record, message, error);
            cleaned.failed.push(error);
            return Ok(());
        }
    };
    let mut left = false;
    for name in &contents.volumes {
        if config
            .as_ref()
            .is_some_and(|config| config.uses_volume(name))
        {
            record.remove_volume(name)?;
            continue;
        }
        match free_volume(record, name, storages) {
            Ok(()) => cleaned
                .done
                .push(format!("volume {name} of an unfinished restore")),
            Err(error) => {
                left = true;
                cleaned.failed.push(error);
            }
        }
    }
    if !left {
        record.note_restore(None)?;
    }
    Ok(())
}

fn free_volume(record: &Record, name: &str, storages: &Storages) -> Result<(), Error> {
    let failed = |error| {
        Error::caused(
            ErrorKind::Storage,
            format!("cannot free the volume {name} of an unfinished restore"),
            error,
        )
    };
    let id: VolumeId = name.parse().map_err(failed)?;
    let storage = storages.resolve(&id).map_err(failed)?;
    storage.free(&id).map_err(failed)?;
    record.remove_volume(name)
}

/// Thaws the guest. Without an agent that listens there is no such guest any more.
fn thaw(agent: &str) -> Result<(), Error> {
    let failed = |error| {
        Error::caused(
            ErrorKind::Qemu,
            "cannot thaw the guest's file systems",
            error,
        )
    };
    let Ok(address) = agent.parse();
    match Agent::connect(&address, &Options::default()) {
        Ok(mut agent) => agent
            .fsfreeze_thaw(Duration::from_secs(30))
            .map(drop)
            .map_err(failed),
        Err(error) if matches!(error.kind(), QmpErrorKind::NoSocket | QmpErrorKind::Refused) => {
            Ok(())
        }
        Err(error) => Err(failed(error)),
    }
}

/// Fails if one of the recorded images, which QEMU may have, is on a storage that hangs.
fn must_answer(images: &[String], storages: &Storages) -> Result<(), Error> {
    for name in images {
        // What is not to be found is not to be waited for.
        if let Ok(id) = name.parse::<VolumeId>()
            && let Ok(storage) = storages.resolve(&id)
        {
            hang::must_answer(&storage, &[id], hang::WAY_BACK)?;
        }
    }
    Ok(())
}

/// Removes a file; tells whether it was there. If its directory is gone, it may come back with it.
fn remove_file(path: &Path) -> Result<bool, Error> {
    let removal = {
        let path = path.to_owned();
        move || try_to_remove(&path)
    };
    hang::ask(hang::PATIENCE, removal).unwrap_or_else(|| {
        Err(Error::new(
            ErrorKind::Storage,
            format!(
                "cannot remove {}: its file system does not answer; it stays on record",
                path.display()
            ),
        ))
    })
}

fn try_to_remove(path: &Path) -> Result<bool, Error> {
    let failed = |error| {
        Error::caused(
            ErrorKind::Storage,
            format!("cannot remove {}; it stays on record", path.display()),
            error,
        )
    };
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => match path.parent() {
            Some(parent) => parent.metadata().map(|_| false).map_err(failed),
            None => Ok(false),
        },
        Err(error) => Err(failed(error)),
    }
}

fn free(record: &Record, name: &str, storages: &Storages) -> Result<(), Error> {
    let failed = |error| {
        Error::caused(
            ErrorKind::Storage,
            format!("cannot free the fleecing image {name}"),
            error,
        )
    };
    let id: VolumeId = name.parse().map_err(failed)?;
    let storage = storages.resolve(&id).map_err(failed)?;
    hang::must_answer(&storage, slice::from_ref(&id), hang::FREEING)?;
    // An image on a storage that is not mounted is not gone.
    storage.activate().map_err(failed)?;
    image::free(&storage, record, &id)
}
