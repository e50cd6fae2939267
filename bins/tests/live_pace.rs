//! The guest comes first: reading gives way to a guest that writes, and a dead target is not its problem.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may fail by a panic"
)]

mod support;

use std::io::{BufRead as _, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use fleece_lab::{Definition, Disk, Guest, Interface};
use fleece_qmp_client::Client;
use fleece_qmp_client::commands::{BlockLatencyHistogramSet, LatencyHistogram, QueryBlockStats};
use serde_json::Value;
use support::Bench;

const SIZE: u64 = 64 << 20;
const SOON: Duration = Duration::from_secs(120);

fn guest() -> Option<Guest> {
    let qemu = fleece_lab::qemu("10.0")?;
    let disk = Disk::raw(SIZE)
        .interface(Interface::VirtioBlk)
        .define(Definition::Drive);
    let guest = Guest::builder(&qemu).disk(disk).boot().unwrap();
    guest
        .run("writer fill 0 67108864 1 /dev/disk0", SOON)
        .unwrap();
    Some(guest)
}

/// A backup to a pipe that nobody reads, so that it cannot end, and what it reports.
struct Stuck {
    child: Child,
    reports: Lines<BufReader<ChildStderr>>,
}

impl Stuck {
    fn start(bench: &Bench, guest: &Guest, options: &[&str]) -> Self {
        let mut command = bench.fleece("backup");
        command.arg("--qmp").arg(guest.qmp_socket());
        command.arg("--fleecing").arg(bench.path("fleecing"));
        command.args(["--vmid", "7", "--json", "--compress", "none", "--to", "-"]);
        command.args(options);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let reports = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, reports }
    }

    /// The reads in flight of the first report that is as wanted.
    fn until(&mut self, wanted: impl Fn(f64) -> bool) -> f64 {
        loop {
            let line = self.reports.next().expect("the backup goes on").unwrap();
            let report: Value = serde_json::from_str(&line).unwrap();
            assert_ne!(report["event"], "error", "{report}");
            if let Some(depth) = report["depth"].as_f64().filter(|depth| wanted(*depth)) {
                return depth;
            }
        }
    }

    fn end(mut self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").arg(id).status().unwrap().success());
        assert_eq!(self.child.wait().unwrap().code(), Some(143));
    }
}

fn write_histogram(socket: &Path) -> Option<LatencyHistogram> {
    let client = Client::connect_unix(socket).unwrap();
    let disks = client.execute(&QueryBlockStats { query_nodes: None });
    let mut disks = disks.unwrap().into_iter();
    disks.find_map(|disk| disk.stats.wr_latency_histogram)
}

#[test]
fn reading_gives_way_to_a_guest_that_begins_to_write_and_comes_back_when_it_stops() {
    let Some(guest) = guest() else { return };
    let bench = Bench::new();
    // No guest can be as fast as this.
    let mut backup = Stuck::start(&bench, &guest, &["--guest-latency", "0.01"]);
    assert_eq!(backup.until(|_| true), 8.0, "the guest is idle");
    let writer = guest.spawn("writer latency 1000 4096 33554432 /dev/disk0");
    backup.until(|depth| depth <= 1.0);
    writer.unwrap().stop(SOON).unwrap();
    backup.until(|depth| depth == 8.0);
    backup.end();
    bench.assert_clean(&guest.test_socket());
}

#[test]
fn a_guest_that_tolerates_it_is_read_faster_and_faster() {
    const LARGE: u64 = 512 << 20;
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let guest = Guest::builder(&qemu).disk(Disk::raw(LARGE)).boot().unwrap();
    guest
        .run(&format!("writer fill 0 {LARGE} 1 /dev/disk0"), SOON)
        .unwrap();
    let bench = Bench::new();
    let writer = guest.spawn("writer latency 1000 4096 33554432 /dev/disk0");
    let mut backup = bench.backup(&guest.qmp_socket());
    backup.args(["--vmid", "7", "--json", "--compress", "none"]);
    backup.args(["--guest-latency", "10000"]);
    let output = support::succeed(&mut backup);
    let reports = String::from_utf8(output.stdout).unwrap();
    let depths = reports
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).unwrap()["depth"].as_f64());
    // It begins with one read of an eighth of the size.
    assert!(depths.fold(0.0, f64::max) >= 2.0, "{reports}");
    writer.unwrap().stop(SOON).unwrap();
    bench.assert_clean(&guest.test_socket());
}

#[test]
fn a_target_that_takes_nothing_does_not_hold_the_guests_writes() {
    let Some(guest) = guest() else { return };
    let bench = Bench::new();
    let mut backup = Stuck::start(&bench, &guest, &[]);
    backup.until(|_| true);
    // Every cluster of the disk, while the backup is stuck: what it has not read is saved.
    guest
        .run("writer fill 0 67108864 2 /dev/disk0", SOON)
        .unwrap();
    backup.until(|_| true);
    backup.end();
    bench.assert_clean(&guest.test_socket());
}

#[test]
fn writes_are_counted_by_latency_during_a_backup_and_no_longer() {
    let Some(guest) = guest() else { return };
    let bench = Bench::new();
    let mut backup = Stuck::start(&bench, &guest, &[]);
    backup.until(|_| true);
    assert!(write_histogram(&guest.test_socket()).is_some());
    backup.end();
    assert_eq!(write_histogram(&guest.test_socket()), None);
    // After SIGKILL the clean-up does it.
    let mut backup = Stuck::start(&bench, &guest, &[]);
    backup.until(|_| true);
    backup.child.kill().unwrap();
    backup.child.wait().unwrap();
    assert!(write_histogram(&guest.test_socket()).is_some());
    support::succeed(bench.fleece("cleanup").arg("7"));
    assert_eq!(write_histogram(&guest.test_socket()), None);
}

/// Before, QEMU could crash: it counted in one thread, and ended the counting in another.
#[test]
fn writes_in_an_iothread_are_counted_only_where_qemu_does_that_under_a_lock() {
    for (version, counts) in [("10.0", false), ("11.1", true)] {
        let Some(qemu) = fleece_lab::qemu(version) else {
            return;
        };
        let disk = Disk::raw(SIZE)
            .interface(Interface::VirtioBlk)
            .define(Definition::Blockdev)
            .iothread();
        let guest = Guest::builder(&qemu).disk(disk).boot().unwrap();
        guest
            .run("writer fill 0 67108864 1 /dev/disk0", SOON)
            .unwrap();
        let bench = Bench::new();
        let mut backup = Stuck::start(&bench, &guest, &[]);
        backup.until(|_| true);
        let counted = write_histogram(&guest.test_socket()).is_some();
        assert_eq!(counted, counts, "QEMU {version}");
        backup.end();
        bench.assert_clean(&guest.test_socket());
    }
}

#[test]
fn a_histogram_of_somebody_else_is_left_alone() {
    let Some(guest) = guest() else { return };
    let bench = Bench::new();
    let theirs = BlockLatencyHistogramSet {
        id: "/machine/peripheral/virtio0/virtio-backend".into(),
        boundaries_write: Some(vec![1_000_000, 10_000_000]),
        ..Default::default()
    };
    let client = Client::connect_unix(guest.test_socket()).unwrap();
    client.execute(&theirs).unwrap();
    drop(client);
    let before = write_histogram(&guest.test_socket()).unwrap();
    support::succeed(bench.backup(&guest.qmp_socket()).args(["--vmid", "7"]));
    let after = write_histogram(&guest.test_socket()).unwrap();
    assert_eq!(after.boundaries, before.boundaries);
    assert!(after.bins.iter().sum::<u64>() >= before.bins.iter().sum());
}
