//! What a backup would not get, or would harm, is found before anything is touched: by QEMUs with devices
//! of all kinds and no guest in them.

#![expect(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use fleece_lab::{Machine, MachineBuilder, Qemu, StorageDaemon};
use fleece_qmp_client::Client;
use serde_json::{Value, json};
use support::Bench;
use support::ended::Ended;

const SIZE: u64 = 1 << 20;

const SOON: Duration = Duration::from_secs(60);

/// A machine with one more raw disk, `name`, as QEMU's options name drives; for a `-device`.
fn drive(machine: MachineBuilder, name: &str, more: &str) -> MachineBuilder {
    let path = machine.folder().join(format!("{name}.raw"));
    std::fs::File::create(&path).unwrap().set_len(SIZE).unwrap();
    let value = format!("file={},if=none,id={name},format=raw{more}", path.display());
    machine.option("-drive", value)
}

/// One with a disk like any other, `drive-virtio0`.
fn machine(qemu: &Qemu) -> MachineBuilder {
    let machine = drive(Machine::builder(qemu).unwrap(), "drive-virtio0", "");
    machine.option("-device", "virtio-blk-pci,drive=drive-virtio0,id=virtio0")
}

fn qmp(machine: &Machine, name: &str, arguments: Value) -> Value {
    let client = Client::connect_unix(machine.test_socket()).unwrap();
    client.execute_raw(name, Some(arguments)).unwrap()
}

/// It ends with 5 and says all of `words`; nothing was touched, and nothing is left.
fn refused(bench: &Bench, machine: &Machine, command: &mut Command, words: &[&str]) {
    let said = Ended::of(command).expect(5, words);
    assert!(!said.contains("fleecing images"), "{said}");
    bench.assert_clean(&machine.test_socket());
    bench.assert_no_archive();
}

#[test]
fn disks_that_are_left_out_are_named_with_the_reason_and_a_hard_disk_is_a_warning() {
    for qemu in fleece_lab::qemus() {
        eprintln!("QEMU {}", qemu.version());
        let backend = StorageDaemon::builder(&qemu).start().unwrap();
        let image = backend.folder().join("image");
        std::fs::File::create(&image)
            .unwrap()
            .set_len(SIZE)
            .unwrap();
        let socket = backend.folder().join("v");
        let daemon = Client::connect_unix(backend.qmp_socket()).unwrap();
        let node = json!({"driver": "file", "node-name": "f", "filename": image});
        daemon.execute_raw("blockdev-add", Some(node)).unwrap();
        let export = json!({"type": "vhost-user-blk", "id": "e", "node-name": "f", "writable": true,
                            "addr": {"type": "unix", "path": socket}});
        daemon
            .execute_raw("block-export-add", Some(export))
            .unwrap();

        let machine = drive(machine(&qemu), "drive-virtio1", ",readonly=on");
        let folder = machine.folder().to_owned();
        let flash = |name: &str, more: &str| {
            let path = folder.join(name);
            std::fs::write(&path, vec![0xff; 256 << 10]).unwrap();
            format!(
                "if=pflash,format=raw,id={name},file={}{more}",
                path.display()
            )
        };
        let memory = "memory-backend-memfd,id=mem,size=64M,share=on";
        let machine = machine
            .option("-device", "virtio-blk-pci,drive=drive-virtio1,id=virtio1")
            .option("-device", "ide-cd,id=cd0")
            // Firmware, and its variables.
            .option("-drive", flash("code", ",readonly=on"))
            .option("-drive", flash("vars", ""))
            .option("-object", memory)
            .option("-numa", "node,memdev=mem")
            .option("-chardev", format!("socket,id=c,path={}", socket.display()))
            .option("-device", "vhost-user-blk-pci,chardev=c,id=vub0")
            .start()
            .unwrap();
        let bench = Bench::new();
        let said = Ended::of(&mut bench.backup(&machine.qmp_socket())).expect(
            3,
            &[
                "leave out disk 'drive-virtio1': it is read-only",
                "leave out disk 'drive-vub0': another process serves it",
                "leave out disk 'drive-cd0': there is no medium",
                "include disk 'drive-efidisk0'",
                "leave out disk 'drive-system.flash0': it is read-only",
            ],
        );
        let warnings = said.lines().filter(|line| line.contains("WARN"));
        assert_eq!(warnings.count(), 2, "{said}");
        bench.assert_clean(&machine.test_socket());

        // Who asks for it need not be warned.
        std::fs::remove_dir_all(bench.path("archives")).unwrap();
        std::fs::create_dir(bench.path("archives")).unwrap();
        let mut backup = bench.backup(&machine.qmp_socket());
        backup.args(["--exclude", "vub0", "--exclude", "virtio1"]);
        Ended::of(&mut backup).expect(0, &["leave out disk 'drive-vub0', as asked for"]);
        std::fs::remove_dir_all(bench.path("archives")).unwrap();
        std::fs::create_dir(bench.path("archives")).unwrap();
        let mut backup = bench.backup(&machine.qmp_socket());
        backup.args(["--include", "vub0"]);
        refused(&bench, &machine, &mut backup, &["drive-vub0", "vhost-user"]);
    }
}

#[test]
fn a_guest_that_waits_for_a_migration_is_refused() {
    for qemu in fleece_lab::qemus() {
        eprintln!("QEMU {}", qemu.version());
        let machine = machine(&qemu).option("-incoming", "defer").start().unwrap();
        let bench = Bench::new();
        let mut backup = bench.backup(&machine.qmp_socket());
        refused(&bench, &machine, &mut backup, &["back it up where it runs"]);
    }
}

#[test]
fn a_guest_that_is_being_migrated_or_was_is_refused() {
    for qemu in fleece_lab::qemus() {
        eprintln!("QEMU {}", qemu.version());
        let target = machine(&qemu);
        let socket = target.folder().join("migration");
        let uri = format!("unix:{}", socket.display());
        let target = target.option("-incoming", &uri).start().unwrap();
        let machine = machine(&qemu).start().unwrap();
        // It waits before its end.
        let wait = json!({"capability": "pause-before-switchover", "state": true});
        let capabilities = json!({"capabilities": [wait]});
        qmp(&machine, "migrate-set-capabilities", capabilities);
        qmp(&machine, "migrate", json!({"uri": uri}));
        let bench = Bench::new();
        let mut backup = bench.backup(&machine.qmp_socket());
        refused(
            &bench,
            &machine,
            &mut backup,
            &["is being migrated", "migrate_cancel"],
        );

        let client = Client::connect_unix(machine.test_socket()).unwrap();
        let until = |command: &str, expected: &str| {
            let start = Instant::now();
            while client.execute_raw(command, None).unwrap()["status"] != expected {
                assert!(start.elapsed() < SOON, "it never was {expected}");
                // Not all of these states are events.
                std::thread::sleep(Duration::from_millis(10));
            }
        };
        until("query-migrate", "pre-switchover");
        let go_on = json!({"state": "pre-switchover"});
        client.execute_raw("migrate-continue", Some(go_on)).unwrap();
        until("query-status", "postmigrate");
        drop(client);
        let mut backup = bench.backup(&machine.qmp_socket());
        refused(&bench, &machine, &mut backup, &["has been migrated away"]);
        drop(target);
    }
}

#[test]
fn a_disk_that_others_write_to_too_is_refused_and_can_be_excluded() {
    for qemu in fleece_lab::qemus() {
        eprintln!("QEMU {}", qemu.version());
        let shared = |machine: MachineBuilder, names: &[&str]| {
            let image = machine.folder().join("shared.raw");
            std::fs::File::create(&image)
                .unwrap()
                .set_len(SIZE)
                .unwrap();
            let node = format!("driver=file,node-name=shared,filename={}", image.display());
            let machine = machine
                .option("-blockdev", node)
                .option("-device", "virtio-scsi-pci,id=scsi");
            let device = |name| format!("scsi-hd,bus=scsi.0,drive=shared,share-rw=on,id={name}");
            let devices = names.iter();
            devices.fold(machine, |machine, name| {
                machine.option("-device", device(name))
            })
        };
        let bench = Bench::new();
        let two = shared(machine(&qemu), &["a", "b"]).start().unwrap();
        let mut backup = bench.backup(&two.qmp_socket());
        refused(
            &bench,
            &two,
            &mut backup,
            &["writes to it too", "--exclude a"],
        );
        let one = shared(machine(&qemu), &["a"]).start().unwrap();
        let mut backup = bench.backup(&one.qmp_socket());
        refused(&bench, &one, &mut backup, &["share-rw=on", "--exclude a"]);
        let mut backup = bench.backup(&one.qmp_socket());
        Ended::of(backup.args(["--exclude", "a"])).expect_code(0);
        bench.assert_clean(&one.test_socket());
    }
}

#[test]
fn a_job_of_somebody_else_on_a_disk_is_named_and_goes_on() {
    for qemu in fleece_lab::qemus() {
        eprintln!("QEMU {}", qemu.version());
        let machine = machine(&qemu).start().unwrap();
        let copy = machine.folder().join("copy.raw");
        std::fs::File::create(&copy).unwrap().set_len(SIZE).unwrap();
        let mirror = json!({"device": "drive-virtio0", "target": copy, "mode": "existing",
                            "format": "raw", "sync": "full", "job-id": "web-mirror"});
        qmp(&machine, "drive-mirror", mirror);
        let bench = Bench::new();
        let mut backup = bench.backup(&machine.qmp_socket());
        refused(
            &bench,
            &machine,
            &mut backup,
            &["the job web-mirror is at work"],
        );
        let jobs = qmp(&machine, "query-jobs", json!({}));
        assert_eq!(jobs[0]["id"], "web-mirror", "{jobs}");
    }
}

#[test]
fn guests_that_stand_still_are_backed_up_like_others() {
    for qemu in fleece_lab::qemus() {
        eprintln!("QEMU {}", qemu.version());
        let machine = machine(&qemu).start().unwrap();
        let client = Client::connect_unix(machine.test_socket()).unwrap();
        let run = |name: &str| client.execute_raw(name, None).unwrap();
        let state = |expected: &str| {
            let status = run("query-status");
            assert_eq!(status["status"], expected);
            let bench = Bench::new();
            Ended::of(&mut bench.backup(&machine.qmp_socket())).expect_code(0);
            bench.assert_clean_folders();
            assert_eq!(run("query-status"), status);
        };
        state("prelaunch");
        run("cont");
        run("stop");
        state("paused");
    }
}

#[test]
fn a_server_that_runs_already_is_found_before_anything_is_touched() {
    for qemu in fleece_lab::qemus() {
        eprintln!("QEMU {}", qemu.version());
        let machine = machine(&qemu).start().unwrap();
        // Without exports nothing tells of it.
        let socket = machine.folder().join("nbd");
        let address = json!({"type": "unix", "data": {"path": socket}});
        qmp(&machine, "nbd-server-start", json!({"addr": address}));
        let bench = Bench::new();
        let mut backup = bench.backup(&machine.qmp_socket());
        let said = Ended::of(&mut backup).expect(5, &["--nbd-server"]);
        assert!(!said.contains("fleecing images"), "{said}");
        bench.assert_clean(&machine.test_socket());
        bench.assert_no_archive();
        backup.arg("--nbd-server").arg(&socket);
        Ended::of(&mut backup).expect_code(0);
        bench.assert_clean(&machine.test_socket());
        // A wrong address is found as early.
        let mut backup = bench.backup(&machine.qmp_socket());
        backup.arg("--nbd-server").arg(bench.path("nowhere"));
        let said = Ended::of(&mut backup).expect(5, &["no NBD server", "nowhere"]);
        assert!(!said.contains("fleecing images"), "{said}");
        bench.assert_clean(&machine.test_socket());
    }
}

#[test]
fn a_qemu_of_another_user_gets_files_and_sockets_open() {
    const NOBODY: u32 = 65534;
    if !rustix::process::geteuid().is_root() {
        fleece_lab::skip("to run QEMU as another user needs root");
        return;
    }
    for qemu in fleece_lab::qemus() {
        for (format, state) in [("raw", "stopped"), ("raw", "running"), ("qcow2", "running")] {
            eprintln!("QEMU {}, {format}, {state}", qemu.version());
            let machine = machine(&qemu).user(NOBODY);
            let image = machine.folder().join("drive-virtio0.raw");
            std::os::unix::fs::chown(image, Some(NOBODY), Some(NOBODY)).unwrap();
            let machine = machine.start().unwrap();
            if state == "running" {
                qmp(&machine, "cont", json!({}));
            }
            // Nobody else may look into the folders, which are as `tempfile` makes them.
            let bench = Bench::new();
            let mut backup = bench.backup(&machine.qmp_socket());
            backup.args(["--fleecing-format", format]);
            Ended::of(&mut backup).expect_code(0);
            bench.assert_clean(&machine.test_socket());
            let sets = qmp(&machine, "query-fdsets", json!({}));
            // A QEMU 7.2 closes a file when its guest runs.
            if state == "running" || qemu.version().major > 7 {
                assert_eq!(sets, json!([]));
            }
        }
    }
}

#[test]
fn what_no_archive_can_hold_is_refused_before_anything_is_touched() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let mut builder = Machine::builder(&qemu).unwrap();
    builder = builder.option("-device", "virtio-scsi-pci,id=scsi");
    for n in 0..255 {
        let node = format!("driver=null-co,size=1048576,read-zeroes=on,node-name=n{n}");
        let device = format!("scsi-hd,bus=scsi.0,scsi-id={n},drive=n{n},id=d{n}");
        builder = builder.option("-blockdev", node).option("-device", device);
    }
    let machine = builder.start().unwrap();
    let bench = Bench::new();
    let clean = || {
        bench.assert_clean(&machine.test_socket());
        bench.assert_no_archive();
    };
    let backup = || bench.backup(&machine.qmp_socket());
    Ended::of(&mut backup()).expect(1, &["at most 254 devices"]);
    clean();
    let large = bench.path("large.conf");
    std::fs::write(&large, vec![b'#'; 70_000]).unwrap();
    let mut command = backup();
    command.args(["--include", "d0", "--config"]).arg(&large);
    Ended::of(&mut command).expect(1, &["large.conf", "at most 65535 bytes"]);
    clean();
    let storages = bench.path("storage.cfg");
    std::fs::write(&storages, "rbd: fast\n\tpool nowhere\n\tcontent images\n").unwrap();
    let mut command = bench.fleece("backup");
    command.arg("--qmp").arg(machine.qmp_socket());
    command.arg("--to").arg(bench.path("archives"));
    command.arg("--storage-config").arg(&storages);
    command.args([
        "--include",
        "d0",
        "--fleecing",
        "fast",
        "--fleecing-format",
        "qcow2",
    ]);
    Ended::of(&mut command).expect(6, &["fast has no qcow2 images", "--fleecing-format"]);
    clean();
}
