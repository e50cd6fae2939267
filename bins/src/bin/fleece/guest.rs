//! Which guest is meant, and where its things are.

use std::path::{Path, PathBuf};

use fleece_backup_core::{Error, ErrorKind};
use fleece_fleecing::Place;
use fleece_qmp_client::Address;
use fleece_storage::Storages;

use crate::cli::Places;

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
    pub(crate) fn guest_config(&self, guest: &str) -> Option<PathBuf> {
        guest.parse::<u32>().ok()?;
        Some(self.config_dir().join(format!("{guest}.conf"))).filter(|path| path.exists())
    }

    /// Where a guest's firewall rules are, whether there are any or not; `None` if no place is known.
    pub(crate) fn firewall(&self, guest: &str) -> Option<PathBuf> {
        guest.parse::<u32>().ok()?;
        // Configurations elsewhere are not those of Proxmox's guests, whose rules must stay.
        let proxmox = || {
            Some(Path::new(PROXMOX_FIREWALL))
                .filter(|path| self.config_dir.is_none() && path.is_dir())
        };
        let directory = self.firewall_dir.as_deref().or_else(proxmox)?;
        Some(directory.join(format!("{guest}.fw")))
    }

    /// Where what is made for a guest is recorded.
    pub(crate) fn record(&self, guest: &str) -> Result<Place, Error> {
        Place::new(self.state_dir(), guest, self.guest_config(guest))
            .map_err(|error| Error::new(ErrorKind::Request, error.to_string()))
    }
}

/// The number used for a guest of which no number is known: Proxmox's begin at 100.
const UNKNOWN: u32 = 1;

/// A guest, by number or by socket.
pub(crate) struct Guest {
    /// Its name in the records.
    pub(crate) name: String,
    pub(crate) vmid: u32,
    pub(crate) qmp: Address,
}

impl Guest {
    /// At least one of the two must be given.
    pub(crate) fn new(vmid: Option<u32>, qmp: Option<&Address>) -> Result<Self, Error> {
        let qmp = match (qmp, vmid) {
            (Some(qmp), _) => qmp.clone(),
            (None, Some(vmid)) => Address::unix(format!("/var/run/qemu-server/{vmid}.qmp")),
            (None, None) => {
                return Err(Error::new(
                    ErrorKind::Request,
                    "which guest? give --qmp or --vmid",
                ));
            }
        };
        let stem = socket_stem(&qmp);
        let vmid = vmid.or_else(|| stem.parse().ok().filter(|vmid| *vmid > 0));
        let name = vmid.map_or(stem, |vmid| vmid.to_string());
        Ok(Self {
            name,
            vmid: vmid.unwrap_or(UNKNOWN),
            qmp,
        })
    }
}

/// A name for a guest of which only the socket is known.
fn socket_stem(qmp: &Address) -> String {
    let text = match qmp {
        Address::Unix(path) => path
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
            .unwrap_or_default(),
        other => other.to_string(),
    };
    let name: String = text
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '-' {
                c
            } else {
                '_'
            }
        })
        .take(64)
        .collect();
    if name.is_empty() {
        "guest".into()
    } else {
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_is_named_after_its_number_or_its_socket() {
        let guest = |vmid, qmp: &str| {
            let Ok(qmp) = qmp.parse();
            let guest = Guest::new(vmid, Some(&qmp)).unwrap();
            (guest.name, guest.vmid)
        };
        assert_eq!(guest(Some(7), "/run/x.qmp"), ("7".into(), 7));
        assert_eq!(guest(None, "/run/100.qmp"), ("100".into(), 100));
        assert_eq!(
            guest(None, "/run/web server.sock"),
            ("web_server".into(), UNKNOWN)
        );
        assert_eq!(
            guest(None, "tcp:localhost:4444"),
            ("tcp_localhost_4444".into(), UNKNOWN)
        );
    }
}
