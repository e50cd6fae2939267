//! Whatever a record says, a clean-up takes away what Fleece made and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

/// The guest whose record it is.
const GUEST: &str = "100";

/// A host with guests 100 and 200, and a storage `local`.
struct Host {
    dir: TempDir,
    storages: Storages,
}

impl Host {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for name in [
            "plain",
            "other",
            "conf",
            "state",
            "local/images/100",
            "local/images/200",
        ] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        let config = format!("dir: local\n\tpath {}\n", root.join("local").display());
        fs::write(root.join("storage.cfg"), config).unwrap();
        let storages = Storages::from_config(&root.join("storage.cfg")).unwrap();
        Self { dir, storages }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(name)
    }

    fn place(&self) -> Place {
        let config = Some(self.path("conf/100.conf")).filter(|path| path.exists());
        let place = Place::new(self.path("state"), GUEST.parse().unwrap(), config);
        place.with_configs(self.path("conf"))
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(
            self.path(name),
            text.replace("ROOT", &self.path("").display().to_string()),
        )
        .unwrap();
    }

    fn clean(&self) -> Cleaned {
        cleanup(&self.place(), None, &self.storages).unwrap()
    }

    /// Everything that lies about, except records and locks.
    fn files(&self) -> BTreeSet<PathBuf> {
        let mut found = BTreeSet::new();
        let mut left = vec![self.path("")];
        while let Some(path) = left.pop() {
            if path.symlink_metadata().unwrap().is_dir() {
                left.extend(
                    fs::read_dir(path)
                        .unwrap()
                        .map(|entry| entry.unwrap().path()),
                );
            } else if !path.starts_with(self.path("state")) {
                found.insert(path);
            }
        }
        found
    }
}

/// Something on a host, by its path and by what a record could call it.
#[derive(Clone, Debug)]
struct Thing {
    path: &'static str,
    id: &'static str,
    kind: Kind,
    ours: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Image,
    Volume,
    File,
}

const fn thing(path: &'static str, id: &'static str, kind: Kind, ours: bool) -> Thing {
    Thing {
        path,
        id,
        kind,
        ours,
    }
}

/// What Fleece made, and what others have, under all names that a record could give it.
const THINGS: &[Thing] = &[
    thing(
        "plain/vm-100-fleece-0.raw",
        "ROOTplain/vm-100-fleece-0.raw",
        Kind::Image,
        true,
    ),
    thing(
        "plain/vm-100-fleece-1.qcow2",
        "ROOTplain/vm-100-fleece-1.qcow2",
        Kind::Image,
        true,
    ),
    thing(
        "local/images/100/vm-100-fleece-2.raw",
        "local:100/vm-100-fleece-2.raw",
        Kind::Image,
        true,
    ),
    thing(
        "local/images/100/vm-100-disk-5.raw",
        "local:100/vm-100-disk-5.raw",
        Kind::Volume,
        true,
    ),
    thing(
        "plain/vm-100-disk-6.raw",
        "ROOTplain/vm-100-disk-6.raw",
        Kind::Volume,
        true,
    ),
    thing(
        "plain/.a.vma.zst.tmp",
        "ROOTplain/.a.vma.zst.tmp",
        Kind::File,
        true,
    ),
    thing(
        "plain/.a.vma.zst.idx.tmp",
        "ROOTplain/.a.vma.zst.idx.tmp",
        Kind::File,
        true,
    ),
    // The guest's own disks, in its configuration, a snapshot, pending, unused, by path, in `args`.
    thing(
        "local/images/100/vm-100-disk-0.raw",
        "local:100/vm-100-disk-0.raw",
        Kind::Volume,
        false,
    ),
    thing(
        "local/images/100/vm-100-disk-0.raw",
        "ROOTlocal/images/100/vm-100-disk-0.raw",
        Kind::Volume,
        false,
    ),
    thing(
        "local/images/100/vm-100-disk-0.raw",
        "ROOTlocal/images/100/vm-100-disk-0.raw",
        Kind::Image,
        false,
    ),
    thing(
        "local/images/100/vm-100-disk-1.raw",
        "local:100/vm-100-disk-1.raw",
        Kind::Volume,
        false,
    ),
    thing(
        "local/images/100/vm-100-disk-2.raw",
        "local:100/vm-100-disk-2.raw",
        Kind::Volume,
        false,
    ),
    thing(
        "local/images/100/vm-100-disk-3.raw",
        "local:100/vm-100-disk-3.raw",
        Kind::Volume,
        false,
    ),
    thing(
        "plain/vm-100-disk-4.raw",
        "ROOTplain/vm-100-disk-4.raw",
        Kind::Volume,
        false,
    ),
    thing(
        "plain/vm-100-fleece-9.raw",
        "ROOTplain/vm-100-fleece-9.raw",
        Kind::Image,
        false,
    ),
    // Other guests'.
    thing(
        "local/images/200/vm-200-disk-0.raw",
        "local:200/vm-200-disk-0.raw",
        Kind::Volume,
        false,
    ),
    thing(
        "local/images/200/vm-200-disk-0.raw",
        "local:200/vm-200-disk-0.raw",
        Kind::Image,
        false,
    ),
    thing(
        "local/images/200/vm-100-disk-8.raw",
        "local:200/vm-100-disk-8.raw",
        Kind::Volume,
        false,
    ),
    thing(
        "plain/vm-200-fleece-0.raw",
        "ROOTplain/vm-200-fleece-0.raw",
        Kind::Image,
        false,
    ),
    thing(
        "plain/base-100-disk-0.raw",
        "ROOTplain/base-100-disk-0.raw",
        Kind::Volume,
        false,
    ),
    thing(
        "local/images/100/base-100-fleece-0.raw",
        "local:100/base-100-fleece-0.raw",
        Kind::Image,
        false,
    ),
    thing(
        "plain/vm-100-state-now.raw",
        "ROOTplain/vm-100-state-now.raw",
        Kind::Volume,
        false,
    ),
    // Paths that lead elsewhere.
    thing(
        "other/vm-100-fleece-7.raw",
        "ROOTplain/../other/vm-100-fleece-7.raw",
        Kind::Image,
        false,
    ),
    thing(
        "other/vm-100-fleece-7.raw",
        "local:../../other/vm-100-fleece-7.raw",
        Kind::Image,
        false,
    ),
    thing(
        "plain/vm-100-fleece-8.raw",
        "ROOTplain/vm-100-fleece-8.raw",
        Kind::Image,
        false,
    ),
    // Files of others.
    thing(
        "plain/precious.vma.zst",
        "ROOTplain/precious.vma.zst",
        Kind::File,
        false,
    ),
    thing(
        "plain/precious.vma.tmp",
        "ROOTplain/precious.vma.tmp",
        Kind::File,
        false,
    ),
    thing(
        "plain/.link.vma.tmp",
        "ROOTplain/.link.vma.tmp",
        Kind::File,
        false,
    ),
    thing(
        "plain/vm-100-fleece-6.raw",
        "ROOTplain/vm-100-fleece-6.raw",
        Kind::File,
        false,
    ),
];

/// A link, where others' things are links.
const LINKS: [&str; 2] = ["plain/vm-100-fleece-8.raw", "plain/.link.vma.tmp"];

impl Thing {
    fn id(&self, host: &Host) -> String {
        self.id
            .replace("ROOT", &host.path("").display().to_string())
    }
}

fn odd() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,24}",
        "[a-z0-9:/._-]{0,24}",
        Just("local:".to_owned()),
        Just("/".to_owned()),
        Just("/etc".to_owned()),
        Just("/dev/null".to_owned()),
        Just("nowhere:vm-100-fleece-0".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn whatever_a_record_says_only_what_fleece_made_is_taken_away(
        chosen in proptest::sample::subsequence((0..THINGS.len()).collect::<Vec<_>>(), 0..THINGS.len()),
        odd in proptest::collection::vec((0_u8..3, odd()), 0..4),
        in_config in any::<bool>(),
        socket in prop_oneof![Just("state/100.nbd"), Just("plain/precious.sock")],
    ) {
        let host = Host::new();
        for thing in THINGS.iter().filter(|thing| !LINKS.contains(&thing.path)) {
            host.write(thing.path, "data");
        }
        for link in LINKS {
            symlink(host.path("plain/precious.vma.zst"), host.path(link)).unwrap();
        }
        drop(UnixListener::bind(host.path(socket)).unwrap());
        host.write("conf/200.conf", "scsi0: local:200/vm-200-disk-0.raw\n");
        let own = "scsi0: local:100/vm-100-disk-0.raw,size=1G\nunused0: file=local:100/vm-100-disk-1.raw\n\
                   args: -drive file=ROOTplain/vm-100-disk-4.raw,if=none\n\n\
                   [PENDING]\nscsi1: local:100/vm-100-disk-2.raw\n\n\
                   [special:fleecing]\nfleecing-images: IMAGES\n\n\
                   [snap]\nscsi1: local:100/vm-100-disk-3.raw\nscsi2: ROOTplain/vm-100-fleece-9.raw\n";
        let mut lists: [Vec<String>; 3] = Default::default();
        for thing in chosen.iter().map(|n| &THINGS[*n]) {
            lists[thing.kind as usize].push(thing.id(&host));
        }
        for (kind, text) in odd {
            lists[usize::from(kind)].push(text.replace(['\n', '\r'], ""));
        }
        let [images, volumes, files] = &lists;
        let images = images.join(" ");
        host.write("conf/100.conf", &own.replace("IMAGES", if in_config { &images } else { "" }));
        let files = serde_json::Value::from_iter(files.clone());
        let volumes = volumes.join(",");
        host.write("state/100.state", &format!(
            "nbd-socket: ROOT{socket}\nfiles: {files}\nrestores: ROOTconf/9.conf\nvolumes: {volumes}\n\n\
             [special:fleecing]\nfleecing-images: {}\n",
            if in_config { "" } else { &images },
        ));

        let before = host.files();
        let cleaned = host.clean();
        let after = host.files();
        let named: BTreeSet<_> = chosen.iter().map(|n| &THINGS[*n]).collect::<Vec<_>>().iter()
            .filter(|thing| thing.ours).map(|thing| host.path(thing.path)).collect();
        let gone: BTreeSet<_> = before.difference(&after).cloned().collect();
        prop_assert_eq!(&gone, &named, "{:?}", cleaned.failed);
        prop_assert_eq!(after.difference(&before).count(), 0);
        // Nothing is forgotten but what is gone.
        let left = Record::open(&host.place()).unwrap().contents().unwrap();
        let told: Vec<_> = cleaned.failed.iter().map(ToString::to_string).collect();
        for thing in chosen.iter().map(|n| &THINGS[*n]).filter(|thing| !thing.ours) {
            let id = thing.id(&host);
            let on_record = left.images.iter().chain(&left.volumes).any(|name| *name == id)
                || left.files.contains(&PathBuf::from(&id));
            prop_assert!(on_record, "{id}");
            prop_assert!(told.iter().any(|told| told.contains(&id)), "{id}: {told:?}");
        }
    }
}

#[test]
fn what_a_process_has_open_stays_until_it_has_ended() {
    let host = Host::new();
    host.write("plain/vm-100-fleece-0.raw", "data");
    host.write("plain/.a.vma.tmp", "data");
    host.write(
        "state/100.state",
        "files: [\"ROOTplain/.a.vma.tmp\"]\n\n[special:fleecing]\nfleecing-images: ROOTplain/vm-100-fleece-0.raw\n",
    );
    let open = |name| fs::File::open(host.path(name)).unwrap();
    let mut user = std::process::Command::new("cat")
        .arg("-")
        .stdin(std::process::Stdio::piped())
        .stdout(open("plain/vm-100-fleece-0.raw"))
        .stderr(open("plain/.a.vma.tmp"))
        .spawn()
        .unwrap();
    let cleaned = host.clean();
    let told: Vec<_> = cleaned.failed.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told.iter().all(|told| told.contains("(cat) has it open")),
        "{told:?}"
    );
    drop(user.stdin.take());
    user.wait().unwrap();
    assert_eq!(host.clean().done.len(), 2);
    assert!(!host.path("plain/vm-100-fleece-0.raw").exists());
}

#[test]
fn an_image_that_qemu_has_locked_stays() {
    let host = Host::new();
    host.write("plain/vm-100-fleece-0.raw", "data");
    host.write(
        "state/100.state",
        "[special:fleecing]\nfleecing-images: ROOTplain/vm-100-fleece-0.raw\n",
    );
    let path = host.path("plain/vm-100-fleece-0.raw");
    let lock = fleece_storage::block::ImageLock::for_writing(&path).unwrap();
    let cleaned = host.clean();
    assert!(
        cleaned.failed[0].to_string().contains("stays on record"),
        "{cleaned:?}"
    );
    assert!(path.exists());
    drop(lock);
    assert!(host.clean().failed.is_empty());
    assert!(!path.exists());
}

#[test]
fn a_configuration_that_cannot_be_read_keeps_what_it_may_name() {
    let host = Host::new();
    host.write("plain/vm-100-disk-0.raw", "data");
    host.write("conf/200.conf", &"#".repeat(2 << 20));
    host.write(
        "state/100.state",
        "restores: ROOTconf/100.conf\nvolumes: ROOTplain/vm-100-disk-0.raw\n",
    );
    let cleaned = host.clean();
    assert!(
        cleaned.failed[0].to_string().contains("200.conf"),
        "{cleaned:?}"
    );
    assert!(host.path("plain/vm-100-disk-0.raw").exists());
    fs::remove_file(host.path("conf/200.conf")).unwrap();
    assert!(host.clean().failed.is_empty());
    assert!(!host.path("plain/vm-100-disk-0.raw").exists());
}

#[test]
fn an_unfinished_restore_is_undone_and_a_finished_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let volumes = ["vm-7-disk-0.raw", "vm-7-disk-1.raw"].map(|name| root.join(name));
    let config = root.join("7.conf");
    let place = Place::new(root.join("state"), "7".parse().unwrap(), None);
    for (text, left) in [
        (None, [false, false]),
        (
            Some(format!("scsi0: {},size=4K\n", volumes[0].display())),
            [true, false],
        ),
    ] {
        let record = Record::open(&place).unwrap();
        record.begin_restore(&config).unwrap();
        for volume in &volumes {
            let id = volume.to_str().unwrap().parse().unwrap();
            record.add_volume(&id).unwrap();
            fs::write(volume, "data").unwrap();
        }
        if let Some(text) = text {
            fs::write(&config, text).unwrap();
        }
        let mut cleaned = Cleaned::default();
        clean(
            &record,
            None,
            &Storages::none(),
            &Interrupt::default(),
            &mut cleaned,
        )
        .unwrap();
        assert!(cleaned.failed.is_empty(), "{:?}", cleaned.failed);
        assert_eq!([volumes[0].exists(), volumes[1].exists()], left);
        assert!(record.contents().unwrap().is_empty());
    }
}
