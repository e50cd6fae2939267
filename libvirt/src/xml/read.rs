//! Reading a domain that libvirt has printed.

use std::path::PathBuf;

use roxmltree::Node;

use super::tree::{child, children, parse};
use crate::error::Error;

/// What is read of a domain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DomainXml {
    /// Its disks, in their order.
    pub disks: Vec<DomainDisk>,
    /// QMP sockets that its QEMU was given beside libvirt's own, which anybody may use.
    pub monitors: Vec<PathBuf>,
    /// The file of its EFI variables.
    pub nvram: Option<PathBuf>,
    /// Whether there is a port for the guest's agent and, of a domain that runs, whether an agent has it open.
    pub agent: Option<bool>,
    /// What libvirt does when the guest has powered down, such as `destroy`, if it is said.
    pub on_poweroff: Option<String>,
}

/// A disk of a domain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DomainDisk {
    /// What it is called inside the domain's XML, such as `vda`.
    pub target: String,
    /// Its bus, such as `virtio` or `scsi`.
    pub bus: String,
    /// `disk`, `cdrom`, `lun` or `floppy`.
    pub device: String,
    /// The id of QEMU's device; only in the XML of a domain that runs.
    pub alias: Option<String>,
    /// The format of its image, such as `raw`.
    pub format: Option<String>,
    /// The file or device that it is on, if it is one.
    pub source: Option<PathBuf>,
    /// The guest cannot write to it.
    pub readonly: bool,
}

impl DomainXml {
    /// Reads a domain.
    ///
    /// # Errors
    /// [`ErrorKind::Xml`](crate::ErrorKind::Xml) for what is no domain, or is too long.
    pub fn read(text: &str) -> Result<Self, Error> {
        let document = parse(text)?;
        let domain = document.root_element();
        let devices = child(domain, "devices");
        let disks = devices
            .into_iter()
            .flat_map(|devices| children(devices, "disk"));
        let nvram = child(domain, "os").and_then(|os| child(os, "nvram"));
        let nvram = nvram.and_then(|nvram| {
            let source = child(nvram, "source").and_then(|source| source.attribute("file"));
            source.or_else(|| nvram.text()).map(str::trim)
        });
        let ports = devices
            .into_iter()
            .flat_map(|devices| children(devices, "channel"));
        let mut ports = ports.filter_map(|port| child(port, "target"));
        let agent = ports.find(|port| port.attribute("name") == Some("org.qemu.guest_agent.0"));
        Ok(Self {
            disks: disks.map(DomainDisk::of).collect(),
            monitors: monitors(domain),
            nvram: nvram
                .filter(|path| path.starts_with('/'))
                .map(PathBuf::from),
            agent: agent.map(|port| port.attribute("state") == Some("connected")),
            on_poweroff: child(domain, "on_poweroff")
                .and_then(|action| action.text())
                .map(|action| action.trim().to_owned()),
        })
    }
}

impl DomainDisk {
    /// What Proxmox would call a disk at this place, without any `drive-`: `vdb` on `virtio` is `virtio1`, `sda` on
    /// `scsi` is `scsi0`. `None` where it has no name for one: on other buses, and beyond the most that it allows.
    #[must_use]
    pub fn key(&self) -> Option<String> {
        // The buses and how many disks each has, as in Proxmox's documentation of `qm`.
        const BUSES: [(&str, usize); 4] = [("virtio", 16), ("scsi", 31), ("sata", 6), ("ide", 4)];
        let (bus, limit) = BUSES.into_iter().find(|(bus, _)| *bus == self.bus)?;
        let (prefix, letters) = self.target.split_at_checked(2)?;
        if !prefix.bytes().all(|byte| byte.is_ascii_lowercase()) {
            return None;
        }
        let number = number(letters)?;
        (number < limit).then(|| format!("{bus}{number}"))
    }
}

/// The number of a disk by its letters, as the kernel counts: a, b, …, z, aa.
fn number(letters: &str) -> Option<usize> {
    if letters.is_empty() || letters.len() > 3 {
        return None;
    }
    let mut number = 0_usize;
    for letter in letters.bytes() {
        let digit = letter
            .is_ascii_lowercase()
            .then(|| letter.wrapping_sub(b'a'))?;
        number = number
            .checked_mul(26)?
            .checked_add(usize::from(digit))?
            .checked_add(1)?;
    }
    number.checked_sub(1)
}

impl DomainDisk {
    /// What `<disk>` says.
    pub(crate) fn of(disk: Node<'_, '_>) -> Self {
        let attribute = |name: &str, attribute: &str| {
            let value = child(disk, name).and_then(|child| child.attribute(attribute));
            value.map(str::to_owned)
        };
        Self {
            target: attribute("target", "dev").unwrap_or_default(),
            bus: attribute("target", "bus").unwrap_or_default(),
            device: disk.attribute("device").unwrap_or("disk").to_owned(),
            alias: attribute("alias", "name"),
            format: attribute("driver", "type"),
            source: attribute("source", "file")
                .or_else(|| attribute("source", "dev"))
                .map(PathBuf::from),
            readonly: child(disk, "readonly").is_some(),
        }
    }
}

/// The QMP sockets among the arguments that a domain adds to QEMU's command line (`<qemu:commandline>`).
fn monitors(domain: Node<'_, '_>) -> Vec<PathBuf> {
    let arguments: Vec<&str> = children(domain, "commandline")
        .flat_map(|line| children(line, "arg"))
        .filter_map(|argument| argument.attribute("value"))
        .collect();
    let pairs = || arguments.iter().zip(arguments.iter().skip(1));
    let of = |wanted: [&'static str; 2]| {
        pairs()
            .filter(move |(option, _)| wanted.contains(option))
            .map(|(_, value)| *value)
    };
    let direct = of(["-qmp", "-qmp-pretty"]).filter_map(|value| {
        let path = value.strip_prefix("unix:")?;
        served(path).map(PathBuf::from)
    });
    // A character device, and a monitor that says that it speaks QMP.
    let controls: Vec<&str> = of(["-mon", "--mon"])
        .filter(|value| property(value, "mode") == Some("control"))
        .filter_map(|value| property(value, "chardev").or_else(|| value.split(',').next()))
        .collect();
    let sockets = of(["-chardev", "--chardev"]).filter_map(|value| {
        let is_ours = property(value, "id").is_some_and(|id| controls.contains(&id));
        let is_socket = value.split(',').next() == Some("socket");
        let path = property(value, "path").filter(|_| is_ours && is_socket)?;
        served(&format!("{path},{value}")).map(|_| PathBuf::from(path))
    });
    let all: Vec<PathBuf> = direct.chain(sockets).collect();
    all.into_iter().filter(|path| path.is_absolute()).collect()
}

/// The path before the options of a socket that QEMU serves, as opposed to one that it connects to.
fn served(text: &str) -> Option<&str> {
    let (path, options) = text.split_once(',').unwrap_or((text, ""));
    let serves = options
        .split(',')
        .any(|option| matches!(option, "server" | "server=on"));
    serves.then_some(path)
}

fn property<'a>(options: &'a str, name: &str) -> Option<&'a str> {
    let mut options = options
        .split(',')
        .filter_map(|option| option.split_once('='));
    options
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests;
