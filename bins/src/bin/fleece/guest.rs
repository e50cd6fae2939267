//! Which guest is meant, and where its things are.

use std::path::{Path, PathBuf};

use fleece_backup_core::native::Image;
use fleece_backup_core::{Error, ErrorKind};
use fleece_fleecing::{Identity, Place, Way};
use fleece_guest_config::GuestId;
use fleece_qmp_client::Address;
use fleece_storage::Storages;

use crate::cli::{Places, Which};
use crate::log::Log;

/// Proxmox's guest configurations, when this is a Proxmox host.
const PROXMOX_CONFIGS: &str = "/etc/pve/qemu-server";
const PROXMOX_FIREWALL: &str = "/etc/pve/firewall";
const PROXMOX_STORAGES: &str = "/etc/pve/storage.cfg";

impl Places {
    /// The state directory: `/var/lib/fleece`, or a user's own.
    pub(crate) fn state_dir(&self) -> PathBuf {
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
    pub(crate) fn storage_config(&self) -> Option<&Path> {
        let proxmox = || Some(Path::new(PROXMOX_STORAGES)).filter(|path| path.exists());
        self.storage_config.as_deref().or_else(proxmox)
    }

    /// The storages of the configuration, or none but directories.
    pub(crate) fn storages(&self) -> Result<Storages, Error> {
        let Some(path) = self.storage_config() else {
            return Ok(Storages::none());
        };
        Storages::from_config(path)
            .map_err(|error| Error::caused(ErrorKind::Storage, "cannot use the storages", error))
    }

    /// Where guests' configurations are.
    pub(crate) fn config_dir(&self) -> &Path {
        self.config_dir
            .as_deref()
            .unwrap_or_else(|| Path::new(PROXMOX_CONFIGS))
    }

    /// A guest's configuration file, if there is one.
    pub(crate) fn guest_config(&self, guest: &GuestId) -> Option<PathBuf> {
        guest.number()?;
        Some(self.config_dir().join(format!("{guest}.conf"))).filter(|path| path.exists())
    }

    /// Where a guest's firewall rules are, whether there are any or not; `None` if no place is known.
    pub(crate) fn firewall(&self, guest: &GuestId) -> Option<PathBuf> {
        guest.number()?;
        // Configurations elsewhere are not those of Proxmox's guests, whose rules must stay.
        let proxmox = || {
            Some(Path::new(PROXMOX_FIREWALL))
                .filter(|path| self.config_dir.is_none() && path.is_dir())
        };
        let directory = self.firewall_dir.as_deref().or_else(proxmox)?;
        Some(directory.join(format!("{guest}.fw")))
    }

    /// Where what is made for a guest is recorded.
    pub(crate) fn record(&self, guest: &GuestId) -> Place {
        Place::new(self.state_dir(), guest.clone(), self.guest_config(guest))
            .with_configs(self.config_dir())
    }
}

/// The guest that is backed up, ours to work on until this is dropped.
pub(crate) struct Guest {
    pub(crate) id: GuestId,
    /// Its monitor, if QEMU runs it.
    pub(crate) qmp: Option<Address>,
    _identity: Identity,
}

impl Guest {
    /// Settles which one is meant, and tells what is to be known about it.
    pub(crate) fn settle(which: &Which, places: &Places, log: &Log) -> Result<Self, Error> {
        let (way, qmp) = which.way().ok_or_else(|| {
            let message = "which guest? give --qmp, --vmid, --native or --image";
            Error::new(ErrorKind::Request, message)
        })?;
        let identity = Identity::settle(&places.state_dir(), &way, qmp.as_ref(), which.given())?;
        for note in identity.notes() {
            log.info(note);
        }
        Ok(Self {
            id: identity.guest().clone(),
            qmp,
            _identity: identity,
        })
    }
}

impl Which {
    /// The number or name that was given.
    pub(crate) fn given(&self) -> Option<&GuestId> {
        self.vmid.as_ref().or(self.name.as_ref())
    }

    /// How the guest is reached, and its monitor, if it has one.
    pub(crate) fn way(&self) -> Option<(Way, Option<Address>)> {
        if let Some(control) = &self.native {
            return Some((Way::control(control), None));
        }
        if let Some(image) = self.image.first() {
            let image = Image::named(image);
            return Some((Way::image(image.path(), image.given_name()), None));
        }
        let proxmox = |vmid| Address::unix(format!("/var/run/qemu-server/{vmid}.qmp"));
        let qmp = self
            .qmp
            .clone()
            .or_else(|| self.vmid.as_ref().map(proxmox))?;
        Some((Way::monitor(&qmp), Some(qmp)))
    }
}
