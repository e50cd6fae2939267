//! Backups of a storage daemon's disks, the cheapest live test: no guest, but the same filters, views
//! and exports, and writes at the worst moment.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a test may fail by a panic"
)]

mod support;

use std::os::unix::fs::FileExt as _;
use std::process::Command;

use fleece_lab::{Disk, Qemu, StorageDaemon};
use support::Bench;
use support::running::Running;

const SIZE: u64 = 16 << 20;

fn io(qemu: &Qemu, uri: &str, command: &str) {
    support::succeed(qemu.io().args(["-f", "raw", "-c", command, uri]));
}

fn daemon(qemu: &Qemu) -> StorageDaemon {
    let daemon = StorageDaemon::builder(qemu)
        .disk(Disk::raw(SIZE).throttled())
        .disk(Disk::qcow2(SIZE).throttled())
        .export()
        .start()
        .unwrap();
    for number in 0..2 {
        io(qemu, &daemon.nbd_uri(number), "write -P 0x11 0 8M");
        io(qemu, &daemon.nbd_uri(number), "write -P 0x22 12M 70000");
    }
    daemon
}

/// The daemon's one NBD server serves its clients, so the views are exported by it too.
fn backup(bench: &Bench, daemon: &StorageDaemon) -> Command {
    let mut command = bench.backup(&daemon.qmp_socket());
    command
        .arg("--nbd-server")
        .arg(daemon.nbd_socket())
        .args(["--vmid", "7"]);
    command
}

/// A backup that takes long enough to disturb it, from its instant on.
fn begun(command: &mut Command) -> Running {
    let mut running = Running::start(command.args(["--bwlimit", "4M"]));
    running.until("copy-before-write is active");
    running
}

/// Disks as they were before anything was overwritten.
fn assert_before(bench: &Bench) {
    let disks = bench.restore();
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

#[test]
fn what_is_overwritten_and_discarded_during_the_backup_is_saved_first() {
    for qemu in fleece_lab::qemus() {
        let daemon = daemon(&qemu);
        let bench = Bench::new();
        let running = begun(&mut backup(&bench, &daemon));
        for number in 0..2 {
            io(&qemu, &daemon.nbd_uri(number), "write -P 0x55 4M 9M");
            io(&qemu, &daemon.nbd_uri(number), "discard 0 2M");
        }
        running.end().expect_code(0);
        assert_before(&bench);
        bench.assert_clean(&daemon.qmp_socket());
        io(&qemu, &daemon.nbd_uri(0), "read -P 0x55 4M 9M");
    }
}

#[test]
fn archives_to_standard_output_and_with_qcow2_fleecing_images_are_the_same() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let daemon = daemon(&qemu);
    let bench = Bench::new();
    let mut command = backup(&bench, &daemon);
    let output = support::succeed(command.args(["--to", "-", "--compress", "none"]));
    let archive = bench.path("archives").join("vzdump-qemu-7-stdout.vma");
    std::fs::write(&archive, output.stdout).unwrap();
    assert_before(&bench);
    std::fs::remove_file(&archive).unwrap();

    support::succeed(backup(&bench, &daemon).args(["--fleecing-format", "qcow2"]));
    assert!(bench.archive().to_string_lossy().ends_with(".vma.zst"));
    assert_before(&bench);
    bench.assert_clean(&daemon.qmp_socket());
}

#[test]
fn without_fleecing_old_data_lies_beside_the_archive_while_it_is_needed() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let daemon = daemon(&qemu);
    let bench = Bench::new();
    let mut command = bench.fleece("backup");
    command
        .arg("--qmp")
        .arg(daemon.qmp_socket())
        .arg("--to")
        .arg(bench.path("archives"));
    command
        .arg("--nbd-server")
        .arg(daemon.nbd_socket())
        .args(["--vmid", "7", "--no-fleecing"]);
    let running = begun(&mut command);
    let beside = support::entries(&bench.path("archives"));
    io(&qemu, &daemon.nbd_uri(0), "write -P 0x55 4M 9M");
    running.end().expect_code(0);
    let images = beside
        .iter()
        .filter(|path| path.to_string_lossy().contains("vm-7-fleece-"));
    assert_eq!(images.count(), 2, "{beside:?}");
    assert_before(&bench);
    bench.assert_clean(&daemon.qmp_socket());
}

#[test]
fn a_server_that_runs_already_is_named_as_the_obstacle() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let daemon = daemon(&qemu);
    let bench = Bench::new();
    let output = bench.backup(&daemon.qmp_socket()).output().unwrap();
    let said = support::text(&output);
    assert_eq!(output.status.code(), Some(5), "{said}");
    assert!(said.contains("--nbd-server"), "{said}");
    bench.assert_clean(&daemon.qmp_socket());
    // Nobody has stopped it.
    io(&qemu, &daemon.nbd_uri(0), "read -P 0x11 0 8M");
}

#[test]
fn a_clean_up_does_not_stop_somebody_elses_server() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let daemon = daemon(&qemu);
    let bench = Bench::new();
    // What a backup leaves that was killed just before it started a server of its own.
    let socket = bench.path("state").join("7.nbd");
    let record = format!(
        "qmp: {}\nnbd-socket: {}\n",
        daemon.qmp_socket().display(),
        socket.display()
    );
    std::fs::write(bench.path("state").join("7.state"), record).unwrap();
    support::succeed(bench.fleece("cleanup").arg("7"));
    bench.assert_clean(&daemon.qmp_socket());
    io(&qemu, &daemon.nbd_uri(0), "read -P 0x11 0 8M");
}

#[test]
fn configurations_and_choice_of_disks_reach_the_archive() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let daemon = daemon(&qemu);
    let bench = Bench::new();
    let config = bench.path("qemu-server.conf");
    std::fs::write(&config, "name: web\n").unwrap();
    let mut command = backup(&bench, &daemon);
    command
        .arg("--config")
        .arg(&config)
        .args(["--compress", "none"]);
    command.args(["--include", "disk1"]);
    support::succeed(&mut command);
    let archive = std::fs::File::open(bench.archive()).unwrap();
    let reader = fleece_vma_format::Reader::new(archive).unwrap();
    assert_eq!(
        reader.header().config("qemu-server.conf"),
        Some(b"name: web\n".as_slice())
    );
    let names: Vec<_> = reader
        .header()
        .devices()
        .iter()
        .map(|device| device.name())
        .collect();
    assert_eq!(names, ["disk1"]);
    // The index came along.
    let mut vma = Command::new(env!("CARGO_BIN_EXE_vma"));
    support::succeed(vma.args(["verify", "--deep"]).arg(bench.archive()));
}

#[test]
fn a_guest_with_a_configuration_has_it_archived_and_given_back_untouched() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let daemon = daemon(&qemu);
    let bench = Bench::new();
    let config = bench.path("7.conf");
    let text = "#a note\nname: web\nlock: backup\nscsi0: local:7/vm-7-disk-0.raw,size=1G\n\n\
                [snap]\nname: old\n";
    std::fs::write(&config, text).unwrap();
    let mut command = backup(&bench, &daemon);
    command.arg("--config-dir").arg(config.parent().unwrap());
    std::fs::write(bench.path("7.fw"), "[OPTIONS]\nenable: 1\n").unwrap();
    command.arg("--firewall-dir").arg(config.parent().unwrap());
    let running = begun(&mut command);
    // While it runs, Proxmox's own clean-up would find the images.
    let during = std::fs::read_to_string(&config).unwrap();
    running.end().expect_code(0);
    assert!(
        during.contains("[special:fleecing]\nfleecing-images: /"),
        "{during}"
    );
    assert_eq!(std::fs::read_to_string(&config).unwrap(), text);
    let archive = std::fs::File::open(bench.archive()).unwrap();
    let stream = fleece_vma_format::container::open(archive).unwrap();
    let reader = fleece_vma_format::Reader::new(stream).unwrap();
    let rules = reader.header().config("qemu-server.fw").unwrap();
    assert_eq!(rules, b"[OPTIONS]\nenable: 1\n");
    let stored = reader.header().config("qemu-server.conf").unwrap();
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
fn a_disk_under_which_no_filter_can_go_is_refused_before_anything_is_touched() {
    for qemu in fleece_lab::qemus() {
        // Reopening a qcow2 node crashes QEMU, and the older ones would hand our failures to the
        // guest by their only other way.
        let daemon = StorageDaemon::builder(&qemu)
            .disk(Disk::qcow2(SIZE))
            .export()
            .start()
            .unwrap();
        let bench = Bench::new();
        let output = backup(&bench, &daemon).output().unwrap();
        let said = support::text(&output);
        if qemu.version().major >= 11 {
            assert!(output.status.success(), "QEMU {}: {said}", qemu.version());
        } else {
            assert_eq!(
                output.status.code(),
                Some(5),
                "QEMU {}: {said}",
                qemu.version()
            );
            assert!(said.contains("put a throttle node above it"), "{said}");
            assert!(!said.contains("copy-before-write is active"), "{said}");
        }
        bench.assert_clean(&daemon.qmp_socket());
    }
}
