//! Backups of a storage daemon's disks, the cheapest live test: no guest, but the same filters, views
//! and exports, and writes at the worst moment. What needs no program is in `fleecing/tests`.

#![expect(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may fail by a panic"
)]

mod support;

use std::os::unix::fs::FileExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;

use fleece_lab::{Disk, Qemu, StorageDaemon};
use fleece_qmp_client::Client;
use serde_json::json;
use support::ended::Ended;
use support::running::Running;
use support::{Bench, daemon};

const SIZE: u64 = 16 << 20;

/// A storage daemon with two disks that hold the same.
struct Field {
    qemu: Qemu,
    daemon: StorageDaemon,
    bench: Bench,
}

impl Field {
    fn on(qemu: Qemu) -> Self {
        let daemon = StorageDaemon::builder(&qemu)
            .disk(Disk::raw(SIZE).throttled())
            .disk(Disk::qcow2(SIZE).throttled())
            .export()
            .start()
            .unwrap();
        let bench = Bench::new();
        let field = Self {
            qemu,
            daemon,
            bench,
        };
        for disk in [0, 1] {
            field.io(disk, "write -P 0x11 0 8M");
            field.io(disk, "write -P 0x22 12M 70000");
        }
        field
    }

    fn new() -> Option<Self> {
        fleece_lab::qemu("10.0").map(Self::on)
    }

    fn io(&self, disk: usize, command: &str) {
        daemon::io(&self.qemu, &self.daemon, disk, command);
    }

    /// Overwrites, zeroes and discards single clusters and pairs, between others that it leaves alone.
    fn disturb(&self, disk: usize) {
        const CLUSTER: u64 = 64 << 10;
        let deeds = ["write -P 0x55", "write -z -u", "discard"];
        let clusters = (40..200).filter(|number| number % 5 < 2 || number % 7 == 0);
        let commands = clusters.map(|number| {
            let deed = deeds[number as usize / 2 % deeds.len()];
            format!("{deed} {} {CLUSTER}", number * CLUSTER)
        });
        let commands: Vec<_> = commands.collect();
        daemon::io_all(&self.qemu, &self.daemon, disk, &commands);
    }

    fn backup(&self) -> Command {
        daemon::backup(&self.bench, &self.daemon)
    }

    fn assert_clean(&self) {
        self.bench.assert_clean(&self.daemon.qmp_socket());
    }

    /// The archive's disks are as they were before anything was overwritten.
    fn assert_before(&self) {
        let disks = self.bench.restore();
        assert_eq!(disks.len(), 2);
        for disk in disks {
            assert_eq!(disk.metadata().unwrap().len(), SIZE);
            let mut data = vec![0; SIZE as usize];
            disk.read_exact_at(&mut data, 0).unwrap();
            let mut expected = vec![0; SIZE as usize];
            expected[..8 << 20].fill(0x11);
            expected[12 << 20..(12 << 20) + 70000].fill(0x22);
            assert!(data == expected, "first difference at {:?}", {
                data.iter()
                    .zip(&expected)
                    .position(|(one, other)| one != other)
            });
        }
    }
}

/// A backup that takes long enough to disturb it, from its instant on.
fn begun(command: &mut Command) -> Running {
    let mut running = Running::start(command.args(["--bwlimit", "4M"]));
    running.until("copy-before-write is active");
    running
}

#[test]
fn what_is_overwritten_and_discarded_during_the_backup_is_saved_first() {
    for qemu in fleece_lab::qemus() {
        let field = Field::on(qemu);
        let running = begun(&mut field.backup());
        for disk in [0, 1] {
            field.disturb(disk);
            field.io(disk, "write -P 0x55 12M 1M");
        }
        running.end().expect_code(0);
        field.assert_before();
        field.assert_clean();
        field.io(0, "read -P 0x55 12M 1M");
    }
}

/// On such a storage QEMU is not asked for holes, and so reads what it is asked for in one piece.
#[test]
fn so_it_is_where_the_fleecing_storage_can_hang() {
    for qemu in fleece_lab::qemus() {
        let field = Field::on(qemu);
        let config = field.bench.path("storage.cfg");
        let fleecing = field.bench.path("fleecing");
        let section = format!(
            "dir: net\n\tpath {}\n\tcontent images\n\tis_mountpoint /\n\tshared 1\n",
            fleecing.display()
        );
        std::fs::write(&config, section).unwrap();
        let mut command = field.bench.fleece("backup");
        command.arg("--qmp").arg(field.daemon.qmp_socket());
        command.arg("--to").arg(field.bench.path("archives"));
        command.arg("--storage-config").arg(config);
        command.arg("--nbd-server").arg(field.daemon.nbd_socket());
        command.args(["--vmid", "7", "--fleecing", "net", "--bwlimit", "16M"]);
        let mut running = Running::start(&mut command);
        running.until("copy-before-write is active");
        for disk in [0, 1] {
            field.disturb(disk);
        }
        let images = fleecing.join("images/7");
        assert_eq!(support::entries(&images).len(), 2);
        running.end().expect(0, &["can hang"]);
        field.assert_before();
        assert!(!images.exists());
        support::assert_clean_qemu(&field.daemon.qmp_socket());
    }
}

#[test]
fn archives_to_standard_output_and_with_qcow2_fleecing_images_are_the_same() {
    let Some(field) = Field::new() else { return };
    let mut to_stdout = field.backup();
    let output = support::succeed(to_stdout.args(["--to", "-", "--compress", "none"]));
    let archives = field.bench.path("archives");
    let archive = archives.join("vzdump-qemu-7-stdout.vma");
    std::fs::write(&archive, output.stdout).unwrap();
    field.assert_before();
    std::fs::remove_file(&archive).unwrap();

    support::succeed(field.backup().args(["--fleecing-format", "qcow2"]));
    let archive = field.bench.archive();
    assert!(archive.to_string_lossy().ends_with(".vma.zst"));
    field.assert_before();
    field.assert_clean();
}

#[test]
fn without_fleecing_old_data_lies_beside_the_archive_while_it_is_needed() {
    let Some(field) = Field::new() else { return };
    let archives = field.bench.path("archives");
    let mut command = field.bench.fleece("backup");
    command.arg("--qmp").arg(field.daemon.qmp_socket());
    // A name alone is of a file in the working directory.
    command.current_dir(&archives);
    command.args(["--to", "vzdump-qemu-7-mine.vma.zst"]);
    command.arg("--nbd-server").arg(field.daemon.nbd_socket());
    command.args(["--vmid", "7", "--no-fleecing"]);
    let running = begun(&mut command);
    let beside = support::entries(&archives);
    field.io(0, "write -P 0x55 4M 9M");
    running.end().expect_code(0);
    let images = beside
        .iter()
        .filter(|path| path.to_string_lossy().contains("vm-7-fleece-"));
    assert_eq!(images.count(), 2, "{beside:?}");
    field.assert_before();
    field.assert_clean();
}

#[test]
fn what_a_lost_record_left_is_removed_by_the_command_that_the_refusal_names() {
    let Some(field) = Field::new() else { return };
    let killed = Ended::of(field.backup().env("FLEECE_FAULT", "kill@exported"));
    assert_eq!(killed.status.signal(), Some(9), "{}", killed.said);
    // Of the archive only the record knew.
    for name in ["state", "archives"] {
        std::fs::remove_dir_all(field.bench.path(name)).unwrap();
        std::fs::create_dir(field.bench.path(name)).unwrap();
    }
    let refused = Ended::of(&mut field.backup());
    let said = refused.expect(1, &["remove what it left: `fleece cleanup"]);
    field.bench.assert_no_archive();
    support::succeed(&mut support::advised(&said, &field.bench));
    field.assert_clean();
    support::succeed(&mut field.backup());
    field.assert_before();
    field.assert_clean();
}

#[test]
fn a_guest_that_nobody_knows_cannot_be_cleaned_up() {
    let bench = Bench::new();
    std::fs::write(bench.path("state").join("8.state"), "paused: yes\n").unwrap();
    let refused = Ended::of(bench.fleece("cleanup").arg("nosuchguest"));
    refused.expect(1, &["no record of a guest nosuchguest", "only of 8"]);
    let mut cleanup = bench.fleece("cleanup");
    let refused = Ended::of(cleanup.arg("--qmp").arg(bench.path("nothing.qmp")));
    refused.expect(1, &["no record of a guest nothing"]);
}

#[test]
fn configurations_and_choice_of_disks_reach_the_archive() {
    let Some(field) = Field::new() else { return };
    let config = field.bench.path("qemu-server.conf");
    std::fs::write(&config, "name: web\n").unwrap();
    let mut command = field.backup();
    command.arg("--config").arg(&config);
    command.args(["--compress", "none", "--include", "disk1"]);
    support::succeed(&mut command);
    let archive = field.bench.archive();
    let header = header(&archive);
    let stored = header.config("qemu-server.conf");
    assert_eq!(stored, Some(b"name: web\n".as_slice()));
    let devices = header.devices().iter();
    let names: Vec<_> = devices.map(|device| device.name()).collect();
    assert_eq!(names, ["disk1"]);
    // The index came along.
    let mut vma = Command::new(env!("CARGO_BIN_EXE_vma"));
    support::succeed(vma.args(["verify", "--deep"]).arg(archive));
}

fn header(archive: &Path) -> fleece_vma_format::Header {
    let file = std::fs::File::open(archive).unwrap();
    let stream = fleece_vma_format::container::open(file).unwrap();
    let reader = fleece_vma_format::Reader::new(stream).unwrap();
    reader.header().clone()
}

#[test]
fn a_guest_with_a_configuration_has_it_archived_and_given_back_untouched() {
    let Some(field) = Field::new() else { return };
    let configs = field.bench.path("");
    let config = configs.join("7.conf");
    let text = "#a note\nname: web\nlock: backup\nscsi0: local:7/vm-7-disk-0.raw,size=1G\n\n\
                [snap]\nname: old\n";
    std::fs::write(&config, text).unwrap();
    std::fs::write(configs.join("7.fw"), "[OPTIONS]\nenable: 1\n").unwrap();
    let mut command = field.backup();
    command.arg("--config-dir").arg(&configs);
    command.arg("--firewall-dir").arg(&configs);
    let running = begun(&mut command);
    // While it runs, Proxmox's own clean-up would find the images.
    let during = std::fs::read_to_string(&config).unwrap();
    running.end().expect_code(0);
    assert!(
        during.contains("[special:fleecing]\nfleecing-images: /"),
        "{during}"
    );
    assert_eq!(std::fs::read_to_string(&config).unwrap(), text);
    let header = header(&field.bench.archive());
    let rules = header.config("qemu-server.fw").unwrap();
    assert_eq!(rules, b"[OPTIONS]\nenable: 1\n");
    let stored = header.config("qemu-server.conf").unwrap();
    let stored = String::from_utf8(stored.to_vec()).unwrap();
    assert!(
        stored.contains("name: web") && stored.contains("scsi0: "),
        "{stored}"
    );
    assert!(
        !stored.contains("lock:") && !stored.contains("[snap]"),
        "{stored}"
    );
}

#[test]
fn a_disk_that_qemu_decrypts_is_named_as_plain_text_in_the_archive() {
    // Others now and then fail to measure how long a key takes, or take a minute for it.
    if let Some(qemu) = fleece_lab::qemu("10.0") {
        let daemon = StorageDaemon::builder(&qemu)
            .disk(Disk::raw(1 << 20))
            .export()
            .start()
            .unwrap();
        let client = Client::connect_unix(daemon.qmp_socket()).unwrap();
        let run = |name: &str, arguments| client.execute_raw(name, Some(arguments)).unwrap();
        let (luks, qcow2) = ("crypt.luks", "crypt.qcow2");
        let create = |name: &str, format: &str, options: &str| {
            let image = daemon.folder().join(name);
            let mut create = qemu.img();
            create.args([
                "create",
                "-q",
                "-f",
                format,
                "--object",
                "secret,id=key,data=secret",
            ]);
            support::succeed(create.args(["-o", options]).arg(&image).arg("1M"));
            image
        };
        let luks = create(luks, "luks", "key-secret=key,iter-time=10");
        let options = "encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10";
        let qcow2 = create(qcow2, "qcow2", options);
        run(
            "object-add",
            json!({"qom-type": "secret", "id": "key", "data": "secret"}),
        );
        let file = |path: &Path| json!({"driver": "file", "filename": path});
        run(
            "object-add",
            json!({"qom-type": "throttle-group", "id": "group"}),
        );
        let add = |name: &str, below: serde_json::Value| {
            let node = json!({"driver": "throttle", "node-name": name, "throttle-group": "group",
                "file": below});
            run("blockdev-add", node);
        };
        add(
            "disk1",
            json!({"driver": "luks", "node-name": "disk1-format", "key-secret": "key",
                "file": file(&luks)}),
        );
        add(
            "disk2",
            json!({"driver": "qcow2", "node-name": "disk2-format", "file": file(&qcow2),
                "encrypt": {"format": "luks", "key-secret": "key"}}),
        );
        for disk in ["disk1", "disk2"] {
            run(
                "block-export-add",
                json!({"type": "nbd", "id": disk, "node-name": disk,
                "name": disk, "writable": true}),
            );
        }
        drop(client);
        daemon::io(&qemu, &daemon, 1, "write -P 0x33 0 1M");
        let bench = Bench::new();
        let mut backup = daemon::backup(&bench, &daemon);
        let said = Ended::of(&mut backup).expect_code(0);
        let told = said.matches("is encrypted, and QEMU decrypts it").count();
        assert_eq!(told, 2, "{said}");
        assert!(!said.contains("disk 'disk0' is encrypted"), "{said}");
    }
}
