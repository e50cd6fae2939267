//! A host with six guests through thirty nights, one after the other by the program's own clock.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail by a panic"
)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output};

use fleece_lab::{Disk, Qemu, StorageDaemon};
use serde_json::Value;
use support::served::Served;
use support::{Bench, daemon};

/// November: the first is a Sunday.
const NIGHTS: u64 = 30;

/// The guest that hangs is asked every so many nights: each time that takes until its monitor has had its five seconds.
fn hangs(night: u64) -> bool {
    night.is_multiple_of(15)
}

/// On this night the guest that was stopped is gone for good, and the target's disk has rotted.
const GONE: u64 = 20;

struct Lab {
    bench: Bench,
    qemu: Qemu,
    daemons: [StorageDaemon; 2],
    _served: Served,
    _hung: UnixListener,
}

impl Lab {
    fn new() -> Option<Self> {
        let qemu = fleece_lab::qemu("10.0")?;
        let bench = Bench::new();
        let size = 2 << 20;
        let daemons = [Disk::raw(size), Disk::qcow2(size)].map(|disk| {
            let daemon = StorageDaemon::builder(&qemu)
                .disk(disk.throttled())
                .export();
            daemon.start().unwrap()
        });
        for name in ["disk0.raw", "stopped.raw"] {
            support::noise(&bench.path(name), size);
        }
        let served = Served::start(&bench, &[&bench.path("disk0.raw")]);
        let hung = UnixListener::bind(bench.path("hung.qmp")).unwrap();
        fs::create_dir(bench.path("bin")).unwrap();
        let mailer = "#!/bin/sh\ncat >> \"$MAILS\"\n";
        fs::write(bench.path("bin/sendmail"), mailer).unwrap();
        let rights = fs::Permissions::from_mode(0o755);
        fs::set_permissions(bench.path("bin/sendmail"), rights).unwrap();
        let lab = Self {
            bench,
            qemu,
            daemons,
            _served: served,
            _hung: hung,
        };
        lab.configure(true);
        Some(lab)
    }

    fn configure(&self, stopped: bool) {
        let path = |name: &str| self.bench.path(name).display().to_string();
        let [alpha, beta] = &self.daemons;
        let mut config = format!(
            "state-dir = '{}'\n[backup]\nto = '{}'\nfleecing = '{}'\nprune-backups = 'keep-daily=7,keep-weekly=4'\n\
             [run]\njobs = 6\nretry-after = 0\nverify-after = 7\nmail-to = 'root'\n",
            path("state"),
            path("archives"),
            path("fleecing")
        );
        for (name, daemon) in [("alpha", alpha), ("beta", beta)] {
            config += &format!(
                "[guest.{name}]\nqmp = '{}'\nnbd-server = '{}'\n",
                daemon.qmp_socket().display(),
                daemon.nbd_socket().display()
            );
        }
        let control = self.bench.path("socket").join("control.sock");
        config += &format!("[guest.native]\nnative = '{}'\n", control.display());
        config += &format!("[guest.broken]\nimage = '{}'\n", path("none.raw"));
        config += &format!("[guest.hung]\nqmp = '{}'\n", path("hung.qmp"));
        if stopped {
            config += &format!("[guest.stopped]\nimage = '{}'\n", path("stopped.raw"));
        }
        fs::write(self.bench.path("fleece.toml"), config).unwrap();
    }

    /// A command in a night.
    fn fleece(&self, night: u64, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fleece"));
        command.args(arguments).env("TZ", "UTC");
        command.env("FLEECE_CONFIG", self.bench.path("fleece.toml"));
        command.env("FLEECE_CLOCK", format!("2026-11-{night:02}T02:00:00Z"));
        command.env("MAILS", self.bench.path(&format!("mails-{night:02}")));
        let path = std::env::var("PATH").unwrap();
        command.env(
            "PATH",
            format!("{}:{path}", self.bench.path("bin").display()),
        );
        command.output().unwrap()
    }

    /// The days of which there are archives, by guest.
    fn days(&self) -> BTreeMap<String, Vec<u64>> {
        let mut days: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for path in support::entries(&self.bench.path("archives")) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let Some(stem) = name.strip_suffix(".vma.zst") else {
                continue;
            };
            let parts: Vec<_> = stem.split(['-', '_']).collect();
            days.entry(parts[2].to_owned())
                .or_default()
                .push(parts[5].parse().unwrap());
        }
        days
    }
}

#[test]
fn thirty_nights_of_six_guests_leave_what_the_rules_keep_and_word_of_what_failed() {
    let Some(lab) = Lab::new() else {
        return;
    };
    for night in 1..=NIGHTS {
        for (daemon, byte) in lab.daemons.iter().zip([0x10, 0x20]) {
            let write = format!("write -P {} {}k 64k", byte + night % 16, 64 * (night % 32));
            daemon::io(&lab.qemu, daemon, 0, &write);
        }
        if night == GONE {
            lab.configure(false);
        }
        let mut arguments = vec!["run", "--all", "--json"];
        if !hangs(night) {
            arguments.extend(["--exclude", "hung"]);
        }
        let ended = lab.fleece(night, &arguments);
        keep(&format!("run-{night:02}.json"), &ended.stdout);
        keep(&format!("run-{night:02}.log"), &ended.stderr);
        let said = String::from_utf8_lossy(&ended.stdout).into_owned();
        let last: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
        let codes: BTreeMap<&str, u64> = last["guests"]
            .as_array()
            .unwrap()
            .iter()
            .map(|guest| {
                (
                    guest["guest"].as_str().unwrap(),
                    guest["exit_code"].as_u64().unwrap(),
                )
            })
            .collect();
        for (guest, code) in &codes {
            match *guest {
                "broken" => assert_ne!(*code, 0, "{said}"),
                "hung" => assert_eq!(*code, 5, "{said}"),
                _ => assert_eq!(*code, 0, "{guest} in night {night}: {said}"),
            }
        }
        let expected = 4 + usize::from(night < GONE) + usize::from(hangs(night));
        assert_eq!(codes.len(), expected, "{said}");
        let worst = *codes.values().max().unwrap();
        assert_eq!(last["exit_code"], worst, "{last}");
        assert_eq!(ended.status.code().map(u64::try_from), Some(Ok(worst)));
        // One mail a night, which names what failed and no more.
        let mail = fs::read_to_string(lab.bench.path(&format!("mails-{night:02}"))).unwrap();
        keep(&format!("mail-{night:02}"), mail.as_bytes());
        assert_eq!(mail.matches("To: root").count(), 1, "{mail}");
        let failed = if hangs(night) { 2 } else { 1 };
        assert!(
            mail.contains(&format!(": {failed} of {} failed", codes.len())),
            "{mail}"
        );
        assert!(mail.contains("none.raw"), "{mail}");
    }
    let days = lab.days();
    // Seven days, and the last of the weeks before.
    let expected = [1, 8, 15, 22, 24, 25, 26, 27, 28, 29, 30];
    for guest in ["alpha", "beta", "native"] {
        assert_eq!(days[guest], expected, "{guest}");
    }
    // Of the one that is gone stays what the rules keep of what there was.
    assert_eq!(days["stopped"], [1, 8, 13, 14, 15, 16, 17, 18, 19]);
    assert_eq!(days.len(), 4, "{days:?}");
    assert_sound(&lab);
    assert_shown(&lab);
    lab.bench.assert_clean_folders();
}

/// All archives are sound, and were verified in the last week, as the job wants it.
fn assert_sound(lab: &Lab) {
    let archives = lab.bench.path("archives");
    let listed = lab.fleece(NIGHTS, &["list", archives.to_str().unwrap(), "--json"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    for line in listed.lines() {
        let backup: Value = serde_json::from_str(line).unwrap();
        assert_eq!(backup["verified"], "sound", "{backup}");
        let at = backup["verified_at"].as_str().unwrap();
        assert!(at >= "2026-11-23", "{backup}");
        let path = backup["path"].as_str().unwrap();
        let ended = Command::new(env!("CARGO_BIN_EXE_vma"))
            .args(["verify", path])
            .output();
        assert!(ended.unwrap().status.success(), "{path}");
        assert!(Path::new(path).is_file());
    }
}

/// Beside each archive is its log and what the run was like, and the page and the metrics are of all guests.
fn assert_shown(lab: &Lab) {
    let archives = lab.bench.path("archives");
    for path in support::entries(&archives) {
        let name = path.to_string_lossy();
        if let Some(stem) = name.strip_suffix(".vma.zst") {
            for kind in ["log", "stats.json"] {
                let beside = format!("{stem}.{kind}");
                assert!(Path::new(&beside).is_file(), "{beside}");
            }
        }
    }
    let (archives, page) = (archives.to_str().unwrap(), lab.bench.path("page.html"));
    let rules = "keep-daily=7,keep-weekly=4";
    let html = [
        "report",
        archives,
        "--keep",
        rules,
        "--html",
        page.to_str().unwrap(),
    ];
    let ended = lab.fleece(NIGHTS, &html);
    assert!(matches!(ended.status.code(), Some(0 | 3 | 4)), "{ended:?}");
    let page = fs::read_to_string(page).unwrap();
    let metrics = lab.fleece(NIGHTS, &["metrics", archives]);
    let metrics = String::from_utf8(metrics.stdout).unwrap();
    keep("page.html", page.as_bytes());
    keep("metrics.prom", metrics.as_bytes());
    for guest in ["alpha", "beta", "native", "stopped", "broken", "hung"] {
        assert!(page.contains(guest), "{guest} is not on the page");
        assert!(metrics.contains(guest), "{metrics}");
    }
}

/// Leaves a file for the documentation, where `cargo xtask screenshots` wants it.
fn keep(name: &str, content: &[u8]) {
    if let Some(folder) = std::env::var_os("FLEECE_KEEP") {
        fs::write(Path::new(&folder).join(name), content).unwrap();
    }
}
