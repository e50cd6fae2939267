//! What cannot work is refused with its cause, the next step and the right exit code; the guest is not
//! touched, and nothing is left.

#![expect(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::process::Command;

use fleece_lab::{Disk, Machine, StorageDaemon};
use fleece_qmp_client::Client;
use support::Bench;

/// Runs it and checks exit code and message.
fn refused(command: &mut Command, code: i32, words: &[&str]) {
    let output = command.output().unwrap();
    let said = support::text(&output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "'{word}' is missing: {said}");
    }
}

#[test]
fn a_socket_that_is_not_there_or_no_monitor() {
    let bench = Bench::new();
    let socket = bench.path("nobody");
    refused(
        &mut bench.backup(&socket),
        5,
        &["cannot use the guest's monitor", "nobody"],
    );
    // Bound, but nobody listens any more.
    drop(UnixListener::bind(&socket).unwrap());
    refused(
        &mut bench.backup(&socket),
        5,
        &["cannot use the guest's monitor"],
    );
    let talker = bench.path("talker");
    let listener = UnixListener::bind(&talker).unwrap();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        std::io::Write::write_all(&mut stream, b"220 smtp.example.org ESMTP\r\n").unwrap();
    });
    refused(
        &mut bench.backup(&talker),
        5,
        &["cannot use the guest's monitor", "QMP"],
    );
    thread.join().unwrap();
    bench.assert_clean_folders();
}

#[test]
fn a_monitor_that_another_client_holds() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let daemon = StorageDaemon::builder(&qemu)
        .disk(Disk::raw(1 << 20))
        .start()
        .unwrap();
    let _held = Client::connect_unix(daemon.qmp_socket()).unwrap();
    let bench = Bench::new();
    refused(
        &mut bench.backup(&daemon.qmp_socket()),
        5,
        &["another client"],
    );
    bench.assert_clean_folders();
}

#[test]
fn targets_and_storages_that_cannot_be_used() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let machine = support::machine_with_data(&qemu, "virtio-blk-pci", 0);
    let qmp = machine.qmp_socket();
    let bench = Bench::new();
    let backup = |to: &str, fleecing: &str| {
        let mut command = bench.fleece("backup");
        command
            .arg("--qmp")
            .arg(&qmp)
            .args(["--to", to, "--fleecing", fleecing]);
        command
    };
    let archives = bench.path("archives").display().to_string();
    let fleecing = bench.path("fleecing").display().to_string();

    refused(
        &mut backup("/nonexistent", &fleecing),
        6,
        &["/nonexistent is neither a directory, nor a storage"],
    );
    refused(
        &mut backup("/proc", &fleecing),
        6,
        &["cannot create /proc/"],
    );
    refused(
        &mut backup(&archives, "/nonexistent/"),
        6,
        &["fleecing storage /nonexistent/"],
    );
    refused(
        &mut backup(&archives, "nosuchstorage"),
        6,
        &["fleecing storage nosuchstorage"],
    );
    refused(
        backup(&archives, &fleecing).args(["--include", "scsi9"]),
        1,
        &["'scsi9'", "it has"],
    );
    refused(
        backup(&archives, &fleecing).arg("--exclude=disk0,disk1"),
        1,
        &["nothing to back up"],
    );
    let taken = bench.path("archives").join("vzdump-qemu-1-taken.vma");
    std::fs::write(&taken, "precious").unwrap();
    refused(
        &mut backup(taken.to_str().unwrap(), &fleecing),
        6,
        &["exists already"],
    );
    assert_eq!(std::fs::read(&taken).unwrap(), b"precious");
    refused(
        backup("-", &fleecing)
            .arg("--no-fleecing")
            .arg("--bwlimit=x"),
        2,
        &["'x'"],
    );
    bench.assert_clean(&machine.test_socket());
    support::assert_running(&machine.test_socket());
}

#[test]
fn a_state_directory_that_cannot_be_written() {
    let bench = Bench::new();
    let file = bench.path("file");
    std::fs::write(&file, "").unwrap();
    let mut command = bench.backup(&bench.path("nobody"));
    command.arg("--state-dir").arg(file.join("state"));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let output = command.output().unwrap();
    // The folder given last counts; it lies below a file.
    let said = support::text(&output);
    assert!(said.contains("--state-dir"), "{said}");
    assert!(!output.status.success(), "{said}");
}

#[test]
fn a_qemu_without_a_writable_disk() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let machine = Machine::builder(&qemu).unwrap().start().unwrap();
    let bench = Bench::new();
    refused(
        &mut bench.backup(&machine.qmp_socket()),
        5,
        &["no writable disk"],
    );
    bench.assert_clean(&machine.test_socket());
}

#[test]
fn a_second_backup_of_the_same_guest_while_one_runs() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let machine = support::machine_with_data(&qemu, "virtio-blk-pci", 8 << 20);
    let bench = Bench::new();
    let mut first = bench.backup(&machine.qmp_socket());
    let mut first = first
        .args(["--vmid", "7", "--bwlimit", "1M"])
        .spawn()
        .unwrap();
    let lock = bench.path("state").join("7.lock");
    while !lock.exists() {
        assert!(
            first.try_wait().unwrap().is_none(),
            "the first backup ended early"
        );
        std::thread::yield_now();
    }
    let mut second = bench.backup(&machine.test_socket());
    refused(
        second.args(["--vmid", "7"]),
        1,
        &["7 is the guest that answers elsewhere", "--name"],
    );
    let mut cleanup = bench.fleece("cleanup");
    refused(
        cleanup.arg("7"),
        1,
        &["backing up, restoring or cleaning up this guest"],
    );
    assert!(first.wait().unwrap().success());
    bench.assert_clean(&machine.test_socket());
}
