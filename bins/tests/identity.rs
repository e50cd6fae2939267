//! One guest, one identity: whose a backup is, on machines that stand still.

#![expect(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    reason = "a test may fail by a panic"
)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fleece_lab::{Machine, Qemu, StorageDaemon};
use support::ended::Ended;
use support::machine_at;
use support::served::Served;
use support::{Bench, entries};

const SIZE: u64 = 1 << 20;
const UUID: &str = "6a3f0f3e-8c0e-4b0f-9c3e-2f7f4a1d8b10";

/// A host with QEMUs.
struct Host {
    qemu: Qemu,
    bench: Bench,
}

impl Host {
    fn new() -> Option<Self> {
        let qemu = fleece_lab::qemu("10.0")?;
        let bench = Bench::new();
        Some(Self { qemu, bench })
    }

    fn socket(&self, path: &str) -> PathBuf {
        let path = self.bench.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    /// A machine with its monitor at `socket`, a disk, and further options of QEMU's.
    fn start(&self, socket: &str, options: &[&str]) -> Machine {
        machine_at(&self.qemu, &self.socket(socket), options)
    }

    fn backup(&self, socket: &str, arguments: &[&str]) -> Command {
        let mut command = self.bench.backup(&self.socket(socket));
        command.args(arguments);
        command
    }

    fn run(&self, socket: &str, arguments: &[&str]) -> Ended {
        Ended::of(&mut self.backup(socket, arguments))
    }

    fn cleanup(&self, arguments: &[&str]) -> Ended {
        Ended::of(self.bench.fleece("cleanup").args(arguments))
    }

    fn cleanup_by(&self, socket: &str) -> Ended {
        let socket = self.socket(socket);
        self.cleanup(&["--qmp", socket.to_str().unwrap()])
    }

    /// Whose the archives are, in their order.
    fn archives(&self) -> Vec<String> {
        let name = |path: PathBuf| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let (rest, _time) = name.split_at(name.len() - "-2026_01_01-00_00_00.vma.zst".len());
            rest.strip_prefix("vzdump-qemu-").unwrap().to_owned()
        };
        support::archives(&self.bench.path("archives"))
            .into_iter()
            .map(name)
            .collect()
    }

    fn fleece(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fleece"));
        command.current_dir(self.bench.path("archives"));
        Ended::of(command.args(arguments)).expect_code(0)
    }
}

#[test]
fn three_guests_that_are_called_as_the_readme_says_have_archives_of_their_own() {
    let Some(host) = Host::new() else { return };
    let guests = ["run/web.qmp", "run/db.qmp", "run/100.qmp"];
    let _machines = guests.map(|guest| host.start(guest, &[]));
    let backups = guests.map(|guest| {
        let mut command = host.backup(guest, &["--prune-backups", "keep-last=1"]);
        command.spawn().unwrap()
    });
    for mut backup in backups {
        assert!(backup.wait().unwrap().success());
    }
    for guest in guests {
        let said = host
            .run(guest, &["--prune-backups", "keep-last=1"])
            .expect_code(0);
        assert!(said.contains("removed vzdump-qemu-"), "{said}");
    }
    assert_eq!(host.archives(), ["100", "db", "web"]);
    let listed = host.fleece(&["list", ".", "--json"]);
    for guest in ["100", "db", "web"] {
        assert!(
            listed.contains(&format!("\"guest\":\"{guest}\"")),
            "{listed}"
        );
    }
    let one = host.fleece(&["list", ".", "--guest", "web"]);
    assert!(one.contains("web") && !one.contains("db"), "{one}");
    let pruned = host.fleece(&["prune", ".", "--keep", "keep-last=1", "--guest", "db"]);
    assert!(pruned.contains("db") && !pruned.contains("web"), "{pruned}");
    host.bench.assert_clean_folders();
}

#[test]
fn sockets_with_one_name_in_two_directories_are_two_guests() {
    let Some(host) = Host::new() else { return };
    let _machines = ["vm1/qmp.sock", "vm2/qmp.sock"].map(|socket| host.start(socket, &[]));
    let begun = ["vm1/qmp.sock", "vm2/qmp.sock"].map(|socket| {
        let mut command = host.backup(socket, &[]);
        command.spawn().unwrap()
    });
    for mut backup in begun {
        assert!(backup.wait().unwrap().success());
    }
    assert_eq!(host.archives(), ["vm1", "vm2"]);
    let said = host.cleanup_by("vm2/qmp.sock").expect_code(0);
    assert!(said.contains("vm2: nothing was left"), "{said}");
    host.bench.assert_clean_folders();
}

#[test]
fn a_guest_is_one_by_every_path_and_is_backed_up_once_at_a_time() {
    let Some(host) = Host::new() else { return };
    let machine = host.start("run/web/qmp.sock", &[]);
    support::noise(&machine.folder().join("disk.raw"), SIZE);
    std::os::unix::fs::symlink("run", host.bench.path("var")).unwrap();
    std::os::unix::fs::symlink("var/web/qmp.sock", host.bench.path("link")).unwrap();
    let slow = ["--bwlimit", "300K", "--guest-latency", "1000"];
    let mut first = support::running::Running::start(&mut host.backup("run/web/qmp.sock", &slow));
    first.until("copy-before-write is active");
    for (socket, name) in [
        ("var/web/qmp.sock", None),
        ("link", Some(["--name", "other"])),
        ("run/web/qmp.sock", Some(["--vmid", "7"])),
    ] {
        let refused = host.run(socket, name.as_ref().map_or(&[], |name| name));
        refused.expect(1, &["process ", "is locked"]);
    }
    first.end().expect_code(0);
    let mut relative = host.bench.fleece("backup");
    relative.current_dir(host.bench.path("run"));
    relative.args(["--qmp", "web/qmp.sock", "--to", "../archives", "--fleecing"]);
    Ended::of(relative.arg(host.bench.path("fleecing"))).expect_code(0);
    host.run("link", &[]).expect_code(0);
    assert_eq!(host.archives(), ["web", "web", "web"]);
    host.bench.assert_clean_folders();
}

#[test]
fn what_qemu_was_told_is_its_name_unless_that_cannot_be_one() {
    let Some(host) = Host::new() else { return };
    let long = format!("guest={}", "n".repeat(10_000));
    for (n, (name, id)) in [
        ("guest=mail server", "mail_server"),
        ("guest=../../evil", "vm1"),
        ("guest=\u{1b}[2J\u{7}", "vm2"),
        ("guest=100", "vm3"),
        (&long, "vm4"),
    ]
    .into_iter()
    .enumerate()
    {
        let socket = format!("vm{n}/qmp.sock");
        let _machine = host.start(&socket, &["-name", name]);
        let said = host.run(&socket, &[]).expect_code(0);
        assert!(
            said.contains(&format!("Starting Backup of VM {id} (qemu)")),
            "{said}"
        );
        assert!(!said.contains('\u{1b}'), "{said:?}");
    }
    let _machine = host.start("run/qmp.sock", &[]);
    host.run("run/qmp.sock", &[])
        .expect(1, &["--name", "--vmid"]);
    host.run("run/qmp.sock", &["--name", "../x"]).expect_code(2);
    host.run("run/qmp.sock", &["--vmid", "0"]).expect_code(2);
    host.run("run/qmp.sock", &["--name", "given"])
        .expect_code(0);
    assert_eq!(
        host.archives(),
        ["given", "mail_server", "vm1", "vm2", "vm3", "vm4"]
    );
    host.bench.assert_clean_folders();
}

#[test]
fn another_guest_does_not_get_the_name_and_who_says_it_is_the_guest_gets_it_once_the_first_is_gone()
{
    let Some(host) = Host::new() else { return };
    let mut first = host.start("a/web.qmp", &[]);
    let _second = host.start("b/web.qmp", &[]);
    host.run("a/web.qmp", &[]).expect_code(0);
    let refused = host
        .run("b/web.qmp", &[])
        .expect(1, &["web is another guest", "--name"]);
    assert!(refused.contains("a/web.qmp"), "{refused}");
    host.run("b/web.qmp", &["--name", "web"])
        .expect(1, &["answers elsewhere", "--name"]);
    host.cleanup_by("b/web.qmp")
        .expect(1, &["web is another guest"]);
    host.run("b/web.qmp", &["--name", "web-b"]).expect_code(0);
    first.kill();
    host.run("b/web.qmp", &[])
        .expect(1, &["web is another guest"]);
    host.run("b/web.qmp", &["--name", "web"]).expect_code(0);
    host.run("b/web.qmp", &[]).expect_code(0);
    assert_eq!(host.archives(), ["web", "web", "web", "web-b"]);
    host.bench.assert_clean_folders();
}

#[test]
fn a_name_that_a_guest_got_by_mistake_is_given_up_as_the_refusal_says() {
    let Some(host) = Host::new() else { return };
    let _machines = ["a/web.qmp", "b/qmp.sock"].map(|socket| host.start(socket, &[]));
    host.run("b/qmp.sock", &["--name", "web"]).expect_code(0);
    let claim = host.bench.path("state").join("web.claim");
    let remedy = format!("remove {}", claim.display());
    host.run("a/web.qmp", &["--name", "web"])
        .expect(1, &["answers elsewhere", &remedy]);
    fs::remove_file(&claim).unwrap();
    host.run("a/web.qmp", &[]).expect_code(0);
    host.run("b/qmp.sock", &[]).expect_code(0);
    assert_eq!(host.archives(), ["b", "web", "web"]);
}

#[test]
fn a_guest_that_moves_is_known_by_its_uuid_and_its_clone_is_told_apart() {
    let Some(host) = Host::new() else { return };
    let arguments = ["-uuid", UUID, "-name", "web"];
    let mut first = host.start("a/qmp.sock", &arguments);
    host.run("a/qmp.sock", &[]).expect_code(0);
    let clone = host.start("b/qmp.sock", &arguments);
    host.run("b/qmp.sock", &[])
        .expect(1, &["answers elsewhere", UUID, "--name"]);
    host.run("b/qmp.sock", &["--name", "clone"]).expect_code(0);
    first.kill();
    drop(clone);
    let _moved = host.start("c/qmp.sock", &arguments);
    let said = host.run("c/qmp.sock", &[]).expect_code(0);
    assert!(said.contains("web has moved from"), "{said}");
    assert!(said.contains("was called clone before"), "{said}");
    assert_eq!(host.archives(), ["clone", "web", "web"]);
    host.bench.assert_clean_folders();
}

#[test]
fn a_record_of_another_guest_that_answers_is_not_cleaned_through_this_ones_monitor() {
    let Some(host) = Host::new() else { return };
    let _machines = ["a/qmp.sock", "b/qmp.sock"].map(|socket| host.start(socket, &[]));
    // As a version left it that knew nothing of claims.
    let image = host.bench.path("fleecing").join("vm-7-fleece-0.raw");
    fs::write(&image, "in use").unwrap();
    let record = format!(
        "qmp: {}\n\n[special:fleecing]\nfleecing-images: {}\n",
        host.socket("a/qmp.sock").display(),
        image.display()
    );
    let state = host.bench.path("state").join("7.state");
    fs::write(&state, &record).unwrap();
    let words = ["7", "a/qmp.sock", "fleece cleanup 7"];
    host.run("b/qmp.sock", &["--vmid", "7"]).expect(1, &words);
    let socket = host.socket("b/qmp.sock");
    host.cleanup(&["7", "--qmp", socket.to_str().unwrap()])
        .expect(1, &words);
    assert!(image.exists());
    assert_eq!(fs::read_to_string(&state).unwrap(), record);
    // The guest itself under another name: what is on record comes first.
    host.run("a/qmp.sock", &[]).expect(1, &["fleece cleanup 7"]);
    let said = host.cleanup_by("a/qmp.sock").expect_code(0);
    assert!(said.contains("7: removed fleecing image"), "{said}");
    host.run("a/qmp.sock", &[]).expect_code(0);
    host.bench.assert_clean_folders();
}

#[test]
fn a_clean_up_meets_the_guest_of_the_backup_with_the_same_arguments_and_knows_no_others() {
    let Some(host) = Host::new() else { return };
    host.cleanup(&["nosuchguest"])
        .expect(1, &["no record of a guest nosuchguest"]);
    host.cleanup(&["../x"]).expect_code(2);
    host.cleanup_by("gone/qmp.sock")
        .expect(1, &["no record of a guest gone", "gone/qmp.sock"]);
    for arguments in [&[][..], &["--name", "web"], &["--vmid", "7"]] {
        let mut machine = host.start("vm/web.qmp", &[]);
        host.run("vm/web.qmp", arguments).expect_code(0);
        machine.kill();
        let socket = host.socket("vm/web.qmp");
        let same = [&["--qmp", socket.to_str().unwrap()][..], arguments].concat();
        host.cleanup(&same).expect(0, &["nothing was left"]);
        fs::remove_file(&socket).unwrap();
        host.cleanup(&same).expect(0, &["nothing was left"]);
    }
    host.cleanup(&["web"]).expect(0, &["web: nothing was left"]);
    host.cleanup(&["nosuchguest"])
        .expect(1, &["only of 7, web"]);
}

#[test]
fn disks_that_are_served_and_images_are_guests_of_their_own() {
    let Some(host) = Host::new() else { return };
    let image = |path: &str| {
        let path = host.socket(path);
        fs::File::create(&path).unwrap().set_len(SIZE).unwrap();
        path
    };
    let _served = Served::start(&host.bench, &[&image("disk.raw")]);
    let served = host.bench.backup_served().arg("--name=served").output();
    Ended::from(served.unwrap()).expect(0, &["Starting Backup of VM served ("]);
    let backup = |image: &Path, arguments: &[&str]| {
        let mut command = host.bench.fleece("backup");
        command.arg("--image").arg(image).args(arguments);
        Ended::of(command.arg("--to").arg(host.bench.path("archives")))
    };
    let (web, other) = (image("a/web.raw"), image("b/web.raw"));
    backup(&web, &[]).expect_code(0);
    backup(&other, &[]).expect(1, &["web is another guest", "a/web.raw", "--name"]);
    backup(&other, &["--name", "other"]).expect_code(0);
    backup(&image("mail/disk0.raw"), &[]).expect_code(0);
    // The same guest while it runs, if somebody says so.
    let _machine = host.start("run/web.qmp", &[]);
    host.run("run/web.qmp", &[])
        .expect(1, &["web is another guest"]);
    host.run("run/web.qmp", &["--name", "web"]).expect_code(0);
    host.run("run/web.qmp", &[]).expect_code(0);
    backup(&web, &[]).expect_code(0);
    assert_eq!(
        host.archives(),
        ["mail", "other", "served", "web", "web", "web", "web"]
    );
    host.bench.assert_clean_folders();
}

#[test]
fn a_storage_daemon_that_tells_nothing_of_itself_is_called_by_its_place() {
    let Some(host) = Host::new() else { return };
    let daemon = StorageDaemon::builder(&host.qemu)
        .disk(fleece_lab::Disk::raw(SIZE))
        .export()
        .start()
        .unwrap();
    let mut command = host.bench.backup(&daemon.qmp_socket());
    support::succeed(command.arg("--nbd-server").arg(daemon.nbd_socket()));
    let folder = daemon.qmp_socket().parent().unwrap().to_owned();
    let folder = folder.file_name().unwrap().to_str().unwrap().to_owned();
    assert_eq!(host.archives(), [folder]);
    host.bench.assert_clean(&daemon.qmp_socket());
}

#[test]
fn a_taken_name_of_an_archive_is_passed_over_and_never_overwritten() {
    let Some(host) = Host::new() else { return };
    let _machine = host.start("run/web.qmp", &[]);
    // Of the next minute's seconds, half are taken in one way or another.
    let now = jiff::Zoned::now();
    let archives = host.bench.path("archives");
    for second in 0..30_i64 {
        let time = now
            .checked_add(jiff::SignedDuration::from_secs(second))
            .unwrap();
        let stem = format!("vzdump-qemu-web-{}", time.strftime("%Y_%m_%d-%H_%M_%S"));
        let names = [
            format!("{stem}.vma"),
            format!(".{stem}.vma.zst.tmp"),
            format!("{stem}.log"),
        ];
        let name = &names[usize::try_from(second % 3).unwrap()];
        fs::write(archives.join(name), "precious").unwrap();
    }
    host.run("run/web.qmp", &[]).expect_code(0);
    let is_old = |path: &PathBuf| fs::read(path).unwrap() == b"precious";
    let (old, mut made): (Vec<_>, Vec<_>) = entries(&archives).into_iter().partition(is_old);
    made.retain(|path| support::archives(&archives).contains(path));
    assert_eq!((made.len(), old.len()), (1, 30));
    assert!(made[0].to_str().unwrap().ends_with(".vma.zst"));
}

#[test]
fn a_damaged_claim_is_told_before_anything_is_touched() {
    let Some(host) = Host::new() else { return };
    let _machine = host.start("run/web.qmp", &[]);
    let claim = host.bench.path("state").join("web.claim");
    fs::write(&claim, "rubbish\n").unwrap();
    host.run("run/web.qmp", &[])
        .expect(6, &["web.claim", "damaged"]);
    assert_eq!(fs::read_to_string(&claim).unwrap(), "rubbish\n");
    assert!(host.archives().is_empty());
}

#[test]
fn pruning_after_a_backup_that_could_not_happen_is_refused_before_it() {
    let Some(host) = Host::new() else { return };
    let _machine = host.start("run/web.qmp", &[]);
    let mut command = host.bench.fleece("backup");
    command.arg("--qmp").arg(host.socket("run/web.qmp"));
    command
        .arg("--to")
        .arg(host.bench.path("archives").join("mine.vma"));
    let refused = Ended::of(command.args(["--prune-backups", "keep-last=1"]));
    refused.expect(1, &["--prune-backups"]);
    assert!(support::archives(&host.bench.path("archives")).is_empty());
}
