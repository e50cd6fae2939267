//! Where things are on this host.

use std::fs;
use std::io::ErrorKind as IoKind;
use std::path::{Path, PathBuf};

use fleece_fleecing::Place;
use fleece_guest_config::GuestId;
use fleece_storage::Storages;
use tempfile::TempDir;

use crate::report::advice::Advice;
use crate::report::error::{Error, ErrorKind};

/// Where things are kept; what is not named is where Proxmox has it, if this is one of its hosts.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Places {
    /// Records, sockets and by default fleecing images: `/var/lib/fleece`, or a user's own.
    pub state_dir: Option<PathBuf>,
    /// Guests' configurations, as `<vmid>.conf`.
    pub config_dir: Option<PathBuf>,
    /// Guests' firewall rules, as `<vmid>.fw`.
    pub firewall_dir: Option<PathBuf>,
    /// The storage configuration.
    pub storage_config: Option<PathBuf>,
    /// The records are copies: nothing that they tell of is to be undone.
    pub(crate) is_rehearsal: bool,
}

/// More than any record has, in bytes.
const MAX_RECORD: u64 = 1 << 20;

/// Proxmox's guest configurations, when this is a Proxmox host.
const PROXMOX_CONFIGS: &str = "/etc/pve/qemu-server";
const PROXMOX_FIREWALL: &str = "/etc/pve/firewall";
const PROXMOX_STORAGES: &str = "/etc/pve/storage.cfg";

impl Places {
    /// The state directory: `/var/lib/fleece`, or a user's own.
    pub fn state_dir(&self) -> PathBuf {
        if let Some(directory) = &self.state_dir {
            // QEMU makes a socket in it, from its own working directory.
            return std::path::absolute(directory).unwrap_or_else(|_| directory.clone());
        }
        if rustix::process::geteuid().is_root() {
            return "/var/lib/fleece".into();
        }
        let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".local/state"));
        std::env::var_os("XDG_STATE_HOME")
            .map(PathBuf::from)
            .or_else(home)
            .unwrap_or_else(std::env::temp_dir)
            .join("fleece")
    }

    /// The storage configuration that was named, or Proxmox's if this is one of its hosts.
    pub fn storage_config(&self) -> Option<&Path> {
        let proxmox = || Some(Path::new(PROXMOX_STORAGES)).filter(|path| path.exists());
        self.storage_config.as_deref().or_else(proxmox)
    }

    /// The storages of the configuration, or none but directories.
    pub fn storages(&self) -> Result<Storages, Error> {
        let Some(path) = self.storage_config() else {
            return Ok(Storages::none());
        };
        Storages::from_config(path)
            .map_err(|error| Error::caused(ErrorKind::Storage, "cannot use the storages", error))
    }

    /// Where guests' configurations are.
    pub fn config_dir(&self) -> &Path {
        self.config_dir
            .as_deref()
            .unwrap_or_else(|| Path::new(PROXMOX_CONFIGS))
    }

    /// A guest's configuration file, if there is one.
    pub fn guest_config(&self, guest: &GuestId) -> Option<PathBuf> {
        guest.number()?;
        Some(self.config_dir().join(format!("{guest}.conf"))).filter(|path| path.exists())
    }

    /// Where the configuration of a guest goes that is made, or made anew.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Request`] if there is no directory for configurations.
    pub fn new_config(&self, guest: &GuestId) -> Result<PathBuf, Error> {
        let directory = self.config_dir();
        if directory.is_dir() {
            return Ok(directory.join(format!("{guest}.conf")));
        }
        let message = format!(
            "where does the guest's configuration go? {} is no directory",
            directory.display()
        );
        Err(Error::new(ErrorKind::Request, message).advise(Advice::NameConfig))
    }

    /// Where a guest's firewall rules are, whether there are any or not; `None` if no place is known.
    pub fn firewall(&self, guest: &GuestId) -> Option<PathBuf> {
        guest.number()?;
        // Configurations elsewhere are not those of Proxmox's guests, whose rules must stay.
        let proxmox = || {
            Some(Path::new(PROXMOX_FIREWALL))
                .filter(|path| self.config_dir.is_none() && path.is_dir())
        };
        let directory = self.firewall_dir.as_deref().or_else(proxmox)?;
        Some(directory.join(format!("{guest}.fw")))
    }

    /// The same with a copy of the state directory, for a dry run: all that is looked at is as it is, and all that
    /// is claimed or locked is so in the copy only, which goes with the returned directory.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Storage`] if it cannot be copied.
    pub fn rehearsal(&self) -> Result<(Self, TempDir), Error> {
        let original = self.state_dir();
        let failed = |error| {
            let message = format!("cannot look at {}", original.display());
            Error::caused(ErrorKind::Storage, message, error)
        };
        let copy = tempfile::tempdir().map_err(failed)?;
        let entries = match fs::read_dir(&original) {
            Err(error) if error.kind() == IoKind::NotFound => None,
            entries => Some(entries.map_err(failed)?),
        };
        for entry in entries.into_iter().flatten() {
            let entry = entry.map_err(failed)?;
            // Neither sockets nor the directories of fleecing images, and no more than a record is.
            let metadata = entry.metadata().map_err(failed)?;
            if metadata.is_file() && metadata.len() <= MAX_RECORD {
                fs::copy(entry.path(), copy.path().join(entry.file_name())).map_err(failed)?;
            }
        }
        let mut places = self.clone();
        places.state_dir = Some(copy.path().to_owned());
        places.is_rehearsal = true;
        Ok((places, copy))
    }

    /// Where what is made for a guest is recorded.
    pub fn record(&self, guest: &GuestId) -> Place {
        Place::new(self.state_dir(), guest.clone(), self.guest_config(guest))
            .with_configs(self.config_dir())
    }
}
