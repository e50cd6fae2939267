//! Finishing what a killed backup or restore left.
//!
//! What a record names is taken away only if Fleece could have made it for this guest and nobody uses it
//! (`made`, `in_use`, `named`). Everything else is told, and stays where it is and on record.

use std::path::{Path, PathBuf};
use std::slice;
use std::time::Duration;

use fleece_guest_config::ConfigFile;
use fleece_qmp_client::{Address, Client, Interrupt, Options};
use fleece_storage::{Storages, VolumeId};

use crate::error::{Error, ErrorKind};
use crate::identity::{self, Way};
use crate::journal::made::Volume;
use crate::journal::named::Named;
use crate::journal::record::{Contents, Place, Record};
use crate::journal::{in_use, made};
use crate::qemu::image;
use crate::qemu::liveness;
use crate::qemu::teardown;
use crate::qemu::thaw;

/// What a clean-up did.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Cleaned {
    /// Things that were removed, for people.
    pub done: Vec<String>,
    /// What could not be removed; it stays on record.
    pub failed: Vec<Error>,
}

/// Removes what the record of a guest names, as far as it is ours, and what is ours inside its QEMU.
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
    // Its QEMU may be at work for a backup under another name.
    let recorded = record.contents()?.qmp;
    let recorded: Option<Address> = recorded.and_then(|text| text.parse().ok());
    let monitor = qmp.or(recorded.as_ref()).map(Way::monitor);
    let _locks = identity::lock_all(place, monitor)?;
    if let Some(monitor) = qmp {
        identity::must_not_be_elsewhere(place.directory(), place.guest(), monitor)?;
    }
    let mut cleaned = Cleaned::default();
    clean(&record, qmp, storages, &Interrupt::default(), &mut cleaned)?;
    Ok(cleaned)
}

/// The same for a record that is open: what every backup does first. `interrupt` ends the waiting for QEMU and
/// the agent.
///
/// # Errors
/// As [`cleanup`].
pub fn clean(
    record: &Record,
    qmp: Option<&Address>,
    storages: &Storages,
    interrupt: &Interrupt,
    cleaned: &mut Cleaned,
) -> Result<(), Error> {
    let contents = record.contents()?;
    let mut work = Work {
        record,
        contents: &contents,
        storages,
        cleaned,
        named: None,
        interrupt,
    };
    work.thaw(qmp)?;
    work.remove_files()?;
    if work.leave_qemu(qmp)? {
        work.free_images()?;
    }
    work.free_volumes()?;
    if work.cleaned.failed.is_empty() {
        record.forget()?;
    }
    Ok(())
}

struct Work<'a> {
    record: &'a Record,
    contents: &'a Contents,
    storages: &'a Storages,
    cleaned: &'a mut Cleaned,
    /// What guests' configurations name, once somebody has asked.
    named: Option<Named>,
    interrupt: &'a Interrupt,
}

impl Work<'_> {
    fn thaw(&mut self, qmp: Option<&Address>) -> Result<(), Error> {
        let Some(agent) = self.contents.frozen.as_deref().map(address) else {
            return Ok(());
        };
        let monitors = [qmp.cloned(), self.contents.qmp.as_deref().map(address)];
        let is_alive = || {
            monitors
                .iter()
                .flatten()
                .any(|monitor| self.listens(monitor))
        };
        match thaw::thaw(self.record, &agent, None, &is_alive, THAW, self.interrupt) {
            Ok(_) => {
                let done = "freeze of the guest's file systems".into();
                self.cleaned.done.push(done);
            }
            Err(error) if error.kind() == ErrorKind::Frozen => self.cleaned.failed.push(error),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Whether there is a QEMU behind a monitor, even one that does not answer.
    fn listens(&self, monitor: &Address) -> bool {
        let mut options = Options::default();
        options.interrupt = self.interrupt.clone();
        match Client::connect(monitor, &options) {
            Ok(_) => true,
            Err(error) => !thaw::is_gone(&error),
        }
    }

    fn remove_files(&mut self) -> Result<(), Error> {
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

    /// Takes what is ours out of QEMU; tells whether that was done, so that images can be freed.
    fn leave_qemu(&mut self, qmp: Option<&Address>) -> Result<bool, Error> {
        let recorded = self.contents.qmp.as_deref().map(address);
        let answer = || self.must_answer();
        let known = self.places();
        if let Some(address) = qmp.or(recorded.as_ref()) {
            match teardown::remove_all(None, address, self.interrupt, self.record, &known, &answer)
            {
                Ok(removed) => self.adopt(&removed, &known)?,
                Err(error) => {
                    self.cleaned.failed.push(error);
                    return Ok(false);
                }
            }
        }
        match &self.contents.nbd_socket {
            Some(socket) if self.record.is_our_socket(socket) => {
                self.record.note_nbd_socket(None)?;
                let done = format!("NBD server on {}", socket.display());
                self.cleaned.done.push(done);
            }
            Some(socket) => self.cleaned.failed.push(foreign(format!(
                "the socket {} is not where this guest's would be; it is not touched and stays on record",
                socket.display()
            ))),
            None => {}
        }
        if self.contents.paused {
            self.record.note_paused(false)?;
        }
        Ok(true)
    }

    /// Tells what was removed, and puts images on record that were found in QEMU only.
    fn adopt(&mut self, removed: &teardown::Removed, known: &[PathBuf]) -> Result<(), Error> {
        let things = removed.things.iter();
        self.cleaned
            .done
            .extend(things.map(|thing| format!("{thing} in QEMU")));
        for file in &removed.images {
            let path = Path::new(file);
            if known.iter().any(|known| known == path) {
                continue;
            }
            match made::volume_at(path, self.record.guest(), self.storages) {
                Some(id) => self.record.add_image(&id)?,
                None => self.cleaned.failed.push(foreign(format!(
                    "QEMU had the fleecing image {file}, which is not on record and not of this guest by \
                     its name; it is left where it is"
                ))),
            }
        }
        Ok(())
    }

    fn free_images(&mut self) -> Result<(), Error> {
        // With those that were found in QEMU.
        for name in self.record.contents()?.images {
            let freed = self
                .check(&name, made::IMAGE)
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
    fn free_volumes(&mut self) -> Result<(), Error> {
        for name in &self.contents.volumes {
            let freed = self.check(name, made::DISK).and_then(|volume| {
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

    /// Whether the configuration names a volume that the restore was to write.
    fn is_restored(&self, name: &str) -> bool {
        let config = self.contents.restores.as_deref();
        let named = self.named.as_ref().zip(config);
        named.is_some_and(|(named, config)| named.names(config, name))
    }

    /// The volume of this name on record, if it may be freed.
    fn check(&mut self, name: &str, purpose: &str) -> Result<Volume, Error> {
        let volume = made::volume(name, self.record.guest(), purpose, self.storages)?;
        let kept = |why: String| foreign(format!("{name} is not freed and stays on record: {why}"));
        let named = match self.named.take() {
            Some(named) => named,
            None => Named::read(self.record.configs(self.contents), self.interrupt)?,
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
    fn must_answer(&self) -> Result<(), Error> {
        for name in &self.contents.images {
            // What is not ours, or not to be found, is not to be waited for.
            if let Ok(Volume { id, storage }) =
                made::volume(name, self.record.guest(), made::IMAGE, self.storages)
            {
                liveness::must_answer(&storage, &[id], self.interrupt, liveness::WAY_BACK)?;
            }
        }
        Ok(())
    }

    /// Where the recorded images are.
    fn places(&self) -> Vec<PathBuf> {
        let images = self.contents.images.iter();
        images
            .filter_map(|name| {
                let id: VolumeId = name.parse().ok()?;
                self.storages.resolve(&id).ok()?.path(&id).ok()
            })
            .collect()
    }
}

fn foreign(message: String) -> Error {
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

fn address(text: &str) -> Address {
    let Ok(address) = text.parse();
    address
}

/// How long to go on trying to thaw.
const THAW: Duration = Duration::from_secs(10);

/// Removes a file; tells whether it was there. If its directory is gone, it may come back with it.
fn remove_file(path: &Path, interrupt: &Interrupt) -> Result<bool, Error> {
    if !made::is_temporary(path) {
        return Err(foreign(format!(
            "{} is not removed and stays on record: it has no name of an unfinished file",
            path.display()
        )));
    }
    let removal = {
        let (path, interrupt) = (path.to_owned(), interrupt.clone());
        move || try_to_remove(&path, &interrupt)
    };
    liveness::ask(in_use::PATIENCE, interrupt, removal).unwrap_or_else(|| {
        Err(Error::new(
            ErrorKind::Storage,
            format!(
                "cannot remove {}: its file system does not answer; it stays on record",
                path.display()
            ),
        ))
    })
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
        Ok(found) if !found.is_file() => return Err(kept("it is no regular file".into())),
        Ok(_) => {
            if let Some(user) = in_use::user_of(path, interrupt) {
                return Err(kept(user));
            }
        }
        // Told below.
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

#[cfg(test)]
mod tests;
