//! Which volumes guests' configurations name: those are disks of somebody, whatever a record says.

use std::fs;
use std::path::{Path, PathBuf};

use fleece_guest_config::ConfigFile;
use fleece_qmp_client::Interrupt;
use fleece_storage::{Storages, VolumeId};

use crate::error::{Error, ErrorKind};
use crate::journal::ownership::Volume;
use crate::liveness;

/// What Proxmox's cluster keeps of all its hosts' guests.
const PROXMOX: &str = "/etc/pve";

/// All configurations of guests, and what they name.
#[derive(Debug, Default)]
pub(crate) struct References {
    /// Text that could be a volume, and the file that it stands in.
    mentions: Vec<(String, PathBuf)>,
}

impl References {
    /// Reads the configurations of all guests in `directories`.
    pub(crate) fn read(directories: Vec<PathBuf>, interrupt: &Interrupt) -> Result<Self, Error> {
        let failed = |error: String| {
            let message =
                format!("cannot tell which volumes guests use, so none is freed: {error}");
            Error::new(ErrorKind::Record, message)
        };
        let read = move || {
            let mut named = Self::default();
            for directory in with_other_hosts(directories) {
                named.add(&directory)?;
            }
            Ok(named)
        };
        liveness::ask(liveness::TIMEOUT, interrupt, read)
            .unwrap_or_else(|| Err("their configurations do not answer".into()))
            .map_err(failed)
    }

    fn add(&mut self, directory: &Path) -> Result<(), String> {
        let entries = match fs::read_dir(directory) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(|error| format!("{}: {error}", directory.display()))?,
        };
        for entry in entries {
            let path = entry.map_err(|error| error.to_string())?.path();
            if path.extension().is_none_or(|ending| ending != "conf") || !path.is_file() {
                continue;
            }
            let config = match ConfigFile::new(&path).load() {
                Ok(config) => config,
                // It went with its guest.
                Err(error) if error.kind() == fleece_guest_config::ErrorKind::NotFound => continue,
                Err(error) => return Err(format!("{}: {error}", path.display())),
            };
            let mentions = config
                .mentions()
                .map(|text| (text.to_owned(), path.clone()));
            self.mentions.extend(mentions);
        }
        Ok(())
    }

    /// Whether `config` names a volume, to the letter.
    pub(crate) fn names(&self, config: &Path, volume: &str) -> bool {
        let mut mentions = self.mentions.iter();
        mentions.any(|(text, path)| text == volume && path == config)
    }

    /// The configuration that names a volume, under this or another name.
    pub(crate) fn by(&self, volume: &Volume, storages: &Storages) -> Option<&Path> {
        let id = volume.id.to_string();
        let name = name(&id);
        let place = volume.storage.path(&volume.id).ok();
        let place = place.map(|path| path.canonicalize().unwrap_or(path));
        let is_place = |other: PathBuf| place == Some(other.canonicalize().unwrap_or(other));
        let is_it = |text: &str| {
            if text == id {
                return true;
            }
            if text.starts_with('/') {
                return is_place(text.into());
            }
            let Some(other) = text
                .parse::<VolumeId>()
                .ok()
                .filter(|_| self::name(text) == name)
            else {
                return false;
            };
            // Of the same name, on a storage that may be the same under another id.
            match storages
                .resolve(&other)
                .and_then(|storage| storage.path(&other))
            {
                Ok(path) => is_place(path),
                // Neither has a place in the file system, so nothing tells them apart.
                Err(_) => place.is_none(),
            }
        };
        let mention = self.mentions.iter().find(|(text, _)| is_it(text));
        mention.map(|(_, path)| path.as_path())
    }

    fn forget(&mut self, config: &Path) {
        self.mentions.retain(|(_, path)| path != config);
    }
}

/// The configuration of another guest that names a volume of the guest whose configuration is `own`.
///
/// # Errors
/// [`ErrorKind::Record`] if the configurations beside `own` cannot be read, so that nobody can tell.
pub fn referenced_by_another(
    volume: &VolumeId,
    own: &Path,
    storages: &Storages,
) -> Result<Option<PathBuf>, Error> {
    let unusable = |error| Error::caused(ErrorKind::Storage, format!("volume {volume}"), error);
    let directory = own.parent().map(Path::to_owned);
    let mut named = References::read(directory.into_iter().collect(), &Interrupt::default())?;
    named.forget(own);
    // Proxmox shows a host its own guests in a second place.
    if let Ok(real) = own.canonicalize() {
        named
            .mentions
            .retain(|(_, path)| path.canonicalize().ok().as_ref() != Some(&real));
    }
    let storage = storages.resolve(volume).map_err(unusable)?;
    let volume = Volume {
        id: volume.clone(),
        storage,
    };
    Ok(named.by(&volume, storages).map(Path::to_owned))
}

fn name(id: &str) -> &str {
    id.rsplit(['/', ':']).next().unwrap_or(id)
}

fn with_other_hosts(mut directories: Vec<PathBuf>) -> Vec<PathBuf> {
    if directories.iter().any(|path| path.starts_with(PROXMOX)) {
        let hosts = fs::read_dir(Path::new(PROXMOX).join("nodes"));
        for host in hosts.into_iter().flatten().flatten() {
            directories.extend(["qemu-server", "lxc"].map(|kind| host.path().join(kind)));
        }
    }
    directories.sort();
    directories.dedup();
    directories
}
