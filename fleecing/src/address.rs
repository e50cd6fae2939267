//! How a guest is reached: its monitor, and its agent.

use std::convert::Infallible;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use fleece_libvirt::DomainAddress;
use fleece_qmp_client::{Address, Client, Error as QmpError, Options, Sessions};

/// Where a guest's monitor or agent is: a socket of its own, or a domain of libvirt, which passes on what it is
/// told.
///
/// As text it is that of an [`Address`] or a [`DomainAddress`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GuestAddress {
    /// A socket.
    Socket(Address),
    /// A domain of libvirt.
    Domain(DomainAddress),
}

impl GuestAddress {
    /// Connects to the monitor there.
    ///
    /// # Errors
    /// As [`Client::connect`] and [`fleece_libvirt::connect`].
    pub fn connect(&self, options: &Options) -> Result<Client, QmpError> {
        match self {
            Self::Socket(address) if is_proxmoxs(address) => {
                Ok(Client::over(Sessions::open(address, options)?))
            }
            Self::Socket(address) => Client::connect(address, options),
            Self::Domain(domain) => fleece_libvirt::connect(domain, options),
        }
    }
}

/// Whether it is the one monitor that Proxmox VE gives a guest, and needs itself for each of its commands.
fn is_proxmoxs(address: &Address) -> bool {
    matches!(address, Address::Unix(path) if proxmoxs_guest(path).is_some())
}

/// The number of Proxmox VE's guest with this monitor, `/run/qemu-server/<vmid>.qmp`.
pub(crate) fn proxmoxs_guest(monitor: &Path) -> Option<u32> {
    let is_there = monitor.parent()?.ends_with("qemu-server");
    let number = monitor.file_stem()?.to_str()?.parse().ok()?;
    (is_there && monitor.extension()? == "qmp").then_some(number)
}

impl From<Address> for GuestAddress {
    fn from(address: Address) -> Self {
        Self::Socket(address)
    }
}

impl From<DomainAddress> for GuestAddress {
    fn from(domain: DomainAddress) -> Self {
        Self::Domain(domain)
    }
}

impl FromStr for GuestAddress {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        if let Ok(domain) = text.parse() {
            return Ok(Self::Domain(domain));
        }
        let Ok(address) = text.parse();
        Ok(Self::Socket(address))
    }
}

impl fmt::Display for GuestAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(address) => address.fmt(f),
            Self::Domain(domain) => domain.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxmoxs_monitors_are_shared_with_it() {
        for (path, shared) in [
            ("/run/qemu-server/100.qmp", true),
            ("/var/run/qemu-server/100.qmp", true),
            ("/run/qemu-server/100.vnc", false),
            ("/run/qemu-server/web.qmp", false),
            ("/run/fleece/100.qmp", false),
        ] {
            assert_eq!(is_proxmoxs(&Address::unix(path)), shared, "{path}");
        }
        assert!(!is_proxmoxs(&Address::Tcp("qemu-server:100".into())));
    }

    #[test]
    fn both_kinds_are_read_as_they_were_written() {
        let uuid = "6a3f0f3e-8c0e-4b0f-9c3e-2f7f4a1d8b10";
        let domain = DomainAddress::new(uuid, "qemu:///system").unwrap();
        for address in [
            GuestAddress::from(Address::unix("/run/vm.qmp")),
            domain.into(),
        ] {
            let Ok(read) = address.to_string().parse::<GuestAddress>();
            assert_eq!(read, address);
        }
    }
}
