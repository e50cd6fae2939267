//! What others do to a guest, or to our connections with it, while it is backed up.

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

use std::process::Output;
use std::time::Duration;

use fleece_lab::{Background, Definition, Disk, Guest, Qemu, StorageDaemon, order};
use fleece_qmp_client::Client;
use fleece_qmp_client::commands::QueryStatus;
use serde_json::json;
use support::proxy::Proxy;
use support::running::Running;
use support::{Bench, text};

const SIZE: u64 = 32 << 20;
const SLOTS: u64 = 256;
const SOON: Duration = Duration::from_secs(60);

fn guest(qemu: &Qemu) -> Guest {
    let disk = || Disk::raw(SIZE).define(Definition::Drive);
    let guest = Guest::builder(qemu)
        .disk(disk())
        .disk(disk())
        .boot()
        .unwrap();
    let noise = "dd if=/dev/urandom of=/dev/disk1 bs=1M seek=8 count=8 2>/dev/null";
    guest.run(noise, SOON).unwrap();
    guest
}

const WRITE: &str = "writer seq 0 1 256 /dev/disk0 /dev/disk1";

/// A program in the guest that writes in order, and has written.
fn write(guest: &Guest) -> Background<'_> {
    let writer = guest.spawn(WRITE).unwrap();
    support::await_order(guest, "/dev/disk1");
    writer
}

fn assert_one_instant(bench: &Bench) {
    let report = order::check(&mut bench.restore(), 1, SLOTS).unwrap();
    assert!(report.is_one_instant(), "{report}");
}

fn assert_code(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}", text(output));
}

#[test]
fn a_guest_that_somebody_stops_stays_stopped_and_one_that_is_continued_runs() {
    for qemu in fleece_lab::qemus() {
        let guest = guest(&qemu);
        let writer = write(&guest);
        let bench = Bench::new();
        let backup = Running::begin(&mut bench.backup(&guest.qmp_socket()));
        let test = Client::connect_unix(guest.test_socket()).unwrap();
        test.execute_raw("stop", None).unwrap();
        backup.end().expect_code(0);
        // It is theirs to continue.
        assert!(!test.execute(&QueryStatus {}).unwrap().running);
        drop(test);
        bench.assert_clean(&guest.test_socket());
        assert_one_instant(&bench);

        // Stopped before the backup, continued in it.
        let bench = Bench::new();
        let backup = Running::begin(&mut bench.backup(&guest.qmp_socket()));
        let test = Client::connect_unix(guest.test_socket()).unwrap();
        assert!(!test.execute(&QueryStatus {}).unwrap().running);
        test.execute_raw("cont", None).unwrap();
        drop(test);
        support::assert_writes_on(&guest, "continued");
        backup.end().expect_code(0);
        bench.assert_clean(&guest.test_socket());
        assert_one_instant(&bench);
        support::assert_wrote_well(writer);
    }
}

#[test]
fn a_guest_that_is_reset_is_backed_up_all_the_same() {
    for qemu in fleece_lab::qemus() {
        let guest = guest(&qemu);
        let writer = write(&guest);
        writer.stop(SOON).unwrap();
        let bench = Bench::new();
        let backup = Running::begin(&mut bench.backup(&guest.qmp_socket()));
        let test = Client::connect_unix(guest.test_socket()).unwrap();
        // The lab's QEMU ends at a reset unless it is told otherwise.
        let action = json!({"reboot": "reset"});
        test.execute_raw("set-action", Some(action)).unwrap();
        test.execute_raw("system_reset", None).unwrap();
        drop(test);
        backup.end().expect_code(0);
        bench.assert_clean(&guest.test_socket());
        assert_one_instant(&bench);
        support::assert_running(&guest.test_socket());
    }
}

#[test]
fn a_guest_that_shuts_down_ends_the_backup_with_that_cause() {
    for qemu in fleece_lab::qemus() {
        let mut guest = guest(&qemu);
        let bench = Bench::new();
        let backup = Running::begin(&mut bench.backup(&guest.qmp_socket()));
        // QEMU itself ends well, with our filters in it.
        guest.shutdown().unwrap();
        backup.end().expect_code(5);
        bench.assert_clean_folders();
        assert!(support::entries(&bench.path("archives")).is_empty());
    }
}

#[test]
fn a_disk_that_somebody_resizes_does_the_guest_no_harm() {
    for qemu in fleece_lab::qemus() {
        let guest = guest(&qemu);
        let writer = write(&guest);
        let bench = Bench::new();
        let backup = Running::begin(&mut bench.backup(&guest.qmp_socket()));
        let test = Client::connect_unix(guest.test_socket()).unwrap();
        let resize = json!({"device": "drive-virtio1", "size": 2 * SIZE});
        let resized = test.execute_raw("block_resize", Some(resize)).is_ok();
        drop(test);
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
        support::assert_writes_on(&guest, "after the resize");
        support::assert_wrote_well(writer);
    }
}

#[test]
fn a_monitor_connection_that_is_cut_is_made_again_for_the_way_back() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let guest = guest(&qemu);
    let writer = write(&guest);
    let bench = Bench::new();
    let proxy = Proxy::start(bench.path("monitor"), &guest.qmp_socket());
    let backup = Running::begin(&mut bench.backup(proxy.path()));
    proxy.cut();
    backup.end().expect_code(0);
    bench.assert_clean(&guest.test_socket());
    assert_one_instant(&bench);
    support::assert_writes_on(&guest, "after the cut");
    support::assert_wrote_well(writer);
}

#[test]
fn a_monitor_that_vanishes_while_qemu_runs_leaves_everything_on_record() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let guest = guest(&qemu);
    let writer = write(&guest);
    let bench = Bench::new();
    let proxy = Proxy::start(bench.path("monitor"), &guest.qmp_socket());
    let backup = Running::begin(&mut bench.backup(proxy.path()));
    proxy.vanish();
    let said = backup.end().expect_code(3);
    assert!(said.contains("QEMU still serves"), "{said}");
    // What QEMU uses is not freed under it.
    assert_eq!(support::entries(&bench.path("fleecing")).len(), 2);
    support::assert_writes_on(&guest, "without a monitor");
    let mut cleanup = bench.fleece("cleanup");
    let cleanup = cleanup.args(["7", "--qmp"]).arg(guest.qmp_socket());
    support::succeed(cleanup);
    bench.assert_clean(&guest.test_socket());
    support::assert_wrote_well(writer);
}

#[test]
fn an_nbd_connection_that_is_cut_ends_the_backup_with_that_cause() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let disk = || Disk::raw(SIZE).throttled();
    let builder = StorageDaemon::builder(&qemu).disk(disk()).disk(disk());
    let daemon = builder.export().start().unwrap();
    let fill = ["-f", "raw", "-c", "write -P 0x11 0 16M"];
    support::succeed(qemu.io().args(fill).arg(daemon.nbd_uri(0)));
    let bench = Bench::new();
    let proxy = Proxy::start(bench.path("nbd"), &daemon.nbd_socket());
    let mut command = bench.backup(&daemon.qmp_socket());
    let backup = Running::begin(command.arg("--nbd-server").arg(proxy.path()));
    proxy.cut();
    let said = backup.end().expect_code(5);
    assert!(said.contains("connection"), "{said}");
    bench.assert_clean(&daemon.qmp_socket());
    assert!(support::entries(&bench.path("archives")).is_empty());
    let read = ["-f", "raw", "-c", "read -P 0x11 0 16M"];
    support::succeed(qemu.io().args(read).arg(daemon.nbd_uri(0)));
}

#[test]
fn a_clean_up_of_all_guests_passes_over_one_that_is_being_backed_up() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let guest = guest(&qemu);
    let bench = Bench::new();
    let backup = Running::begin(&mut bench.backup(&guest.qmp_socket()));
    // What a backup of another guest left.
    let left = bench.path("archives").join("left.tmp");
    std::fs::write(&left, "").unwrap();
    let record = format!("files: [{left:?}]\n");
    std::fs::write(bench.path("state").join("8.state"), record).unwrap();
    let cleaned = bench.fleece("cleanup").arg("--all").output().unwrap();
    assert_code(&cleaned, 3);
    assert!(text(&cleaned).contains("7: process "), "{}", text(&cleaned));
    assert!(!left.exists(), "{}", text(&cleaned));
    backup.end().expect_code(0);
    bench.assert_clean(&guest.test_socket());
    bench.restore();
}

#[test]
fn a_second_backup_under_another_name_is_refused_and_disturbs_nothing() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let guest = guest(&qemu);
    let writer = write(&guest);
    let bench = Bench::new();
    let backup = Running::begin(&mut bench.backup(&guest.qmp_socket()));
    let other = Bench::new();
    let mut second = other.backup(&guest.test_socket());
    let refused = second.args(["--vmid", "8"]).output().unwrap();
    assert_code(&refused, 1);
    let said = text(&refused);
    assert!(
        said.contains("is being backed up under another name"),
        "{said}"
    );
    other.assert_clean_folders();
    backup.end().expect_code(0);
    bench.assert_clean(&guest.test_socket());
    assert_one_instant(&bench);
    support::assert_wrote_well(writer);
}
