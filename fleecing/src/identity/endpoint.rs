//! Where a guest is reached: what identifies it, wherever it is called from.

use std::fs;
use std::path::{Path, PathBuf};

use fleece_libvirt::DomainAddress;
use fleece_qmp_client::Address;

use crate::address::GuestAddress;
use crate::journal::record::absolute;

/// Where a guest is reached. It is the same from every working directory, through every symbolic link, and
/// below `/var/run` as below `/run`.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub(super) kind: Kind,
    /// The path, or an address on a network, as it is compared and recorded.
    pub(super) place: String,
    /// What an image is called on the command line, or a domain by libvirt; that makes it no other endpoint.
    pub(super) label: Option<String>,
}

/// What a guest is reached by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Monitor,
    Control,
    Image,
}

impl Endpoint {
    /// By QEMU's monitor.
    #[must_use]
    pub fn monitor(address: &GuestAddress) -> Self {
        let place = match address {
            GuestAddress::Socket(Address::Unix(path)) => canonical(path).display().to_string(),
            other => other.to_string(),
        };
        Self::new(Kind::Monitor, place)
    }

    /// By libvirt, where the domain has this name.
    #[must_use]
    pub fn domain(domain: &DomainAddress, name: &str) -> Self {
        Self {
            label: Some(name.to_owned()),
            ..Self::new(Kind::Monitor, domain.to_string())
        }
    }

    /// By the control socket of a server of ours.
    #[must_use]
    pub fn control(socket: &Path) -> Self {
        Self::new(Kind::Control, canonical(socket).display().to_string())
    }

    /// By an image of the guest while it is stopped; `label` is what that disk is called.
    #[must_use]
    pub fn image(image: &Path, label: Option<&str>) -> Self {
        // A link to a block device leads to another one after the next start of the host.
        let path = in_canonical_directory(&absolute(image));
        Self {
            label: label.map(str::to_owned),
            ..Self::new(Kind::Image, path.display().to_string())
        }
    }

    /// What is on file.
    pub(super) fn recorded(kind: Kind, place: &str) -> Self {
        Self::new(kind, place.to_owned())
    }

    fn new(kind: Kind, place: String) -> Self {
        Self {
            kind,
            place,
            label: None,
        }
    }
}

impl PartialEq for Endpoint {
    fn eq(&self, other: &Self) -> bool {
        (self.kind, &self.place) == (other.kind, &other.place)
    }
}

impl Eq for Endpoint {}

/// Links that lead to links: more than the kernel follows (`ELOOP`) is a circle.
const MAX_LINKS: usize = 40;

/// The path of a socket without links, whether the socket is there or not.
fn canonical(path: &Path) -> PathBuf {
    let mut path = absolute(path);
    for _ in 0..MAX_LINKS {
        path = in_canonical_directory(&path);
        match (fs::read_link(&path), path.parent()) {
            (Ok(target), Some(directory)) => path = directory.join(target),
            _ => break,
        }
    }
    path
}

fn in_canonical_directory(path: &Path) -> PathBuf {
    match (path.parent(), path.file_name()) {
        (Some(directory), Some(name)) => fs::canonicalize(directory)
            .unwrap_or_else(|_| directory.to_owned())
            .join(name),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_socket_is_one_whatever_path_leads_to_it_and_whether_it_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        fs::create_dir(root.join("run")).unwrap();
        symlink("run", root.join("var")).unwrap();
        symlink("var/qmp.sock", root.join("link")).unwrap();
        symlink(root.join("link"), root.join("run/link")).unwrap();
        symlink("circle", root.join("circle")).unwrap();
        let monitor = |path: &str| Endpoint::monitor(&Address::unix(root.join(path)).into());
        let check = || {
            for path in [
                "run/qmp.sock",
                "var/qmp.sock",
                "link",
                "run/link",
                "var/../link",
            ] {
                assert_eq!(monitor(path), monitor("run/qmp.sock"), "{path}");
            }
            assert_eq!(Path::new(&monitor("link").place), root.join("run/qmp.sock"));
            assert_ne!(monitor("circle"), monitor("link"));
        };
        check();
        let _socket = UnixListener::bind(root.join("run/qmp.sock")).unwrap();
        check();
    }

    #[test]
    fn an_image_keeps_the_name_that_it_is_given_in_its_directory() {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        symlink("dm-3", root.join("web")).unwrap();
        let endpoint = Endpoint::image(&root.join("web"), None);
        assert_eq!(Path::new(&endpoint.place), root.join("web"));
    }

    #[test]
    fn an_address_on_a_network_stands_as_it_is() {
        let Ok(address) = "tcp:localhost:4444".parse();
        assert_eq!(Endpoint::monitor(&address).place, "tcp:localhost:4444");
    }
}
