//! The example programs.

#![allow(clippy::unwrap_used, reason = "a test that fails says so by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fleece_lab::{Disk, StorageDaemon};

const SIZE: usize = 4 << 20;

/// Runs an example, which cargo builds when it builds all tests; what it says.
fn run(name: &str, arguments: &[&Path]) -> String {
    let test = std::env::current_exe().unwrap();
    let target = test.parent().and_then(Path::parent).unwrap();
    let program = target.join("examples").join(name);
    assert!(
        program.is_file(),
        "{} is not built: run the tests without --test",
        program.display()
    );
    let output = Command::new(program).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complained}");
    said
}

/// The one disk of an archive, restored below `directory`.
fn restored(directory: &Path, archive: &Path) -> Vec<u8> {
    let [volumes, state] = ["volumes", "restore-state"].map(|name| directory.join(name));
    fs::create_dir(&volumes).unwrap();
    let config = directory.join("101.conf");
    let said = run("restore", &[archive, &volumes, &config, &state]);
    assert!(
        fs::read_to_string(&config)
            .unwrap()
            .contains("vm-101-disk-0")
    );
    let (_, volume) = said.lines().last().unwrap().split_once(' ').unwrap();
    fs::read(PathBuf::from(volume)).unwrap()
}

#[test]
fn the_disk_of_a_storage_daemon_is_backed_up_and_restored() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let daemon = StorageDaemon::builder(&qemu)
        .disk(Disk::raw(SIZE as u64))
        .export()
        .start()
        .unwrap();
    let mut io = qemu.io();
    io.args([
        "-f",
        "raw",
        &daemon.nbd_uri(0),
        "-c",
        "write -P 0x11 1M 64k",
    ]);
    assert!(io.output().unwrap().status.success());
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("archive.vma.zst");
    let state = dir.path().join("state");
    let (monitor, server) = (daemon.qmp_socket(), daemon.nbd_socket());
    run("live_backup", &[&monitor, &archive, &state, &server]);
    let mut expected = vec![0; SIZE];
    expected[1 << 20..(1 << 20) + (64 << 10)].fill(0x11);
    assert!(restored(dir.path(), &archive) == expected);
}

#[test]
fn a_disk_of_a_process_is_backed_up_as_it_was_before_a_write() {
    let dir = tempfile::tempdir().unwrap();
    let disk = dir.path().join("disk.raw");
    let before: Vec<u8> = (0..SIZE)
        .map(|n| (n / 4096 % 251).to_le_bytes()[0])
        .collect();
    fs::write(&disk, &before).unwrap();
    let archive = dir.path().join("archive.vma");
    run("own_disk", &[&disk, &archive, &dir.path().join("state")]);
    assert!(restored(dir.path(), &archive) == before);
    assert!(fs::read(&disk).unwrap().starts_with(b"written after"));
}
