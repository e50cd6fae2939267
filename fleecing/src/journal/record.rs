//! What is on disk before anything is made.
//!
//! Each guest has a state file with the grammar of a Proxmox guest configuration:
//!
//! ```text
//! qmp: /run/vm/100.qmp                    the monitor through which things were made
//! nbd-socket: /var/lib/fleece/100.nbd     an NBD server of ours listens there
//! files: ["/backup/.vzdump-….vma.tmp"]     an archive that is being written
//! frozen: /run/vm/100.qga                 the guest's file systems are frozen through this agent
//! paused: yes                             the guest stands still for the switch of the filters
//! actions: shutdown=poweroff,reboot=reset what QEMU does again when the guest powers down
//! power-down: 1795966008                  the guest was asked to power down, and may do so until then
//! shut-down: 1795966008 libvirt:UUID@URI  libvirt was asked to shut the domain down, which is to run again
//! pull: /var/lib/fleece/100.pull/nbd      a backup of libvirt's own is served there
//! locked: yes                             the guest's configuration has Proxmox's `lock: backup`
//! restores: /etc/pve/…/100.conf           a restore is making volumes that this file will name
//! volumes: fast:vm-100-disk-0,…           the volumes
//! overwrites: {"archive":"/backup/…",…}   a restore is writing into disks that the guest has
//!
//! [special:fleecing]
//! fleecing-images: fast:vm-100-fleece-0.raw,fast:vm-100-fleece-1.raw
//! ```
//!
//! A guest that has a configuration file of its own gets the section `[special:fleecing]` there too,
//! where Proxmox's own clean-up looks for it. A line is written, and synced, before the thing that it
//! names is made, and removed after the thing is gone. A file with nothing in it is removed.

mod domain;
mod guest_lock;
mod overwritten;
mod place;
mod shut_down;
mod volumes;

use std::path::{Path, PathBuf};
use std::time::Duration;

use fleece_guest_config::{ConfigFile, GuestConfig, GuestId};
use fleece_qmp_client::Address;
use fleece_staged_file::{check_owned, create_directories};
use fleece_storage::VolumeId;

pub use overwritten::Overwritten;
pub use place::Place;
pub(crate) use place::{CLAIM, absolute, file_of, guest_of, guests_with};
pub use shut_down::ShutDown;

use crate::address::GuestAddress;
use crate::advice::{Advice, CleanUp};
use crate::error::{Error, ErrorKind};
use crate::journal::generation::{self, Generation};
use crate::journal::lock::GuestLock;
use crate::journal::step::Step;

/// The record of one guest, locked for us.
#[derive(Debug)]
pub struct Record {
    place: Place,
    state: ConfigFile,
    config: Option<ConfigFile>,
    _lock: GuestLock,
}

/// What a record says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Contents {
    /// Volume ids of fleecing images.
    pub images: Vec<String>,
    /// The guest's monitor socket.
    pub qmp: Option<String>,
    /// The socket of an NBD server that we started.
    pub nbd_socket: Option<PathBuf>,
    /// The temporary names of an archive and its index.
    pub files: Vec<PathBuf>,
    /// The guest was about to be stopped for the switch.
    pub paused: bool,
    /// What QEMU is to do again when the guest powers down; until then it holds it.
    pub actions: Option<String>,
    /// Until when, since 1970, the guest may power down, as it was asked to.
    pub power_down: Option<Duration>,
    /// A domain that was shut down for the backup, or asked to.
    pub shut_down: Option<ShutDown>,
    /// The socket of a backup of libvirt's own.
    pub pull: Option<PathBuf>,
    /// The guest's configuration has our lock, or was about to get it.
    pub locked: bool,
    /// The agent that was asked to freeze the guest's file systems.
    pub frozen: Option<String>,
    /// The configuration that a restore writes when its volumes are complete.
    pub restores: Option<PathBuf>,
    /// Volume ids that a restore has made or is about to make.
    pub volumes: Vec<String>,
    /// Disks of the guest that a restore is writing into.
    pub overwritten: Option<Overwritten>,
    /// A list of files that cannot be understood.
    pub illegible: Option<String>,
}

impl Contents {
    /// What a state file says.
    pub(crate) fn of(state: &GuestConfig) -> Self {
        let get = |key| state.main().get(key).map(str::to_owned);
        Self {
            images: state.fleecing_images(),
            qmp: get(QMP),
            nbd_socket: get(NBD_SOCKET).map(Into::into),
            files: files(state).unwrap_or_default(),
            illegible: files(state).err(),
            paused: get(PAUSED).is_some(),
            actions: get(ACTIONS),
            power_down: get(POWER_DOWN)
                .and_then(|seconds| seconds.parse().ok())
                .map(Duration::from_secs),
            shut_down: get(SHUT_DOWN).as_deref().and_then(ShutDown::read),
            pull: get(PULL).map(Into::into),
            locked: get(LOCKED).is_some(),
            frozen: get(FROZEN),
            restores: get(RESTORES).map(Into::into),
            volumes: volumes(state),
            overwritten: overwritten::of(state),
        }
    }

    /// Nothing was made, or all of it is gone.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The monitor through which a record says that things were made.
pub(crate) fn monitor(state: &GuestConfig) -> Option<GuestAddress> {
    let Ok(address) = state.main().get(QMP)?.parse();
    Some(address)
}

const QMP: &str = "qmp";
const NBD_SOCKET: &str = "nbd-socket";
const FILES: &str = "files";
const PAUSED: &str = "paused";
const ACTIONS: &str = "actions";
const POWER_DOWN: &str = "power-down";
const SHUT_DOWN: &str = "shut-down";
const PULL: &str = "pull";
const LOCKED: &str = "locked";
const FROZEN: &str = "frozen";
const RESTORES: &str = "restores";
const VOLUMES: &str = "volumes";
const OVERWRITES: &str = "overwrites";

impl Record {
    /// Locks the guest's record.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] while another process works on the guest, [`ErrorKind::Record`] when the
    /// directory cannot be used.
    pub fn open(place: &Place) -> Result<Self, Error> {
        create_directory(&place.directory)?;
        let record = Self {
            _lock: GuestLock::acquire(&place.lock())?,
            state: ConfigFile::state(place.file("state")),
            config: place.config.clone(),
            place: place.clone(),
        };
        Step::Locked.reached();
        Ok(record)
    }

    /// The guest whose record it is.
    #[must_use]
    pub fn guest(&self) -> &GuestId {
        self.place.guest()
    }

    /// Whether a server of ours would listen on `socket`.
    pub(crate) fn is_our_socket(&self, socket: &Path) -> bool {
        let ours = self.place.nbd_socket();
        let directory = |path: &Path| path.parent().and_then(|path| path.canonicalize().ok());
        socket.file_name() == ours.file_name()
            && directory(socket).is_some_and(|parent| Some(parent) == directory(&ours))
    }

    /// Where guests' configurations are: those that are known, and those that a restore writes to.
    pub(crate) fn configs(&self, contents: &Contents) -> Vec<PathBuf> {
        let own = self.config.as_ref().map(ConfigFile::path);
        let files = [own, contents.restores.as_deref()].into_iter().flatten();
        let directories = files.filter_map(|file| file.parent().map(Path::to_owned));
        self.place
            .configs
            .clone()
            .into_iter()
            .chain(directories)
            .collect()
    }

    /// What was made and is not known to be gone.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn contents(&self) -> Result<Contents, Error> {
        let state = self.state.load().map_err(unreadable)?;
        let mut contents = Contents::of(&state);
        if let Some(config) = &self.config {
            let ours = config.load().map_err(unreadable)?.fleecing_images();
            let images = &mut contents.images;
            images.extend(ours);
            let mut seen = std::collections::HashSet::new();
            images.retain(|image| seen.insert(image.clone()));
        }
        Ok(contents)
    }

    /// Which archives dirty bitmaps count against, the oldest first. Not part of [`Record::contents`]: they are meant
    /// to stay.
    #[must_use]
    pub fn generations(&self) -> Vec<Generation> {
        generation::load(&self.place.bitmaps())
    }

    /// Notes them, before bitmaps are added and after they are removed.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn note_generations(&self, generations: &[Generation]) -> Result<(), Error> {
        generation::save(&self.place.bitmaps(), generations)
    }

    /// Notes the monitor through which things are about to be made.
    ///
    /// # Errors
    /// When the record cannot be written; nothing may be made then.
    pub fn note_qmp(&self, monitor: &GuestAddress) -> Result<(), Error> {
        self.note(QMP, Some(&from_anywhere(monitor)))?;
        Step::MonitorRecorded.reached();
        Ok(())
    }

    /// Notes the socket of an NBD server that is about to be started, or that it is gone.
    pub(crate) fn note_nbd_socket(&self, socket: Option<&Path>) -> Result<(), Error> {
        self.note(NBD_SOCKET, socket.map(text).transpose()?)
    }

    /// Notes files that are about to be created: an archive, and its index if that is a file of its
    /// own, under their temporary names.
    ///
    /// # Errors
    /// When the record cannot be written; the files must not be created then.
    pub fn add_files(&self, new: &[PathBuf]) -> Result<(), Error> {
        let new: Vec<_> = new.iter().map(|path| absolute(path)).collect();
        for path in &new {
            text(path)?;
        }
        self.edit_files(|files| files.extend(new))?;
        Step::ArchiveRecorded.reached();
        Ok(())
    }

    /// Notes that files are gone, or have got other names.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn remove_files(&self, gone: &[PathBuf]) -> Result<(), Error> {
        let gone: Vec<_> = gone.iter().map(|path| absolute(path)).collect();
        self.edit_files(|files| files.retain(|file| !gone.contains(file)))
    }

    fn edit_files(&self, edit: impl FnOnce(&mut Vec<PathBuf>)) -> Result<(), Error> {
        self.state.update::<_, Error>(|state| {
            // What is not understood is not lost either.
            let mut files = files(state).map_err(|line| {
                let path = self.state.path().display();
                let why = format!("cannot understand '{FILES}: {line}' in {path}; remove the line");
                Error::new(ErrorKind::Record, why)
            })?;
            edit(&mut files);
            if files.is_empty() {
                state.main_mut().remove(FILES);
                return Ok(());
            }
            // Paths may contain everything that could separate them.
            let list = serde_json::Value::from_iter(files.iter().filter_map(|file| file.to_str()));
            state
                .main_mut()
                .set(FILES, &list.to_string())
                .map_err(Error::from)
        })
    }

    /// Notes that the guest is about to be stopped for the switch, or that it runs again.
    pub(crate) fn note_paused(&self, paused: bool) -> Result<(), Error> {
        self.note(PAUSED, paused.then_some("yes"))?;
        if paused {
            Step::PauseRecorded.reached();
        }
        Ok(())
    }

    /// Notes what QEMU is to do again when the guest powers down, before it is told otherwise; or that it does so.
    pub(crate) fn note_actions(&self, actions: Option<&str>) -> Result<(), Error> {
        self.note(ACTIONS, actions)?;
        if actions.is_some() {
            Step::StopRecorded.reached();
        }
        Ok(())
    }

    /// Notes until when, since 1970, the guest may power down, before it is asked to; or that it runs again.
    pub(crate) fn note_power_down(&self, until: Option<Duration>) -> Result<(), Error> {
        let seconds = until.map(|until| until.as_secs().to_string());
        self.note(POWER_DOWN, seconds.as_deref())
    }

    /// Notes the agent that is about to be asked to freeze the guest's file systems, or that they
    /// are known to be thawed.
    ///
    /// # Errors
    /// When the record cannot be written; nothing may be frozen then.
    pub fn note_frozen(&self, agent: Option<&GuestAddress>) -> Result<(), Error> {
        self.note(FROZEN, agent.map(from_anywhere).as_deref())?;
        if agent.is_some() {
            Step::FreezeRecorded.reached();
        }
        Ok(())
    }

    /// Notes an image that is about to be allocated.
    pub(crate) fn add_image(&self, image: &VolumeId) -> Result<(), Error> {
        let image = image.to_string();
        let add = |images: &mut Vec<String>| {
            if !images.contains(&image) {
                images.push(image.clone());
            }
        };
        // What we read first on the way back is written first.
        edit_images(&self.state, add)?;
        self.edit_images_in_config(add)?;
        Step::ImageRecorded.reached();
        Ok(())
    }

    /// Notes that an image is gone.
    pub(crate) fn remove_image(&self, image: &str) -> Result<(), Error> {
        let remove = |images: &mut Vec<String>| images.retain(|known| known != image);
        self.edit_images_in_config(remove)?;
        edit_images(&self.state, remove)
    }

    /// The clean-up of what is on record.
    pub(crate) fn clean_up(&self) -> CleanUp {
        CleanUp {
            state_directory: Some(self.place.directory.clone()),
            ..CleanUp::of(self.guest())
        }
    }

    /// Forgets the guest's QEMU, unless there are images that could not be freed, file systems that may be frozen, or
    /// something that libvirt is to undo: those stay on record until they are known not to be.
    pub(crate) fn forget(&self) -> Result<(), Error> {
        self.state
            .update::<_, fleece_guest_config::Error>(|state| {
                let has = |key| state.main().get(key).is_some();
                let left = [FROZEN, SHUT_DOWN, PULL].into_iter().any(has);
                if state.fleecing_images().is_empty() && !left {
                    for key in [QMP, NBD_SOCKET, PAUSED, ACTIONS, POWER_DOWN] {
                        state.main_mut().remove(key);
                    }
                }
                Ok(())
            })
            .map_err(Error::from)?;
        Step::Forgotten.reached();
        Ok(())
    }

    fn note(&self, key: &str, value: Option<&str>) -> Result<(), Error> {
        self.state
            .update::<_, fleece_guest_config::Error>(|state| match value {
                Some(value) => state.main_mut().set(key, value),
                None => {
                    state.main_mut().remove(key);
                    Ok(())
                }
            })
            .map_err(Error::from)
    }

    /// A guest's configuration may have vanished with the guest; then there is nothing to edit.
    fn edit_images_in_config(&self, edit: impl FnOnce(&mut Vec<String>)) -> Result<(), Error> {
        match self.config.as_ref().filter(|config| config.path().exists()) {
            Some(config) => edit_images(config, edit),
            None => Ok(()),
        }
    }
}

fn edit_images(file: &ConfigFile, edit: impl FnOnce(&mut Vec<String>)) -> Result<(), Error> {
    file.update::<_, fleece_guest_config::Error>(|config| {
        let mut images = config.fleecing_images();
        edit(&mut images);
        config.set_fleecing_images(&images)
    })
    .map_err(Error::from)
}

/// The files on record, or the text that is no list of them.
fn files(state: &GuestConfig) -> Result<Vec<PathBuf>, String> {
    match state.main().get(FILES) {
        Some(list) => serde_json::from_str(list).map_err(|_| list.to_owned()),
        None => Ok(Vec::new()),
    }
}

/// The volumes on record. Ids have no commas.
fn volumes(state: &GuestConfig) -> Vec<String> {
    let volumes = state.main().get(VOLUMES).unwrap_or_default().split(',');
    volumes
        .filter(|id| !id.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The directory of the records, which nobody else may write to.
pub(crate) fn create_directory(directory: &Path) -> Result<(), Error> {
    create_and_check(directory).map_err(|error| {
        Error::caused(
            ErrorKind::Record,
            format!("cannot use {} for the records", directory.display()),
            error,
        )
        .advise(Advice::OtherStateDirectory)
    })
}

/// It is still there after a power failure if the records in it are.
fn create_and_check(directory: &Path) -> std::io::Result<()> {
    if !directory.is_dir() {
        create_directories(directory, 0o755)?;
    }
    check_owned(directory)
}

/// A socket's address, likewise.
fn from_anywhere(address: &GuestAddress) -> String {
    match address {
        GuestAddress::Socket(Address::Unix(path)) => Address::Unix(absolute(path)).to_string(),
        other => other.to_string(),
    }
}

fn text(path: &Path) -> Result<&str, Error> {
    path.to_str().ok_or_else(|| {
        Error::new(
            ErrorKind::Record,
            format!("{} is not UTF-8 and cannot be recorded", path.display()),
        )
    })
}

fn unreadable(error: fleece_guest_config::Error) -> Error {
    Error::caused(
        ErrorKind::Record,
        "cannot read the record of what was made",
        error,
    )
}

#[cfg(test)]
mod tests;
