//! What others do to a guest, or to our connections with it, while it is backed up.

#![expect(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod support;

use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::time::Duration;

use fleece_lab::{Background, Definition, Disk, Guest, Qemu, StorageDaemon};
use fleece_qmp_client::Client;
use fleece_qmp_client::commands::QueryStatus;
use serde_json::json;
use support::Bench;
use support::ended::Ended;
use support::proxy::Proxy;
use support::running::Running;
use support::{daemon, ordered};

const SIZE: u64 = 32 << 20;
const SOON: Duration = Duration::from_secs(60);

fn guest(qemu: &Qemu) -> Guest {
    let disk = || Disk::raw(SIZE).define(Definition::Drive);
    let builder = Guest::builder(qemu).disk(disk()).disk(disk());
    let guest = builder.boot().unwrap();
    let noise = "dd if=/dev/urandom of=/dev/disk1 bs=1M seek=8 count=8 2>/dev/null";
    guest.run(noise, SOON).unwrap();
    guest
}

fn the_guest() -> Option<Guest> {
    Some(guest(&fleece_lab::qemu("10.0")?))
}

/// A program in the guest that writes in order, and has written.
fn write(guest: &Guest) -> Background<'_> {
    ordered::write(guest, 1, "/dev/disk0 /dev/disk1")
}

/// A backup of the guest at work, in a bench of its own.
fn begin(guest: &Guest) -> (Bench, Running) {
    let bench = Bench::new();
    let backup = Running::begin(&mut bench.backup(&guest.qmp_socket()));
    (bench, backup)
}

/// The same with a proxy before the guest's monitor.
fn begin_behind_proxy(guest: &Guest) -> (Bench, Running, Proxy) {
    let bench = Bench::new();
    let proxy = Proxy::start(bench.path("monitor"), &guest.qmp_socket());
    let backup = Running::begin(&mut bench.backup(proxy.path()));
    (bench, backup, proxy)
}

/// Somebody else's client. The socket takes one at a time, so it is not kept.
fn monitor(guest: &Guest) -> Client {
    Client::connect_unix(guest.test_socket()).unwrap()
}

fn is_running(guest: &Guest) -> bool {
    monitor(guest).execute(&QueryStatus {}).unwrap().running
}

/// The backup ends well, with an archive of one instant and nothing left in QEMU.
fn assert_completes(backup: Running, bench: &Bench, guest: &Guest) {
    backup.end().expect_code(0);
    bench.assert_clean(&guest.test_socket());
    assert_one_instant(bench);
}

fn assert_one_instant(bench: &Bench) {
    ordered::assert_one_instant(&mut bench.restore(), 1, "");
}

#[test]
fn a_guest_that_somebody_stops_stays_stopped_and_one_that_is_continued_runs() {
    for qemu in fleece_lab::qemus() {
        let guest = guest(&qemu);
        let writer = write(&guest);
        let (bench, backup) = begin(&guest);
        monitor(&guest).execute_raw("stop", None).unwrap();
        assert_completes(backup, &bench, &guest);
        // It is theirs to continue.
        assert!(!is_running(&guest));

        // Stopped before the backup, continued in it.
        let (bench, backup) = begin(&guest);
        assert!(!is_running(&guest));
        monitor(&guest).execute_raw("cont", None).unwrap();
        ordered::assert_writes_on(&guest, "continued");
        assert_completes(backup, &bench, &guest);
        ordered::assert_wrote_well(writer);
    }
}

#[test]
fn what_a_guest_trims_during_its_backup_gives_its_space_back() {
    // The newest has the method that would swallow it.
    let Some(qemu) = fleece_lab::qemus().pop() else {
        return;
    };
    let disk = Disk::raw(SIZE).discards();
    let guest = Guest::builder(&qemu).disk(disk).boot().unwrap();
    let fill = "dd if=/dev/urandom of=/dev/disk0 bs=1M count=16 conv=fsync 2>/dev/null";
    guest.run(fill, SOON).unwrap();
    let image = guest.disk_path(0);
    let before = std::fs::read(image).unwrap();
    let space = || image.metadata().unwrap().blocks() * 512;
    let full = space();
    let (bench, backup) = begin(&guest);
    guest
        .run("blkdiscard -o 4M -l 8M /dev/disk0", SOON)
        .unwrap();
    let left = space();
    assert!(left + (8 << 20) <= full, "{full} {left}");
    backup.end().expect_code(0);
    bench.assert_clean(&guest.test_socket());
    let mut archived = vec![0; before.len()];
    let disk = bench.restore().remove(0);
    disk.read_exact_at(&mut archived, 0).unwrap();
    assert!(archived == before, "what was trimmed is of the instant");
}

#[test]
fn a_guest_that_is_reset_is_backed_up_all_the_same() {
    for qemu in fleece_lab::qemus() {
        let guest = guest(&qemu);
        write(&guest).stop(SOON).unwrap();
        let (bench, backup) = begin(&guest);
        // The lab's QEMU ends at a reset unless it is told otherwise.
        let action = json!({"reboot": "reset"});
        let test = monitor(&guest);
        test.execute_raw("set-action", Some(action)).unwrap();
        test.execute_raw("system_reset", None).unwrap();
        drop(test);
        assert_completes(backup, &bench, &guest);
        assert!(is_running(&guest));
    }
}

#[test]
fn a_guest_that_shuts_down_ends_the_backup_with_that_cause() {
    for qemu in fleece_lab::qemus() {
        let mut guest = guest(&qemu);
        // The backup must take longer than the guest does to go down.
        let noise = "dd if=/dev/urandom of=/dev/disk0 bs=1M count=16 2>/dev/null";
        guest.run(noise, SOON).unwrap();
        let (bench, backup) = begin(&guest);
        // QEMU itself ends well, with our filters in it.
        guest.shutdown().unwrap();
        backup.end().expect_code(5);
        bench.assert_clean_folders();
        bench.assert_no_archive();
    }
}

#[test]
fn a_disk_that_somebody_resizes_does_the_guest_no_harm() {
    for qemu in fleece_lab::qemus() {
        let guest = guest(&qemu);
        let writer = write(&guest);
        let (bench, backup) = begin(&guest);
        let resize = json!({"device": "drive-virtio1", "size": 2 * SIZE});
        let resized = monitor(&guest).execute_raw("block_resize", Some(resize));
        let resized = resized.is_ok();
        if resized {
            // The guest writes where the fleecing image ends.
            let places =
                "until dd if=/dev/zero of=/dev/disk1 bs=1M seek=48 count=1 conv=fsync; do :; done";
            guest.run(places, SOON).unwrap();
        }
        let ended = backup.end();
        eprintln!(
            "QEMU {}: resized: {resized}, {}",
            qemu.version(),
            ended.said
        );
        bench.assert_clean(&guest.test_socket());
        if ended.status.success() {
            assert_one_instant(&bench);
        }
        ordered::assert_writes_on(&guest, "after the resize");
        ordered::assert_wrote_well(writer);
    }
}

#[test]
fn a_monitor_connection_that_is_cut_is_made_again_for_the_way_back() {
    let Some(guest) = the_guest() else { return };
    let writer = write(&guest);
    let (bench, backup, proxy) = begin_behind_proxy(&guest);
    proxy.cut();
    assert_completes(backup, &bench, &guest);
    ordered::assert_writes_on(&guest, "after the cut");
    ordered::assert_wrote_well(writer);
}

#[test]
fn a_monitor_that_vanishes_while_qemu_runs_leaves_everything_on_record() {
    let Some(guest) = the_guest() else { return };
    let writer = write(&guest);
    let (bench, backup, proxy) = begin_behind_proxy(&guest);
    proxy.vanish();
    backup.end().expect(3, &["QEMU still serves"]);
    // What QEMU uses is not freed under it.
    assert_eq!(support::entries(&bench.path("fleecing")).len(), 2);
    ordered::assert_writes_on(&guest, "without a monitor");
    let mut cleanup = bench.fleece("cleanup");
    let cleanup = cleanup.args(["7", "--qmp"]).arg(guest.qmp_socket());
    support::succeed(cleanup);
    bench.assert_clean(&guest.test_socket());
    ordered::assert_wrote_well(writer);
}

#[test]
fn an_nbd_connection_that_is_cut_ends_the_backup_with_that_cause() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let disk = || Disk::raw(SIZE).throttled();
    let builder = StorageDaemon::builder(&qemu).disk(disk()).disk(disk());
    let daemon = builder.export().start().unwrap();
    daemon::io(&qemu, &daemon, 0, "write -P 0x11 0 16M");
    let bench = Bench::new();
    let proxy = Proxy::start(bench.path("nbd"), &daemon.nbd_socket());
    let mut command = bench.backup(&daemon.qmp_socket());
    let backup = Running::begin(command.arg("--nbd-server").arg(proxy.path()));
    proxy.cut();
    backup.end().expect(5, &["connection"]);
    bench.assert_clean(&daemon.qmp_socket());
    bench.assert_no_archive();
    daemon::io(&qemu, &daemon, 0, "read -P 0x11 0 16M");
}

#[test]
fn a_clean_up_of_all_guests_passes_over_one_that_is_being_backed_up() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let machine = support::machine_with_data(&qemu, "virtio-blk-pci", 8 << 20);
    let bench = Bench::new();
    let backup = Running::begin(&mut bench.backup(&machine.qmp_socket()));
    // What a backup of another guest left.
    let left = bench.path("archives").join(".left.vma.tmp");
    std::fs::write(&left, "").unwrap();
    let record = format!("files: [{left:?}]\n");
    std::fs::write(bench.path("state").join("8.state"), record).unwrap();
    let cleaned = Ended::of(bench.fleece("cleanup").arg("--all"));
    let said = cleaned.expect(3, &["7: process "]);
    assert!(!left.exists(), "{said}");
    backup.end().expect_code(0);
    bench.assert_clean(&machine.test_socket());
    bench.restore();
}

#[test]
fn a_second_backup_or_clean_up_under_another_name_is_refused_and_disturbs_nothing() {
    let Some(guest) = the_guest() else { return };
    let writer = write(&guest);
    let (bench, backup) = begin(&guest);
    let other = Bench::new();
    let mut second = other.backup(&guest.test_socket());
    let refused = Ended::of(second.args(["--vmid", "8"]));
    refused.expect(1, &["is being backed up under another name"]);
    other.assert_clean_folders();
    // Nor does a clean-up take away what is at work, through whatever monitor it comes.
    let mut cleanup = other.fleece("cleanup");
    let refused = Ended::of(cleanup.arg("--qmp").arg(guest.test_socket()));
    refused.expect(3, &["is being backed up under another name"]);
    assert_completes(backup, &bench, &guest);

    // What a lost record leaves, with an NBD server of ours.
    let mut killed = bench.backup(&guest.qmp_socket());
    Ended::of(killed.env("FLEECE_FAULT", "kill@exported"));
    for name in ["state", "archives"] {
        std::fs::remove_dir_all(bench.path(name)).unwrap();
        std::fs::create_dir(bench.path(name)).unwrap();
    }
    let refused = Ended::of(&mut bench.backup(&guest.qmp_socket()));
    let said = refused.expect(1, &["remove what it left: `fleece cleanup"]);
    support::succeed(&mut support::advised(&said, &bench));
    bench.assert_clean(&guest.test_socket());
    support::succeed(&mut bench.backup(&guest.qmp_socket()));
    bench.assert_clean(&guest.test_socket());
    ordered::assert_wrote_well(writer);
}
