//! What a killed backup or restore left on storages and in directories.
//!
//! What a record names is taken away only if Fleece could have made it for this guest and nobody uses it
//! (`ownership`, `in_use`, `references`). Everything else is told, and stays where it is and on record.

use std::path::{Path, PathBuf};
use std::slice;
use std::time::Duration;

use fleece_guest_config::ConfigFile;
use fleece_object_storage::Address;
use fleece_qmp_client::Interrupt;
use fleece_storage::{Storages, VolumeId};

use crate::advice::{Advice, AgainFrom};
use crate::error::{Error, ErrorKind};
use crate::journal::ownership::Volume;
use crate::journal::record::{Contents, Record};
use crate::journal::references::References;
use crate::journal::{image, in_use, ownership};
use crate::liveness;

/// What a clean-up did.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Cleaned {
    /// Things that were removed, for people.
    pub done: Vec<String>,
    /// What could not be removed; it stays on record.
    pub failed: Vec<Error>,
}

/// What a record names.
pub(crate) struct Remains<'a> {
    pub(crate) record: &'a Record,
    pub(crate) contents: &'a Contents,
    pub(crate) storages: &'a Storages,
    pub(crate) cleaned: &'a mut Cleaned,
    /// What guests' configurations name, once somebody has asked.
    named: Option<References>,
    pub(crate) interrupt: &'a Interrupt,
}

impl<'a> Remains<'a> {
    pub(crate) fn new(
        record: &'a Record,
        contents: &'a Contents,
        storages: &'a Storages,
        cleaned: &'a mut Cleaned,
        interrupt: &'a Interrupt,
    ) -> Self {
        Self {
            record,
            contents,
            storages,
            cleaned,
            named: None,
            interrupt,
        }
    }

    pub(crate) fn remove_files(&mut self) -> Result<(), Error> {
        if let Some(line) = &self.contents.illegible {
            let message = format!("the record's list of files cannot be understood: {line}");
            self.cleaned.failed.push(foreign(message));
        }
        for file in &self.contents.files {
            match remove_file(file, self.interrupt) {
                Ok(removed) => {
                    self.record.remove_files(slice::from_ref(file))?;
                    let what = removed.then(|| format!("unfinished archive {}", file.display()));
                    self.cleaned.done.extend(what);
                }
                Err(error) => self.cleaned.failed.push(error),
            }
        }
        Ok(())
    }

    pub(crate) fn free_images(&mut self) -> Result<(), Error> {
        // With those that were found in QEMU.
        for name in self.record.contents()?.images {
            let freed = self
                .check(&name, ownership::IMAGE)
                .and_then(|volume| free(self.record, &volume, self.interrupt));
            match freed {
                Ok(()) => self.cleaned.done.push(format!("fleecing image {name}")),
                Err(error) => self.cleaned.failed.push(error),
            }
        }
        Ok(())
    }

    /// Frees what an unfinished restore made. A restore writes the guest's configuration last: volumes that
    /// the configuration names are complete and the guest's own.
    pub(crate) fn free_volumes(&mut self) -> Result<(), Error> {
        for name in &self.contents.volumes {
            let freed = self.check(name, ownership::DISK).and_then(|volume| {
                let failed = |error| {
                    let message = format!("cannot free the volume {name} of an unfinished restore");
                    Error::caused(ErrorKind::Storage, message, error)
                };
                volume.storage.free(&volume.id).map_err(failed)
            });
            match freed {
                Ok(_) => {
                    self.record.remove_volume(name)?;
                    let done = format!("volume {name} of an unfinished restore");
                    self.cleaned.done.push(done);
                }
                Err(_) if self.is_restored(name) => self.record.remove_volume(name)?,
                Err(error) => self.cleaned.failed.push(error),
            }
        }
        if let Some(config) = &self.contents.restores {
            // The next restore does it otherwise.
            let _ = ConfigFile::new(config).settle();
        }
        self.record.end_restore(&[])
    }

    /// Tells which disks are neither old nor new. That they are stays on record until a restore of the guest succeeds, or
    /// they are gone.
    pub(crate) fn tell_overwritten(&mut self) -> Result<(), Error> {
        let Some(overwritten) = &self.contents.overwritten else {
            return Ok(());
        };
        let is_gone = |name: &String| {
            let id: Option<VolumeId> = name.parse().ok();
            let exists = id.and_then(|id| Some(self.storages.resolve(&id).ok()?.exists(&id)));
            matches!(exists, Some(Ok(false)))
        };
        let volumes = &overwritten.volumes;
        if !volumes.is_empty() && volumes.iter().all(is_gone) {
            return self.record.end_overwriting();
        }
        let named = match volumes.is_empty() {
            true => "disks of the guest".to_owned(),
            false => volumes.join(", "),
        };
        let message = format!(
            "{named}: neither as before nor as in the archive, since a restore into them did not end; do not start the \
             guest"
        );
        let archive = &overwritten.archive;
        let is_known = !archive.as_os_str().is_empty() && archive.as_os_str() != "-";
        let again = AgainFrom {
            guest: self.record.guest().clone(),
            archive: is_known.then(|| archive.clone()),
        };
        let error = Error::new(ErrorKind::HalfRestored, message);
        let failed = error.advise(Advice::RestoreAgain(again));
        self.cleaned.failed.push(failed);
        Ok(())
    }

    /// Whether the configuration names a volume that the restore was to write.
    fn is_restored(&self, name: &str) -> bool {
        let config = self.contents.restores.as_deref();
        let named = self.named.as_ref().zip(config);
        named.is_some_and(|(named, config)| named.names(config, name))
    }

    /// The volume of this name on record, if it may be freed.
    fn check(&mut self, name: &str, purpose: &str) -> Result<Volume, Error> {
        let volume = ownership::volume(name, self.record.guest(), purpose, self.storages)?;
        let kept = |why: String| foreign(format!("{name} is not freed and stays on record: {why}"));
        let named = match self.named.take() {
            Some(named) => named,
            None => References::read(self.record.configs(self.contents), self.interrupt)?,
        };
        let named = self.named.insert(named);
        if let Some(config) = named.by(&volume, self.storages) {
            return Err(kept(format!("{} names it", config.display())));
        }
        if let Ok(path) = volume.storage.path(&volume.id) {
            // A link, where Fleece makes files. (A device's name is a link of the system.)
            let is_link = path
                .symlink_metadata()
                .is_ok_and(|found| found.is_symlink());
            if is_link && !path.starts_with("/dev") {
                return Err(kept("it is a symbolic link".into()));
            }
            if let Some(user) = in_use::user_of(&path, self.interrupt) {
                return Err(kept(user));
            }
        }
        Ok(volume)
    }

    /// Fails if one of the recorded images, which QEMU may have, is on a storage that hangs.
    pub(crate) fn must_answer(&self) -> Result<(), Error> {
        for name in &self.contents.images {
            // What is not ours, or not to be found, is not to be waited for.
            if let Ok(Volume { id, storage }) =
                ownership::volume(name, self.record.guest(), ownership::IMAGE, self.storages)
            {
                liveness::must_answer(&storage, &[id], self.interrupt, liveness::ATTACHED)?;
            }
        }
        Ok(())
    }

    /// Where the recorded images are.
    pub(crate) fn places(&self) -> Vec<PathBuf> {
        let images = self.contents.images.iter();
        images
            .filter_map(|name| {
                let id: VolumeId = name.parse().ok()?;
                self.storages.resolve(&id).ok()?.path(&id).ok()
            })
            .collect()
    }
}

pub(crate) fn foreign(message: String) -> Error {
    Error::new(ErrorKind::Foreign, message)
}

fn free(record: &Record, volume: &Volume, interrupt: &Interrupt) -> Result<(), Error> {
    let Volume { id, storage } = volume;
    liveness::must_answer(storage, slice::from_ref(id), interrupt, liveness::FREEING)
        .map_err(|error| error.of(record.clean_up()))?;
    // An image on a storage that is not mounted is not gone.
    storage.activate().map_err(|error| {
        let message = format!("cannot free the fleecing image {id}");
        Error::caused(ErrorKind::Storage, message, error)
    })?;
    image::free(storage, record, id, interrupt)
}

/// Removes a file; tells whether it was there. If its directory is gone, it may come back with it.
fn remove_file(path: &Path, interrupt: &Interrupt) -> Result<bool, Error> {
    if !ownership::is_temporary(path) {
        return Err(foreign(format!(
            "{} is not removed and stays on record: its name is not that of an unfinished file",
            path.display()
        )));
    }
    if let Some(address) = Address::of(path) {
        let removal = move || abort_uploads(&address);
        return liveness::ask(STORE, interrupt, removal).unwrap_or_else(|| {
            let message = format!(
                "cannot remove {}: its store does not answer; it stays on record",
                path.display()
            );
            Err(Error::new(ErrorKind::Storage, message))
        });
    }
    let removal = {
        let (path, interrupt) = (path.to_owned(), interrupt.clone());
        move || try_to_remove(&path, &interrupt)
    };
    liveness::ask(in_use::TIMEOUT, interrupt, removal).unwrap_or_else(|| {
        Err(Error::new(
            ErrorKind::Storage,
            format!(
                "cannot remove {}: its file system does not answer; it stays on record",
                path.display()
            ),
        ))
    })
}

/// How long a store has to answer: as long as requests are tried again, and some.
const STORE: Duration = Duration::from_secs(180);

/// Gives up all uploads of the object that was to be made under the final name of a temporary one. The record was written
/// before the upload was begun, so it does not need to know its id.
fn abort_uploads(temporary: &Address) -> Result<bool, Error> {
    let failed = |error| {
        let message =
            format!("cannot remove the unfinished upload {temporary}; it stays on record");
        Error::caused(ErrorKind::Storage, message, std::io::Error::from(error))
    };
    let name = temporary.name();
    let inner = name
        .strip_prefix('.')
        .and_then(|name| name.strip_suffix(".tmp"));
    let prefix = temporary.key().strip_suffix(name).unwrap_or_default();
    let key = format!("{prefix}{}", inner.unwrap_or(name));
    let store = fleece_object_storage::open_address(temporary).map_err(failed)?;
    Ok(store.abort_all(&key).map_err(failed)? > 0)
}

fn try_to_remove(path: &Path, interrupt: &Interrupt) -> Result<bool, Error> {
    let failed = |error| {
        Error::caused(
            ErrorKind::Storage,
            format!("cannot remove {}; it stays on record", path.display()),
            error,
        )
    };
    let kept = |why: String| {
        let path = path.display();
        foreign(format!("{path} is not removed and stays on record: {why}"))
    };
    match path.symlink_metadata() {
        Ok(found) if !found.is_file() => return Err(kept("it is not a regular file".into())),
        Ok(_) => {
            if let Some(user) = in_use::user_of(path, interrupt) {
                return Err(kept(user));
            }
        }
        // Reported below.
        Err(_) => {}
    }
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => match path.parent() {
            Some(parent) => parent.metadata().map(|_| false).map_err(failed),
            None => Ok(false),
        },
        Err(error) => Err(failed(error)),
    }
}
