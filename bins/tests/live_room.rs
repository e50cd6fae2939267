//! Fleecing images on the file system of the guest's own sparse disks, which need the same room.

#![expect(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod support;

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use fleece_lab::{Disk, Format, Guest, StorageDaemon};
use fleece_qmp_client::Client;
use support::mounted::Tmpfs;
use support::running::Running;
use support::{Bench, daemon};

const MIB: usize = 1 << 20;
const SOON: Duration = Duration::from_secs(60);

/// A file system of 24 MiB with a disk of 64 MiB, of which 11 are written, and a folder for images.
struct Small {
    bench: Bench,
    _mounted: Tmpfs,
}

impl Small {
    fn new() -> Option<Self> {
        fleece_lab::require("mount")?;
        let bench = Bench::new();
        let point = bench.path("small");
        fs::create_dir(&point).unwrap();
        let mounted = Tmpfs::mount(point, "24m");
        let small = Self {
            bench,
            _mounted: mounted,
        };
        let disk = File::create(small.disk()).unwrap();
        disk.set_len(64 << 20).unwrap();
        disk.write_all_at(&vec![0x11; 11 * MIB], 0).unwrap();
        fs::create_dir(small.images()).unwrap();
        Some(small)
    }

    fn disk(&self) -> PathBuf {
        self.bench.path("small").join("disk.raw")
    }

    fn images(&self) -> PathBuf {
        self.bench.path("small").join("images")
    }

    /// A backup that takes long, with its images beside the disk.
    fn backup(&self) -> Command {
        let mut command = self.bench.fleece("backup");
        command.args(["--vmid", "7", "--bwlimit", "100K"]);
        command.arg("--to").arg(self.bench.path("archives"));
        command.arg("--fleecing").arg(self.images());
        command
    }

    fn assert_clean(&self) {
        self.bench.assert_clean_folders();
        self.bench.assert_no_archive();
        assert!(support::entries(&self.images()).is_empty());
    }
}

#[test]
fn a_backup_ends_before_its_images_take_the_last_room_of_the_guests_disk() {
    for qemu in fleece_lab::qemus() {
        let Some(small) = Small::new() else { return };
        let disk = Disk::image(small.disk(), Format::Raw).throttled();
        let daemon = StorageDaemon::builder(&qemu).disk(disk).export().start();
        let daemon = daemon.unwrap();
        let mut backup = small.backup();
        backup.arg("--qmp").arg(daemon.qmp_socket());
        let mut running = Running::start(backup.arg("--nbd-server").arg(daemon.nbd_socket()));
        running.until("which may yet take");
        running.until("copy-before-write is active");
        daemon::io(&qemu, &daemon, 0, "write -P 0x55 0 10M");
        running.end().expect(6, &["that the guest's disks share"]);
        small.assert_clean();
        support::assert_clean_qemu(&daemon.qmp_socket());
        // There is room for the guest again.
        daemon::io(&qemu, &daemon, 0, "write -P 0x66 16M 10M");
    }
}

#[test]
fn a_guest_that_needs_the_room_of_the_images_gets_it_and_goes_on() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let Some(small) = Small::new() else { return };
    let guest = Guest::builder(&qemu)
        .disk(Disk::image(small.disk(), Format::Raw))
        .boot()
        .unwrap();
    let write = |from: u32, count: u32| {
        let of = "of=/dev/disk0 bs=1M oflag=direct";
        let line = format!("dd if=/dev/urandom {of} seek={from} count={count}");
        guest.spawn(&line).unwrap()
    };
    let mut backup = small.backup();
    let mut running = Running::start(backup.arg("--qmp").arg(guest.qmp_socket()));
    running.until("copy-before-write is active");
    // The images take 10 MiB of old data; then there are 3 for 6.
    write(0, 10).wait(SOON).unwrap();
    let writing = write(16, 6);
    running.end().expect(6, &["--fleecing"]);
    small.assert_clean();
    support::assert_clean_qemu(&guest.test_socket());
    writing.wait(SOON).unwrap();
    support::assert_running(&guest.test_socket());
}

#[test]
fn a_guest_that_finds_no_room_ends_the_backup_even_if_its_images_are_elsewhere() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let Some(small) = Small::new() else { return };
    let guest = Guest::builder(&qemu)
        .disk(Disk::image(small.disk(), Format::Raw))
        .boot()
        .unwrap();
    let mut backup = small.bench.backup(&guest.qmp_socket());
    let mut running = Running::start(backup.args(["--bwlimit", "100K"]));
    running.until("copy-before-write is active");
    // There is room for 13 MiB.
    let line = "dd if=/dev/zero of=/dev/disk0 bs=1M oflag=direct seek=16 count=16";
    let writing = guest.spawn(line).unwrap();
    running
        .end()
        .expect(6, &["finds no room for what the guest writes"]);
    small.assert_clean();
    support::assert_clean_qemu(&guest.test_socket());
    // It was continued, and stands still again.
    let client = Client::connect_unix(guest.test_socket()).unwrap();
    let start = Instant::now();
    while client.execute_raw("query-status", None).unwrap()["status"] != "io-error" {
        assert!(start.elapsed() < SOON);
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(client);
    // A backup cannot help it, and says so before it begins.
    let mut again = small.bench.backup(&guest.qmp_socket());
    let ended = support::ended::Ended::of(&mut again);
    ended.expect(5, &["its storage is full", "`cont`"]);
    small.assert_clean();
    support::succeed(
        Command::new("mount")
            .args(["-o", "remount,size=64m"])
            .arg(small.bench.path("small")),
    );
    let client = Client::connect_unix(guest.test_socket()).unwrap();
    client.execute_raw("cont", None).unwrap();
    drop(client);
    writing.wait(SOON).unwrap();
}
