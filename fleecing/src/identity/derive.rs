//! Which guest is at the end of a way, if nobody says it: decided by where it is and what QEMU was told,
//! never by what ran before.

use std::path::Path;

use fleece_guest_config::{GuestId, is_drive_key};

use super::endpoint::{Endpoint, Kind};

/// Where Proxmox's guests have their monitors, each by its number.
const PROXMOX: &str = "/run/qemu-server";

/// Words that say what a file is, not whose. With a number behind it, each is the same.
const GENERIC: [&str; 17] = [
    "fleece", "backup", "qmp", "hmp", "monitor", "mon", "socket", "sock", "control", "ctrl", "ctl",
    "drive", "disk", "image", "img", "raw", "qcow",
];

/// Directories that are everybody's.
const SHARED: [&str; 12] = [
    "run", "var", "tmp", "lib", "dev", "shm", "mapper", "images", "srv", "mnt", "user", "libvirt",
];

/// The guest's number or name, and whether its place alone vouches for it: the number of a guest of
/// Proxmox's.
///
/// That is the number by which its monitor is called; else what QEMU was given with `-name`; else what its
/// socket or image is called or, where that says nothing, the directory in which it is. A number in `-name`
/// is passed over: a guest would be taken for one of Proxmox's by a text.
pub(super) fn derive(endpoint: &Endpoint, name: Option<&str>) -> Option<(GuestId, bool)> {
    let by_path = match endpoint.kind {
        Kind::Monitor if endpoint.place.starts_with('/') => called(Path::new(&endpoint.place)),
        Kind::Monitor if endpoint.label.is_some() => endpoint.label.as_deref().and_then(domain),
        Kind::Monitor => GuestId::from_text(&endpoint.place),
        Kind::Control => called(Path::new(&endpoint.place)),
        Kind::Image => {
            let label = endpoint.label.as_deref().filter(|label| !is_disk(label));
            label.map_or_else(|| called(Path::new(&endpoint.place)), GuestId::from_text)
        }
    };
    let number = stem(Path::new(&endpoint.place))
        .parse()
        .ok()
        .filter(|id: &GuestId| endpoint.kind == Kind::Monitor && id.number().is_some())
        .filter(|_| endpoint.label.is_none());
    if let Some(number) = number {
        let vouched = Path::new(&endpoint.place).parent() == Some(Path::new(PROXMOX));
        return Some((number, vouched));
    }
    let named = name.and_then(GuestId::from_text);
    let named = named.filter(|id| id.number().is_none());
    Some((named.or(by_path)?, false))
}

/// The name of a domain of libvirt, if it can be one; a number is none of Proxmox's.
fn domain(name: &str) -> Option<GuestId> {
    let named = GuestId::from_text(name).filter(|id| id.number().is_none());
    named.or_else(|| GuestId::from_text(&format!("domain-{name}")))
}

/// What a file is called, or the nearest directory that says more than what the file is.
fn called(path: &Path) -> Option<GuestId> {
    let file = stem(path);
    if !is_generic(&file) && !is_disk(&file) {
        return GuestId::from_text(&file);
    }
    let mut above = path.ancestors().skip(1);
    let telling = above.find(|directory| !is_generic(&name(directory)));
    let nearest = path.parent();
    [telling, nearest]
        .into_iter()
        .flatten()
        .filter(|directory| !is_shared(directory))
        .find_map(|directory| GuestId::from_text(&name(directory)))
}

fn is_shared(directory: &Path) -> bool {
    // A number in there is a user's.
    let users = directory.parent() == Some(Path::new("/run/user"));
    users || SHARED.contains(&&*name(directory))
}

/// A file's name without the endings that say what it is.
fn stem(path: &Path) -> String {
    let mut stem = name(path);
    while let Some((before, ending)) = stem.rsplit_once('.')
        && !before.is_empty()
        && is_generic(ending)
    {
        stem = before.to_owned();
    }
    stem
}

fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn is_generic(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let mut words = name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.bytes().all(|b| b.is_ascii_digit()))
        .peekable();
    words.peek().is_some()
        && words.all(|word| {
            // One of several monitors; but `qemu1` is a guest.
            let numbered = word.trim_end_matches(|c: char| c.is_ascii_digit());
            word == "qemu" || GENERIC.contains(&numbered)
        })
}

/// Whether this names a disk and not a guest: `drive-scsi0`, `virtio1`.
fn is_disk(name: &str) -> bool {
    is_drive_key(name.strip_prefix("drive-").unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use fleece_qmp_client::Address;

    use super::*;
    use crate::address::GuestAddress;

    fn monitor(path: &str, name: Option<&str>) -> Option<String> {
        let endpoint = Endpoint::monitor(&path.parse::<GuestAddress>().unwrap());
        derive(&endpoint, name).map(|(id, _)| id.to_string())
    }

    #[test]
    fn a_number_that_a_monitor_is_called_by_is_the_guests() {
        for path in [
            "/run/qemu-server/100.qmp",
            "/x/100.qmp",
            "/x/100.sock",
            "/x/100",
        ] {
            assert_eq!(monitor(path, Some("web")).as_deref(), Some("100"), "{path}");
        }
        let endpoint = |path: &str| Endpoint::monitor(&Address::unix(path).into());
        assert!(
            derive(&endpoint("/run/qemu-server/100.qmp"), None)
                .unwrap()
                .1
        );
        assert!(!derive(&endpoint("/x/100.qmp"), None).unwrap().1);
    }

    #[test]
    fn else_it_is_what_qemu_was_told_if_that_can_be_a_name() {
        for (name, id) in [
            ("web", "web"),
            ("web server", "web_server"),
            ("100", "db"),
            ("100-web", "db"),
            ("../../etc", "db"),
            ("a\u{1b}[2J", "db"),
            ("", "db"),
        ] {
            assert_eq!(
                monitor("/x/db.qmp", Some(name)).as_deref(),
                Some(id),
                "{name:?}"
            );
        }
        assert_eq!(
            monitor("/x/db.qmp", Some(&"n".repeat(10_000))).as_deref(),
            Some("db")
        );
    }

    #[test]
    fn else_it_is_what_the_socket_is_called_or_where_it_is() {
        for (path, id) in [
            ("/x/web.qmp", Some("web")),
            ("/x/web.example.com.qmp.sock", Some("web.example.com")),
            ("/x/web server.sock", Some("web_server")),
            ("/x/vm1/qmp.sock", Some("vm1")),
            ("/x/vm1/qemu-monitor.sock", Some("vm1")),
            ("/x/vm1/mon0", Some("vm1")),
            ("/x/vm1/qmp/monitor.sock", Some("vm1")),
            ("/x/domain-3-web/monitor.sock", Some("domain-3-web")),
            ("/x/42/monitor", Some("42")),
            ("/x/qemu1/qmp.sock", Some("qemu1")),
            ("/x/qmp-1.sock", Some("x")),
            ("/run/vm1/fleece.qmp", Some("vm1")),
            ("/run/fleece.qmp", None),
            ("/run/qmp.sock", None),
            ("/run/qemu/qmp.sock", Some("qemu")),
            ("/tmp/.x/socket/control.sock", Some("x")),
            ("/tmp/monitor", None),
            ("/run/user/1000/qmp.sock", None),
            ("/qmp.sock", None),
            ("tcp:127.0.0.1:4444", Some("tcp_127.0.0.1_4444")),
            ("tcp:[::1]:4444", Some("tcp____1__4444")),
        ] {
            assert_eq!(monitor(path, None).as_deref(), id, "{path}");
        }
    }

    #[test]
    fn a_domain_has_its_name_and_no_number() {
        let uuid = "6a3f0f3e-8c0e-4b0f-9c3e-2f7f4a1d8b10";
        let uri = "qemu+unix:///system?socket=/x/100.sock";
        let address = fleece_libvirt::DomainAddress::new(uuid, uri).unwrap();
        for (name, id) in [
            ("web", "web"),
            ("web server", "web_server"),
            ("100", "domain-100"),
        ] {
            let endpoint = Endpoint::domain(&address, name);
            assert_eq!(endpoint, Endpoint::monitor(&address.clone().into()));
            let derived = derive(&endpoint, Some(name)).map(|(id, _)| id.to_string());
            assert_eq!(derived.as_deref(), Some(id), "{name}");
        }
    }

    #[test]
    fn a_server_of_ours_and_an_image_are_called_likewise() {
        let control = |path: &str| derive(&Endpoint::control(Path::new(path)), None);
        assert_eq!(control("/x/web/control.sock").unwrap().0.to_string(), "web");
        assert_eq!(
            control("/x/serve/control.sock").unwrap().0.to_string(),
            "serve"
        );
        for (path, label, id) in [
            ("/x/web.qcow2", None, Some("web")),
            ("/x/web.raw", Some("drive-scsi0"), Some("web")),
            ("/x/web.raw", Some("db"), Some("db")),
            ("/x/web/disk0.raw", None, Some("web")),
            (
                "/x/web/drive-virtio0.raw",
                Some("drive-virtio0"),
                Some("web"),
            ),
            ("/dev/vg/web", None, Some("web")),
            ("/images/disk.raw", None, None),
        ] {
            let id_found = derive(&Endpoint::image(Path::new(path), label), None);
            assert_eq!(
                id_found.map(|(id, _)| id.to_string()).as_deref(),
                id,
                "{path}"
            );
        }
    }
}
