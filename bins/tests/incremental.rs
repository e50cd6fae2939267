//! `fleece backup --incremental` on the disks of a storage daemon: whatever happened since the last archive, the next one
//! equals its disks byte for byte, and what cannot be believed is read.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a test may fail by a panic"
)]

#[path = "incremental/generated.rs"]
mod generated;
#[path = "incremental/moved.rs"]
mod moved;
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fleece_fleecing::Step;
use fleece_lab::{Disk, Format, LoopMount, Qemu, StorageDaemon};
use fleece_qmp_client::Client;
use fleece_qmp_client::commands::{QueryBlockExports, QueryNamedBlockNodes};
use serde_json::{Value, json};
use support::Bench;
use support::backed_up::Said;
use support::daemon::{backup, io_all};
use support::ended::Ended;
use support::running::Running;

const SIZE: u64 = 8 << 20;

/// A storage daemon with two disks, and the archives of them.
struct Field {
    qemu: Qemu,
    daemon: StorageDaemon,
    bench: Bench,
    random: u64,
    /// Whether the guest discards anything.
    discards: bool,
    /// Daemons that have ended, and what is in their folders.
    ended: Vec<StorageDaemon>,
}

impl Field {
    /// With its archives on a file system that shares blocks.
    fn on_xfs() -> Option<(Self, LoopMount)> {
        let (mounted, field) = (LoopMount::new("xfs")?, Self::new()?);
        field.archive_to(mounted.path());
        Some((field, mounted))
    }

    fn archive_to(&self, directory: &Path) {
        let archives = self.bench.path("archives");
        fs::remove_dir(&archives).unwrap();
        std::os::unix::fs::symlink(directory, archives).unwrap();
    }

    fn on(qemu: Qemu) -> Self {
        let builder = StorageDaemon::builder(&qemu).export().second_monitor();
        let disks = [Disk::raw(SIZE).throttled(), Disk::qcow2(SIZE).throttled()];
        let builder = disks
            .into_iter()
            .fold(builder, fleece_lab::StorageDaemonBuilder::disk);
        let field = Self {
            daemon: builder.start().unwrap(),
            qemu,
            bench: Bench::new(),
            random: 0x5eed,
            discards: true,
            ended: Vec::new(),
        };
        for disk in [0, 1] {
            field.io(disk, &["write -P 0x11 0 6M", "write -P 0x22 7M 70000"]);
        }
        field
    }

    fn new() -> Option<Self> {
        fleece_lab::qemu("10.0").map(Self::on)
    }

    fn io(&self, disk: usize, commands: &[&str]) {
        let commands: Vec<_> = commands.iter().map(|&command| command.to_owned()).collect();
        io_all(&self.qemu, &self.daemon, disk, &commands);
    }

    fn random(&mut self, below: u64) -> u64 {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.random >> 33) % below
    }

    /// Writes, zeroes and discards here and there, across clusters and within them.
    fn change(&mut self, disk: usize, count: usize) {
        let mut commands = Vec::new();
        for _ in 0..count {
            let value = 1 + self.random(255);
            let deed = match self.random(5) {
                0 | 2 if !self.discards => "write -z".to_owned(),
                0 => "write -z -u".to_owned(),
                1 => "write -z".to_owned(),
                2 => "discard".to_owned(),
                _ => format!("write -P {value}"),
            };
            let length = 512 * (1 + self.random(256));
            let offset = 512 * self.random((SIZE - length) / 512);
            commands.push(format!("{deed} {offset} {length}"));
        }
        io_all(&self.qemu, &self.daemon, disk, &commands);
    }

    fn execute(&self, command: &str, arguments: Value) {
        let client = Client::connect_unix(self.daemon.test_socket()).unwrap();
        client.execute_raw(command, Some(arguments)).unwrap();
    }

    /// The bitmaps of ours, each once, wherever they are.
    fn bitmaps(&self) -> BTreeSet<String> {
        let client = Client::connect_unix(self.daemon.test_socket()).unwrap();
        let nodes = client
            .execute(&QueryNamedBlockNodes { flat: Some(true) })
            .unwrap();
        let bitmaps = nodes.iter().flat_map(|node| &node.dirty_bitmaps);
        let names = bitmaps.filter_map(|bitmap| bitmap.name.clone());
        names.filter(|name| name.starts_with("fleece-")).collect()
    }

    /// Takes the daemon's own export of a disk away, does something, and puts it back.
    fn without_export(&self, disk: usize, deed: impl FnOnce()) {
        let name = format!("disk{disk}");
        let id = format!("guest-{name}");
        self.execute("block-export-del", json!({"id": id, "mode": "hard"}));
        let client = Client::connect_unix(self.daemon.test_socket()).unwrap();
        while client
            .execute(&QueryBlockExports {})
            .unwrap()
            .iter()
            .any(|export| export.id == id)
        {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        drop(client);
        deed();
        let export = json!({
            "type": "nbd", "id": id, "node-name": name, "name": name, "writable": true,
        });
        self.execute("block-export-add", export);
    }

    /// What somebody else does with the only bitmap of a disk.
    fn meddle_at(&self, disk: usize, command: &str) {
        let name = self.bitmaps().pop_first().unwrap();
        let bitmap = json!({"node": format!("disk{disk}-format"), "name": name});
        self.execute(command, bitmap);
    }

    /// What is written to disk 0 from now on reaches an overlay.
    fn take_snapshot(&self) {
        let overlay = self.bench.path("overlay.qcow2");
        let mut create = self.qemu.img();
        create.args(["create", "-q", "-f", "qcow2"]).arg(&overlay);
        support::succeed(create.arg(SIZE.to_string()));
        self.execute(
            "blockdev-add",
            json!({
                "driver": "qcow2", "node-name": "overlay", "backing": null,
                "file": {"driver": "file", "filename": overlay},
            }),
        );
        let snapshot = json!({"node": "disk0-format", "overlay": "overlay"});
        self.execute("blockdev-snapshot", snapshot);
    }

    /// The same with disk 0, and with other arguments.
    fn meddle(&self, command: &str, more: &[(&str, u64)]) {
        let name = self.bitmaps().pop_first().unwrap();
        let mut arguments = json!({"node": "disk0-format", "name": name});
        for (key, value) in more {
            arguments[*key] = (*value).into();
        }
        self.execute(command, arguments);
    }

    /// What a disk holds now.
    fn disk(&self, disk: usize) -> Vec<u8> {
        let address = fleece_nbd::Address::Unix(self.daemon.nbd_socket());
        let name = format!("disk{disk}");
        let client = fleece_nbd::Client::connect(&address, &name, &fleece_nbd::Options::default());
        let client = client.unwrap();
        let mut data = vec![0; client.size() as usize];
        client.read_at(0, &mut data).unwrap();
        data
    }

    fn disks(&self) -> Vec<Vec<u8>> {
        [0, 1].map(|disk| self.disk(disk)).into()
    }

    fn command(&self, options: &[&str]) -> Command {
        let mut command = backup(&self.bench, &self.daemon);
        // With a limit, the guest is not watched for a second first.
        command
            .args(["--incremental", "--guest-latency", "100"])
            .args(options);
        command
    }

    fn backup(&self, options: &[&str]) -> Said {
        Said::of(Ended::of(self.command(options).arg("--json")))
    }

    /// A backup, whose archive must be what the disks are.
    fn checked(&self, options: &[&str]) -> Said {
        let said = self.backup(options);
        check(&said.archive(), &self.disks());
        // Nothing but the bitmaps of the new archive is left, and who they count against.
        assert_eq!(self.bitmaps().len(), 1, "{}", said.text);
        // Beside the archive is which of them were believed.
        let path = said.archive().display().to_string();
        let (stem, _) = path.split_once(".vma").unwrap();
        let stats = fs::read_to_string(format!("{stem}.stats.json")).unwrap();
        let stats: Value = serde_json::from_str(&stats).unwrap();
        let bitmaps = stats["bitmaps"].as_object().unwrap();
        let believed = bitmaps
            .values()
            .filter(|is_ok| **is_ok == Value::Bool(true));
        assert_eq!(believed.count() as u64, said.by_bitmap(), "{stats}");
        assert!(!bitmaps.is_empty(), "{stats}");
        said
    }
}

/// That an archive is sound to the last bit and holds these disks.
fn check(archive: &Path, disks: &[Vec<u8>]) {
    let mut vma = Command::new(env!("CARGO_BIN_EXE_vma"));
    support::succeed(vma.args(["verify", "--deep"]).arg(archive));
    let restored = support::restore(archive);
    assert_eq!(restored.len(), disks.len());
    for (file, disk) in restored.iter().zip(disks) {
        let mut there = vec![0; file.metadata().unwrap().len() as usize];
        file.read_exact_at(&mut there, 0).unwrap();
        let differs = there.iter().zip(disk).position(|(one, other)| one != other);
        assert_eq!(differs, None, "{archive:?}");
        // One that was resized below a throttle node is still served with its old size.
        assert!(there.len() >= disk.len(), "{archive:?}");
    }
}

#[test]
fn ten_generations_equal_their_disks_and_each_is_restored_alone() {
    let qemus = fleece_lab::qemus();
    for (number, qemu) in qemus.into_iter().enumerate() {
        let mut field = Field::on(qemu);
        let generations = if support::is_long() || number == 0 {
            10
        } else {
            3
        };
        let mut archives = Vec::new();
        for generation in 0..generations {
            // Now and then compressed: the base may be of either kind.
            let compress = ["none", "none", "zstd=1"][generation % 3];
            let said = field.checked(&["--compress", compress]);
            assert_eq!(said.code, Some(0), "{}", said.text);
            assert_eq!(
                said.by_bitmap(),
                if generation == 0 { 0 } else { 2 },
                "{}",
                said.text
            );
            if generation > 0 {
                let (guest, size) = (said.json["read_of_guest"].as_u64().unwrap(), 2 * SIZE);
                // What has changed, and the sample.
                assert!(guest < size, "{guest} of {size}: {}", said.text);
                assert!(
                    said.text.contains("dirty-bitmap status: OK ("),
                    "{}",
                    said.text
                );
            }
            archives.push((said.archive(), field.disks()));
            for disk in [0, 1] {
                let count = [6, 0, 30, 1][generation % 4];
                field.change(disk, count);
            }
        }
        // None needs another.
        while let Some((archive, disks)) = archives.pop() {
            check(&archive, &disks);
            fs::remove_file(archive).unwrap();
        }
    }
}

#[test]
fn what_is_written_during_a_backup_is_in_the_next_archive_and_not_in_this_one() {
    let Some(mut field) = Field::new() else {
        return;
    };
    field.checked(&["--compress", "none"]);
    for _ in 0..2 {
        field.change(0, 20);
        field.change(1, 20);
        let disks = field.disks();
        let mut command = field.command(&["--compress", "none", "--bwlimit", "8M"]);
        let mut running = Running::start(&mut command);
        running.until("copy-before-write is active");
        field.change(0, 40);
        field.change(1, 40);
        let said = Said::of(running.end());
        assert_eq!((said.code, said.by_bitmap()), (Some(0), 2), "{}", said.text);
        check(&said.archive(), &disks);
    }
    let said = field.checked(&["--compress", "none"]);
    assert_eq!(said.by_bitmap(), 2, "{}", said.text);
}

/// Who reads the first of two disks in full, and why.
fn expect_first_in_full(said: &Said, reason: &str) {
    let told = format!("disk0: dirty-bitmap status: not used, {reason}");
    assert!(said.text.contains(&told), "{reason}: {}", said.text);
    assert_eq!(said.by_bitmap(), 1, "{}", said.text);
}

#[test]
fn a_bitmap_that_cannot_be_believed_is_not_and_the_reason_is_told() {
    let Some(mut field) = Field::new() else {
        return;
    };
    let none = ["--compress", "none"];
    field.checked(&none);
    let mut round = |deed: &dyn Fn(&Field), reason: &str, code: i32| {
        field.change(0, 3);
        deed(&field);
        field.change(0, 3);
        let said = field.checked(&none);
        expect_first_in_full(&said, reason);
        assert_eq!(said.code, Some(code), "{}", said.text);
        // And the next one is believed again.
        assert_eq!(field.checked(&none).by_bitmap(), 2);
    };
    round(
        &|field| field.meddle("block-dirty-bitmap-remove", &[]),
        "there is none",
        0,
    );
    round(
        &|field| field.meddle("block-dirty-bitmap-disable", &[]),
        "somebody has stopped it",
        0,
    );
    let replace = |field: &Field| {
        let name = field.bitmaps().pop_first().unwrap();
        field.meddle("block-dirty-bitmap-remove", &[]);
        let bitmap = json!({"node": "disk0-format", "name": name, "granularity": 4096});
        field.execute("block-dirty-bitmap-add", bitmap);
    };
    round(&replace, "it was not made by Fleece", 0);
    let of_another_process = |field: &Field| {
        let path = field.bench.path("state").join("7.bitmaps");
        let text = fs::read_to_string(&path).unwrap();
        let mut json: Value = serde_json::from_str(&text).unwrap();
        json[0]["disks"][0]["file"][1] = 4711.into();
        fs::write(&path, json.to_string()).unwrap();
    };
    round(&of_another_process, "the disk has another image", 0);
    let resize = json!({"node-name": "disk1-format", "size": SIZE + (1 << 20)});
    field.without_export(1, || field.execute("block_resize", resize));
    let said = field.checked(&none);
    let told = "disk1: dirty-bitmap status: not used, the disk had 8388608 bytes when it was added";
    assert!(said.text.contains(told), "{}", said.text);
    field.io(1, &["write -P 0x66 7M 128k"]);
    assert_eq!(field.checked(&none).by_bitmap(), 2);
}

#[test]
fn a_bitmap_that_others_use_or_of_another_qemu_or_below_a_snapshot_is_not_believed() {
    let Some(mut field) = Field::new() else {
        return;
    };
    let none = ["--compress", "none"];
    field.checked(&none);
    // Somebody reads it, and so it cannot be removed either.
    let bitmap = field.bitmaps().pop_first().unwrap();
    field.execute(
        "block-export-add",
        json!({
            "type": "nbd", "id": "spy", "node-name": "disk0", "name": "spy",
            "bitmaps": [{"node": "disk0-format", "name": bitmap}],
        }),
    );
    field.change(1, 3);
    let said = field.backup(&none);
    expect_first_in_full(&said, "somebody else uses it");
    assert_eq!(said.code, Some(3), "{}", said.text);
    check(&said.archive(), &field.disks());
    field.execute("block-export-del", json!({"id": "spy", "mode": "hard"}));
    field.change(0, 3);
    // Bitmaps of others stay, and mean nothing.
    let foreign = json!({"node": "disk0-format", "name": "theirs", "granularity": 65536});
    field.execute("block-dirty-bitmap-add", foreign);
    assert_eq!(field.checked(&none).by_bitmap(), 2);
    let theirs = json!({"node": "disk0-format", "name": "theirs"});
    field.execute("block-dirty-bitmap-remove", theirs);
    // A bitmap of that name in another process counts against something else.
    let path = field.bench.path("state").join("7.bitmaps");
    let text = fs::read_to_string(&path).unwrap();
    let mut json: Value = serde_json::from_str(&text).unwrap();
    json[0]["qemu"][1] = 4711.into();
    fs::write(&path, json.to_string()).unwrap();
    let said = field.checked(&none);
    assert_eq!((said.code, said.by_bitmap()), (Some(0), 0), "{}", said.text);
    assert!(
        said.text.contains("it is another QEMU process"),
        "{}",
        said.text
    );
    field.change(0, 3);
    field.take_snapshot();
    field.change(0, 3);
    let said = field.checked(&none);
    expect_first_in_full(&said, "writes do not reach it: a snapshot was taken since");
    field.change(0, 3);
    assert_eq!(field.checked(&none).by_bitmap(), 2);
}

#[test]
fn a_snapshot_is_loaded_once_the_bitmaps_are_removed_and_the_next_archive_is_right() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let builder = fleece_lab::Machine::builder(&qemu).unwrap();
    let image = builder.folder().join("disk.qcow2");
    let mut create = qemu.img();
    create.args(["create", "-q", "-f", "qcow2"]).arg(&image);
    support::succeed(create.arg(SIZE.to_string()));
    let disk = json!({
        "driver": "qcow2", "node-name": "disk", "file": {"driver": "file", "filename": image},
    });
    let machine = builder
        .option("-blockdev", disk.to_string())
        .option("-device", "virtio-blk-pci,id=virtio0,drive=disk")
        .start()
        .unwrap();
    let bench = Bench::new();
    let monitor = |line: &str| {
        let client = Client::connect_unix(machine.test_socket()).unwrap();
        let line = json!({"command-line": line});
        let said = client.execute_raw("human-monitor-command", Some(line));
        said.unwrap().as_str().unwrap().to_owned()
    };
    let write = |value: u8| {
        let deed = format!("write -P {value} 1M 3M");
        monitor(&format!("qemu-io -d virtio0/virtio-backend \"{deed}\""));
    };
    let backup = || {
        let mut command = bench.fleece("backup");
        command.args(["--json", "--vmid", "7", "--incremental", "--qmp"]);
        command.arg(machine.qmp_socket());
        command.arg("--to").arg(bench.path("archives"));
        command.arg("--fleecing").arg(bench.path("fleecing"));
        Said::of(Ended::of(&mut command))
    };
    let has = |said: &Said, value: u8| {
        let mut there = vec![0; 3 << 20];
        let disks = support::restore(&said.archive());
        disks[0].read_exact_at(&mut there, 1 << 20).unwrap();
        there.iter().all(|byte| *byte == value)
    };
    write(1);
    assert_eq!(monitor("savevm before"), "");
    backup();
    write(2);
    let said = backup();
    assert!(said.by_bitmap() == 1 && has(&said, 2), "{}", said.text);
    let refused = monitor("loadvm before");
    assert!(refused.contains("has active dirty bitmaps"), "{refused}");
    let mut cleanup = bench.fleece("cleanup");
    cleanup.args(["--bitmaps", "--vmid", "7", "--qmp"]);
    support::succeed(cleanup.arg(machine.qmp_socket()));
    assert_eq!(monitor("loadvm before"), "");
    let said = backup();
    assert!(said.by_bitmap() == 0 && has(&said, 1), "{}", said.text);
}

#[test]
fn a_bitmap_that_was_not_saved_when_qemu_was_killed_is_not_believed() {
    let Some(mut field) = Field::new() else {
        return;
    };
    let none = ["--compress", "none"];
    field.checked(&none);
    // Somebody has made it persistent.
    let name = field.bitmaps().pop_first().unwrap();
    let bitmap = json!({"node": "disk1-format", "name": name});
    field.execute("block-dirty-bitmap-remove", bitmap);
    let bitmap = json!({
        "node": "disk1-format", "name": name, "granularity": 65536, "persistent": true,
    });
    field.execute("block-dirty-bitmap-add", bitmap);
    // It is saved at a proper end, and not when QEMU is killed afterwards.
    let client = Client::connect_unix(field.daemon.test_socket()).unwrap();
    let _ = client.execute_raw("quit", None);
    drop(client);
    let end = std::time::Duration::from_secs(60);
    field.daemon.wait(end).unwrap();
    let images = [0, 1].map(|disk| field.daemon.disk_path(disk).to_owned());
    let formats = [Format::Raw, Format::Qcow2];
    let start = || {
        let builder = StorageDaemon::builder(&field.qemu)
            .export()
            .second_monitor();
        let disks = images.iter().zip(formats);
        let disks = disks.map(|(image, format)| Disk::image(image, format).throttled());
        let builder = disks.fold(builder, fleece_lab::StorageDaemonBuilder::disk);
        builder.start().unwrap()
    };
    let mut second = start();
    io_all(
        &field.qemu,
        &second,
        1,
        &["write -P 0x51 1M 64k".to_owned()],
    );
    second.kill();
    let third = start();
    // Its images are there as long as it is.
    let first = std::mem::replace(&mut field.daemon, third);
    let said = field.checked(&none);
    let told = "disk1: dirty-bitmap status: not used, it was not saved when QEMU ended";
    assert!(said.text.contains(told), "{}", said.text);
    assert_eq!((said.code, said.by_bitmap()), (Some(0), 0), "{}", said.text);
    field.change(1, 3);
    assert_eq!(field.checked(&none).by_bitmap(), 2);
    drop(first);
}

#[test]
fn a_bitmap_that_lies_is_found_out_by_comparing() {
    let Some(mut field) = Field::new() else {
        return;
    };
    let none = ["--compress", "none"];
    field.checked(&none);
    // Another program clears it after half of the disk was written.
    field.io(0, &["write -P 0x77 0 5M"]);
    field.meddle("block-dirty-bitmap-clear", &[]);
    let said = field.checked(&none);
    assert_eq!((said.code, said.by_bitmap()), (Some(3), 2), "{}", said.text);
    assert!(
        said.text
            .contains("has changed although its dirty bitmap does not say so"),
        "{}",
        said.text
    );
    assert_eq!(field.checked(&none).code, Some(0));
    // The disk is shrunk and grown again: what was cut off reads as zeroes, and no bitmap tells.
    field.without_export(0, || {
        for size in [2 << 20, SIZE] {
            field.execute(
                "block_resize",
                json!({"node-name": "disk0-format", "size": size}),
            );
        }
    });
    let said = field.checked(&none);
    assert_eq!(said.code, Some(3), "{}", said.text);
    // One single cluster is found by comparing all.
    field.checked(&none);
    field.io(0, &["write -P 0x78 3M 4k"]);
    field.meddle("block-dirty-bitmap-clear", &[]);
    let said = field.checked(&["--compress", "none", "--check-unchanged"]);
    assert_eq!(said.code, Some(3), "{}", said.text);
    field.change(0, 2);
    assert_eq!(field.checked(&none).code, Some(0));
}

#[test]
fn whenever_a_backup_is_killed_or_fails_the_next_one_is_right() {
    let Some(mut field) = Field::new() else {
        return;
    };
    let none = ["--compress", "none"];
    field.checked(&none);
    let short = [
        "monitor-recorded",
        "switching",
        "switched",
        "exported",
        "stored",
        "synced",
        "renamed",
    ];
    let all: Vec<&str> = Step::ALL.iter().map(|step| step.name()).collect();
    let steps = if support::is_long() {
        all.as_slice()
    } else {
        short.as_slice()
    };
    for (deed, step) in steps
        .iter()
        .map(|step| ("kill", *step))
        .chain([("term", "switched")])
    {
        field.change(0, 5);
        field.change(1, 5);
        let before = field.bitmaps();
        let mut command = field.command(&none);
        command.env("FLEECE_FAULT", format!("{deed}@{step}"));
        let output = command.output().unwrap();
        if deed == "term" {
            assert_eq!(
                output.status.code(),
                Some(143),
                "{}",
                support::text(&output)
            );
            assert_eq!(field.bitmaps(), before, "the old ones go on");
        }
        field.change(0, 5);
        field.change(1, 5);
        let said = field.checked(&none);
        // What was marked in between is not lost, so that nothing needs to be read in full.
        assert_eq!(said.by_bitmap(), 2, "{deed}@{step}: {}", said.text);
    }
}

const UNREAD: &str = "it is taken over unread";
const CHECKED: &str = "is read and checked";

#[test]
fn an_archive_is_taken_over_unread_as_long_as_it_is_trusted() {
    let Some((mut field, _mounted)) = Field::on_xfs() else {
        return;
    };
    let none = ["--compress", "none"];
    let round = |field: &mut Field, options: &[&str], how: &str| {
        field.change(0, 4);
        field.change(1, 4);
        let said = field.checked(&[&none, options].concat());
        assert_eq!((said.code, said.by_bitmap()), (Some(0), 2), "{}", said.text);
        assert!(said.text.contains(how), "{how}: {}", said.text);
        let shared = said.json["shared"].as_u64().unwrap();
        assert!(shared > SIZE / 4, "{}", said.text);
        said.archive()
    };
    let first = field.checked(&none);
    assert!(!first.text.contains(UNREAD), "{}", first.text);
    round(&mut field, &[], UNREAD);
    round(&mut field, &["--verify-base-after", "0"], CHECKED);
    let last = round(&mut field, &[], UNREAD);
    // Whatever was done to it, somebody has touched it.
    let mode = fs::metadata(&last).unwrap().permissions();
    fs::set_permissions(&last, mode).unwrap();
    let last = round(&mut field, &[], CHECKED);
    let index = format!("{}.idx", last.display());
    fs::write(&index, fs::read(&index).unwrap()).unwrap();
    let last = round(&mut field, &[], CHECKED);
    // The index of another archive is none.
    let own = format!("{}.idx", last.display());
    let sound = fs::read(&own).unwrap();
    fs::write(&own, fs::read(&index).unwrap()).unwrap();
    field.change(0, 4);
    let said = field.checked(&none);
    assert_eq!((said.code, said.by_bitmap()), (Some(3), 0), "{}", said.text);
    assert!(said.text.contains("cannot be a base"), "{}", said.text);
    fs::write(&own, sound).unwrap();
    round(&mut field, &[], UNREAD);
}

#[test]
fn where_no_blocks_can_be_shared_the_system_copies_what_is_trusted() {
    let Some(mut field) = Field::new() else {
        return;
    };
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    field.archive_to(memory.path());
    for compress in ["none", "zstd=1"] {
        let options = ["--compress", compress];
        field.checked(&options);
        field.change(0, 4);
        field.change(1, 4);
        let said = field.checked(&options);
        assert_eq!((said.code, said.by_bitmap()), (Some(0), 2), "{}", said.text);
        assert!(said.text.contains(UNREAD), "{}", said.text);
        // It was not read of the guest, and takes space all the same.
        let taken = said.json["read_of_archive"].as_u64().unwrap();
        assert!(taken > SIZE / 4, "{}", said.text);
        assert_eq!(said.json["shared"], 0, "{}", said.text);
        assert_eq!(said.json["new"], said.json["size"], "{}", said.text);
        assert!(
            said.text.contains("shared with the earlier archive: 0 B"),
            "{}",
            said.text
        );
    }
}

#[test]
fn compressed_archives_are_taken_over_frame_by_frame() {
    let Some((mut field, _mounted)) = Field::on_xfs() else {
        return;
    };
    // What compresses to nothing has no block to be shared.
    let noise = field.bench.path("noise");
    support::noise(&noise, 4 << 20);
    field.io(0, &[&format!("write -s {} 2M 4M", noise.display())]);
    let zstd = ["--compress", "zstd=1"];
    field.checked(&zstd);
    for (deed, least) in [
        ("write -P 0x41 6M 64k", 3 << 20),
        ("write -z 0 128k", 3 << 20),
    ] {
        field.io(0, &[deed]);
        field.change(1, 3);
        let said = field.checked(&zstd);
        assert_eq!((said.code, said.by_bitmap()), (Some(0), 2), "{}", said.text);
        assert!(said.text.contains(UNREAD), "{}", said.text);
        assert!(
            said.json["shared"].as_u64().unwrap() > least,
            "{}",
            said.text
        );
        // To zstd's own program it is a compressed file like others, and Proxmox pipes it through that.
        let mut zstd = Command::new("zstd");
        let plain = support::succeed(zstd.args(["-dcq"]).arg(said.archive())).stdout;
        let piped = field.bench.path("piped.vma");
        fs::write(&piped, plain).unwrap();
        let mut vma = Command::new(env!("CARGO_BIN_EXE_vma"));
        support::succeed(vma.arg("verify").arg(&piped));
        for (file, disk) in support::restore(&piped).iter().zip(field.disks()) {
            let mut there = vec![0; disk.len()];
            file.read_exact_at(&mut there, 0).unwrap();
            assert!(there == disk);
        }
    }
    let said = field.checked(&[&zstd[..], &["--verify-base-after", "0"]].concat());
    assert_eq!(said.code, Some(0), "{}", said.text);
    assert!(
        said.json["shared"].as_u64().unwrap() > 3 << 20,
        "{}",
        said.text
    );
}

/// A backup that stands still once the instant is fixed, until it is told to go on.
struct Held(std::process::Child);

impl Held {
    fn begin(field: &Field, options: &[&str]) -> Self {
        let mut command = field.command(options);
        command.env("FLEECE_FAULT", "stop@exported").arg("--json");
        let pipes = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pipes.spawn().unwrap();
        let stat = PathBuf::from(format!("/proc/{}/stat", child.id()));
        while !fs::read_to_string(&stat).unwrap().contains(") T ") {
            assert!(child.try_wait().unwrap().is_none(), "it ended");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        Self(child)
    }

    fn end(self) -> Said {
        support::signal(self.0.id(), "-CONT");
        Said::of(self.0.wait_with_output().unwrap().into())
    }
}

#[test]
fn a_base_that_is_cut_off_or_removed_meanwhile_makes_no_wrong_archive() {
    let Some(mut field) = Field::new() else {
        return;
    };
    let none = ["--compress", "none"];
    let cut = |archive: &Path| {
        let file = fs::File::options().write(true).open(archive).unwrap();
        file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    };
    // Taken over unread, it cannot be completed.
    let last = field.checked(&none).archive();
    field.change(0, 3);
    let held = Held::begin(&field, &none);
    cut(&last);
    let said = held.end();
    assert!(!matches!(said.code, Some(0 | 3)), "{}", said.text);
    assert!(said.text.contains("archive"), "{}", said.text);
    let name = last.file_name().unwrap().to_string_lossy();
    assert!(said.text.contains(&*name), "{}", said.text);
    let said = field.checked(&none);
    assert_eq!((said.code, said.by_bitmap()), (Some(3), 0), "{}", said.text);
    fs::remove_file(&last).unwrap();
    // What is read and checked is read of the guest where it is gone.
    let last = field.checked(&none).archive();
    field.change(0, 3);
    let held = Held::begin(&field, &["--compress", "none", "--verify-base-after", "0"]);
    cut(&last);
    let said = held.end();
    assert_eq!((said.code, said.by_bitmap()), (Some(3), 2), "{}", said.text);
    check(&said.archive(), &field.disks());
    fs::remove_file(&last).unwrap();
    // One that somebody removes is there as long as it is needed.
    let last = field.checked(&none).archive();
    field.change(1, 3);
    let held = Held::begin(&field, &none);
    fs::remove_file(format!("{}.idx", last.display())).unwrap();
    fs::remove_file(&last).unwrap();
    let said = held.end();
    assert_eq!((said.code, said.by_bitmap()), (Some(0), 2), "{}", said.text);
    check(&said.archive(), &field.disks());
    assert_eq!(field.checked(&none).by_bitmap(), 2);
}

#[test]
fn a_target_that_is_full_in_the_middle_makes_no_archive_and_no_trust() {
    let Some((mut field, mounted)) = Field::on_xfs() else {
        return;
    };
    let none = ["--compress", "none"];
    field.checked(&none);
    field.io(0, &["write -P 0x31 1M 6M"]);
    let filler = mounted.path().join("filler");
    let file = fs::File::create(&filler).unwrap();
    let space = rustix::fs::statvfs(mounted.path()).unwrap();
    let left = space.f_bavail * space.f_frsize - (3 << 20);
    let flags = rustix::fs::FallocateFlags::empty();
    rustix::fs::fallocate(&file, flags, 0, left).unwrap();
    let said = field.backup(&none);
    assert_ne!(said.code, Some(0), "{}", said.text);
    assert!(said.text.contains("No space left"), "{}", said.text);
    drop(file);
    fs::remove_file(&filler).unwrap();
    field.change(1, 4);
    let said = field.checked(&none);
    assert_eq!((said.code, said.by_bitmap()), (Some(0), 2), "{}", said.text);
    assert!(said.text.contains(CHECKED), "{}", said.text);
}

#[test]
fn the_archive_that_bitmaps_count_against_is_the_base_or_everything_is_read() {
    let Some(mut field) = Field::new() else {
        return;
    };
    let none = ["--compress", "none"];
    let first = field.checked(&none);
    field.change(0, 5);
    // One that is not incremental leaves the bitmaps alone, and they still count against their archive.
    let mut plain = backup(&field.bench, &field.daemon);
    support::succeed(plain.args(["--compress", "none"]));
    field.change(1, 5);
    let second = field.checked(&none);
    assert_eq!(second.by_bitmap(), 2, "{}", second.text);
    let name = first
        .archive()
        .file_name()
        .unwrap()
        .to_string_lossy()
        .into_owned();
    assert!(
        second.text.contains(&format!("is taken from {name}")),
        "{}",
        second.text
    );
    // Without it, another is good enough to share with, and nothing else.
    fs::remove_file(second.archive()).unwrap();
    let third = field.checked(&none);
    assert_eq!(
        (third.code, third.by_bitmap()),
        (Some(0), 0),
        "{}",
        third.text
    );
    // Damage of the base is not inherited.
    field.io(0, &["write -P 0x5a 1M 64k"]);
    let base = third.archive();
    let bytes = fs::read(&base).unwrap();
    let file = fs::File::options().write(true).open(&base).unwrap();
    file.write_all_at(&[!bytes[3 << 20]], 3 << 20).unwrap();
    let said = field.checked(&none);
    assert_eq!((said.code, said.by_bitmap()), (Some(3), 2), "{}", said.text);
    assert!(said.text.contains("it is damaged"), "{}", said.text);
    // After so many, everything is read once.
    for by_bitmap in [2, 0, 2] {
        let said = field.checked(&["--compress", "none", "--full-every", "2"]);
        assert_eq!(said.by_bitmap(), by_bitmap, "{}", said.text);
    }
    let mut cleanup = field.bench.fleece("cleanup");
    cleanup
        .args(["--bitmaps", "--vmid", "7", "--qmp"])
        .arg(field.daemon.qmp_socket());
    let output = support::succeed(&mut cleanup);
    assert!(
        support::text(&output).contains("removed 2 dirty bitmaps"),
        "{output:?}"
    );
    assert!(field.bitmaps().is_empty());
    field.bench.assert_clean(&field.daemon.qmp_socket());
    assert_eq!(field.checked(&none).by_bitmap(), 0);
}
