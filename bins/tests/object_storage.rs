//! Backups in object storage: moto behind a proxy that makes faults, and the programs.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may fail by a panic"
)]

#[path = "../../object-storage/tests/support/mod.rs"]
mod store;
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use fleece_lab::{Disk, StorageDaemon};
use store::Moto;
use store::proxy::{Fault, Proxy};
use support::{Bench, succeed, text};

const SECRET: &str = "not/to+be/shown";

/// A bucket, behind the proxy as `off` and without it as `near`, and a host with one disk.
struct Field {
    bench: Bench,
    proxy: Proxy,
    moto: Moto,
}

impl Field {
    fn new() -> Option<Self> {
        let moto = Moto::start()?;
        let proxy = Proxy::before(moto.port);
        let bench = Bench::new();
        support::noise(&bench.path("disk.raw"), 20 << 20);
        let disk = fs::File::options()
            .write(true)
            .open(bench.path("disk.raw"))
            .unwrap();
        disk.set_len(32 << 20).unwrap();
        let keys = format!(
            "[default]\naws_access_key_id = AKIDNOTSHOWN\naws_secret_access_key = {SECRET}\n"
        );
        fs::write(bench.path("keys"), keys).unwrap();
        fs::set_permissions(bench.path("keys"), fs::Permissions::from_mode(0o600)).unwrap();
        let mut config = String::new();
        for (name, endpoint, bucket) in [
            ("off", proxy.endpoint(), "backups"),
            ("near", moto.endpoint(), "backups"),
        ] {
            config += &format!(
                "[store.{name}]\nendpoint = \"{endpoint}\"\nbucket = \"{bucket}\"\nretry-for = 20\n\
                 credentials-file = \"{}\"\n",
                bench.path("keys").display()
            );
        }
        fs::write(bench.path("fleece.toml"), config).unwrap();
        Some(Self { bench, proxy, moto })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.bench.path(name)
    }

    fn of(&self, mut command: Command) -> Command {
        command
            .env("FLEECE_CONFIG", self.path("fleece.toml"))
            .current_dir(self.path("archives"));
        command
    }

    fn fleece(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fleece"));
        command.args(args);
        self.of(command)
    }

    fn vma(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vma"));
        command.args(args);
        self.of(command)
    }

    fn ok(&self, mut command: Command) -> String {
        let output = succeed(&mut command);
        self.hides(&output);
        text(&output)
    }

    fn hides(&self, output: &Output) {
        let said = text(output);
        for hidden in [SECRET, "AKIDNOTSHOWN", "X-Amz-Signature"] {
            assert!(!said.contains(hidden), "{said}");
        }
    }

    /// `fleece backup` of the disk.
    fn backup(&self, store: &str, options: &[&str]) -> Command {
        let mut command = self.bench.fleece("backup");
        command
            .args(["--vmid", "100", "--image", "../disk.raw", "--to"])
            .arg(format!("s3:{store}/hosts/a"))
            .args(options);
        self.of(command)
    }

    /// The names of all objects, or of all unfinished uploads.
    fn keys(&self, query: &str) -> Vec<String> {
        let answer = self.moto.ask(&format!(
            "GET /backups?{query} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"
        ));
        let keys = answer.split("<Key>").skip(1);
        keys.map(|key| key.split('<').next().unwrap().to_owned())
            .collect()
    }

    fn archives(&self) -> Vec<String> {
        let mut keys = self.keys("list-type=2");
        keys.retain(|key| key.ends_with(".vma") || key.ends_with(".vma.zst"));
        keys.into_iter()
            .map(|key| format!("s3:near/{key}"))
            .collect()
    }

    fn disk(&self) -> Vec<u8> {
        fs::read(self.path("disk.raw")).unwrap()
    }

    fn extracted(&self, archive: &str) {
        self.ok(self.vma(&["extract", archive, "out"]));
        let file = support::entries(&self.path("archives/out")).remove(0);
        assert!(fs::read(file).unwrap() == self.disk(), "{archive}");
        fs::remove_dir_all(self.path("archives/out")).unwrap();
    }
}

#[test]
fn backups_live_in_object_storage_as_in_a_directory() {
    let Some(field) = Field::new() else {
        return;
    };
    what_is_backed_up_is_listed_verified_read_and_pruned(&field);
    what_is_compressed_is_opened_with_five_requests(&field);
    what_is_encrypted_is_read_with_its_key_alone(&field);
    a_killed_backup_leaves_an_upload_that_the_clean_up_aborts(&field);
    a_store_that_refuses_or_stalls_ends_the_backup_and_not_the_guest(&field);
}

fn what_is_backed_up_is_listed_verified_read_and_pruned(field: &Field) {
    let place = "s3:near/hosts/a";
    let options = ["--compress", "none", "--verify", "--notes", "first"];
    field.ok(field.backup("near", &options));
    assert_eq!(field.keys("uploads"), [""; 0]);
    let [archive] = &field.archives()[..] else {
        panic!("{:?}", field.archives());
    };
    let mut beside = field.keys("list-type=2");
    beside.retain(|key| !archive.ends_with(key.as_str()));
    let endings: Vec<_> = beside
        .iter()
        .map(|key| key.rsplit('.').next().unwrap())
        .collect();
    assert_eq!(
        endings,
        ["log", "json", "idx", "notes", "verified"],
        "{beside:?}"
    );
    let listed = field.ok(field.fleece(&["list", place]));
    assert!(
        listed.contains("sound") && listed.contains("first"),
        "{listed}"
    );
    field.ok(field.vma(&["verify", "--deep", archive]));
    field.extracted(archive);
    let restore = [
        "restore",
        archive,
        "--to",
        "restored",
        "--state-dir",
        "../state",
    ];
    // Without a configuration, a guest is restored with a warning.
    let restored = field.fleece(&restore).output().unwrap();
    assert_eq!(restored.status.code(), Some(3), "{}", text(&restored));
    let copy = fs::read(field.path("archives/restored/disk-drive-disk.raw"));
    assert!(copy.unwrap() == field.disk());
    fs::remove_dir_all(field.path("archives/restored")).unwrap();
    // What is protected stays, and so does what a rule keeps.
    field.ok(field.fleece(&["note", archive, "second"]));
    field.ok(field.fleece(&["protect", archive]));
    let refused = field.fleece(&["delete", archive]).output().unwrap();
    assert!(
        text(&refused).contains("is protected"),
        "{}",
        text(&refused)
    );
    field.ok(field.fleece(&["protect", "--off", archive]));
    field.ok(field.backup("near", &["--prune-backups", "keep-last=1"]));
    let left = field.archives();
    assert!(left.len() == 1 && left[0] != *archive, "{left:?}");
    // Nothing stays beside what has gone, but the record of its run.
    let stale = field.keys("list-type=2");
    let stem = archive.strip_prefix("s3:near/").unwrap();
    assert!(!stale.iter().any(|key| key.starts_with(stem)), "{stale:?}");
    let (reuse, name) = (["--reuse"], "s3:near/hosts/a/mine.vma");
    let refused = field.backup("near", &reuse).output().unwrap();
    assert!(
        text(&refused).contains("object storage"),
        "{}",
        text(&refused)
    );
    // One that has a name of its own.
    let mut own = field.bench.fleece("backup");
    own.args([
        "--vmid",
        "100",
        "--image",
        "../disk.raw",
        "--compress",
        "none",
        "--to",
        name,
    ]);
    field.ok(field.of(own));
    let again = field
        .vma(&["list", "s3:near/hosts/a/none.vma"])
        .output()
        .unwrap();
    assert!(text(&again).contains("NoSuchKey"), "{}", text(&again));
    field.ok(field.fleece(&["delete", name]));
}

fn what_is_compressed_is_opened_with_five_requests(field: &Field) {
    let archive = field.archives().remove(0);
    let far = archive.replace("s3:near", "s3:off");
    field.ok(field.vma(&["verify", "--deep", &archive]));
    for command in ["list", "info"] {
        field.proxy.rule(|_| Fault::None);
        field.ok(field.vma(&[command, &far]));
        let seen = field.proxy.seen();
        assert!(seen.len() <= 5, "{command}: {seen:?}");
    }
    // Answers that are cut off are read again.
    let mut cuts = 3;
    field
        .proxy
        .rule(move |line| match line.starts_with("GET") && cuts > 0 {
            true => {
                cuts -= 1;
                Fault::CutAnswer(1000)
            }
            false => Fault::None,
        });
    field.extracted(&far);
    field.proxy.rule(|_| Fault::None);
}

fn what_is_encrypted_is_read_with_its_key_alone(field: &Field) {
    let key = field.path("key");
    let made = Command::new("age-keygen").arg("-o").arg(&key).output();
    succeed(
        Command::new("age-keygen")
            .arg("-o")
            .arg(field.path("other")),
    );
    let public = Command::new("age-keygen").arg("-y").arg(&key).output();
    assert!(made.unwrap().status.success());
    let public = String::from_utf8(public.unwrap().stdout).unwrap();
    field.ok(field.backup("near", &["--encrypt-to", public.trim()]));
    let mut keys = field.keys("list-type=2");
    keys.retain(|key| key.ends_with(".vma.zst.age"));
    let archive = format!("s3:near/{}", keys[0]);
    let without = field.vma(&["list", &archive]).output().unwrap();
    assert!(text(&without).contains("--identity"), "{}", text(&without));
    let verify = ["verify", "--deep", &archive, "--identity", "../key"];
    field.ok(field.vma(&verify));
    let disk = [
        "extract",
        &archive,
        "-",
        "-d",
        "drive-disk",
        "--identity",
        "../key",
    ];
    let output = succeed(&mut field.vma(&disk));
    assert!(output.stdout == field.disk());
    field.ok(field.fleece(&["prune", "s3:near/hosts/a", "--keep", "keep-last=1"]));
    assert_eq!(field.archives(), [""; 0]);
    field.ok(field.fleece(&["delete", &archive]));
}

fn a_killed_backup_leaves_an_upload_that_the_clean_up_aborts(field: &Field) {
    let before = field.archives();
    field
        .proxy
        .rule(|line| match line.contains("partNumber=2") {
            true => Fault::Stall,
            false => Fault::None,
        });
    let mut killed = field.backup("off", &["--compress", "none"]);
    let mut killed = killed.spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    while !field
        .proxy
        .seen()
        .iter()
        .any(|line| line.contains("partNumber=2"))
    {
        assert!(Instant::now() < end, "{:?}", field.proxy.seen());
        thread::sleep(Duration::from_millis(20));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    let left = field.keys("uploads");
    assert!(!left.is_empty());
    assert_eq!(field.archives(), before);
    field.proxy.rule(|_| Fault::None);
    let mut clean = field.bench.fleece("cleanup");
    clean.arg("--all");
    field.ok(field.of(clean));
    assert_eq!(field.keys("uploads"), [""; 0]);
    field.bench.assert_clean_folders();
}

fn a_store_that_refuses_or_stalls_ends_the_backup_and_not_the_guest(field: &Field) {
    let Some(qemu) = fleece_lab::qemus().pop() else {
        return;
    };
    let before = field.archives();
    let daemon = StorageDaemon::builder(&qemu)
        .disk(Disk::raw(128 << 20))
        .export()
        .second_monitor()
        .start()
        .unwrap();
    // More than is under way at once, so that writing waits for the store.
    support::noise(daemon.disk_path(0), 128 << 20);
    let backup = |options: &[&str]| {
        let mut command = field.bench.fleece("backup");
        command
            .arg("--qmp")
            .arg(daemon.qmp_socket())
            .arg("--nbd-server")
            .arg(daemon.nbd_socket())
            .arg("--fleecing")
            .arg(field.path("fleecing"))
            .args(["--to", "s3:off/hosts/a", "--name", "guest"])
            .args(options);
        field.of(command)
    };
    let denied = "<Error><Code>AccessDenied</Code><Message>no more</Message></Error>";
    field
        .proxy
        .rule(move |line| match line.contains("partNumber=2") {
            true => Fault::Answer(403, denied),
            false => Fault::None,
        });
    let refused = backup(&["--compress", "none"]).output().unwrap();
    field.hides(&refused);
    assert!(
        !refused.status.success() && text(&refused).contains("no more"),
        "{}",
        text(&refused)
    );
    assert_eq!(field.keys("uploads"), [""; 0]);
    field.bench.assert_clean(&daemon.test_socket());
    field.proxy.rule(|line| match line.contains("partNumber") {
        true => Fault::Stall,
        false => Fault::None,
    });
    let stalled = backup(&["--compress", "none", "--target-timeout", "2"])
        .output()
        .unwrap();
    assert!(!stalled.status.success(), "{}", text(&stalled));
    support::assert_clean_qemu(&daemon.test_socket());
    assert_eq!(field.archives(), before);
    field.proxy.rule(|_| Fault::None);
    let mut clean = field.bench.fleece("cleanup");
    clean.arg("--all");
    field.ok(field.of(clean));
    assert_eq!(field.keys("uploads"), [""; 0]);
    let disk = fs::File::options()
        .write(true)
        .open(daemon.disk_path(0))
        .unwrap();
    disk.set_len(1 << 20).unwrap();
    disk.set_len(128 << 20).unwrap();
    field.ok(backup(&[]));
    assert_eq!(field.archives().len(), before.len() + 1);
    field.bench.assert_clean(&daemon.test_socket());
}
