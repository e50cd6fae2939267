//! A backup of a guest that writes is ended at every step there is: by SIGKILL, by the signals that it
//! handles, by a panic. The guest writes on; a clean-up leaves nothing; the next backup works.
//!
//! `Step::ALL` drives it, so a new step is covered by itself. `cargo xtask faults --long` runs it with
//! every method on every QEMU.

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

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Output};
use std::time::Duration;

use fleece_fleecing::Step;
use fleece_lab::{Background, Definition, Disk, Guest, Interface, Qemu, StorageDaemon, order};
use fleece_qmp_client::{Agent, FreezeStatus};
use support::served::{Served, Writer};
use support::{Bench, text};

const SIZE: u64 = 16 << 20;
const THREADS: u32 = 1;
const SLOTS: u64 = 256;
const SOON: Duration = Duration::from_secs(60);

/// A kind of guest, and the method with which QEMUs before 11 are backed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Two disks given as drives: the guest is stopped for the switch.
    Drives,
    /// Two disks with throttle nodes: these are reopened.
    Throttled,
}

/// A guest with an agent, a mounted file system, and a program that writes to the other disks.
struct Field {
    guest: Guest,
    kind: Kind,
    qemu: Qemu,
}

impl Field {
    fn new(qemu: &Qemu, kind: Kind) -> Self {
        let disk = |size| match kind {
            Kind::Drives => Disk::raw(size).define(Definition::Drive),
            Kind::Throttled => Disk::raw(size)
                .interface(Interface::VirtioScsi)
                .define(Definition::Blockdev)
                .throttled(),
        };
        let guest = Guest::builder(qemu)
            .disk(disk(SIZE))
            .disk(disk(SIZE))
            .disk(disk(8 << 20))
            .with_agent()
            .boot()
            .unwrap();
        let file_system = "mke2fs -q /dev/disk2 && mount -t ext4 /dev/disk2 /mnt";
        guest.run(file_system, SOON).unwrap();
        let qemu = qemu.clone();
        Self { guest, kind, qemu }
    }

    fn write(&self) -> Background<'_> {
        let line = format!("writer seq 0 {THREADS} {SLOTS} /dev/disk0 /dev/disk1");
        let writer = self.guest.spawn(&line).unwrap();
        support::await_order(&self.guest, "/dev/disk1");
        writer
    }

    fn backup(&self, bench: &Bench) -> Command {
        let mut command = bench.backup(&self.guest.qmp_socket());
        // With a limit of its own it watches the guest for a moment, not for a second: there are many.
        command.args(["--vmid", "7", "--guest-latency", "1000", "--agent"]);
        command.arg(self.guest.agent_socket());
        command
    }

    /// Whether a backup of this guest passes `step`.
    fn passes(&self, step: Step) -> bool {
        let stops = self.kind == Kind::Drives && self.qemu.version().major < 11;
        step != Step::PauseRecorded || stops
    }

    fn steps(&self) -> impl Iterator<Item = Step> {
        Step::ALL.iter().copied().filter(|step| self.passes(*step))
    }

    fn assert_goes_on(&self, when: &str) {
        support::assert_writes_on(&self.guest, when);
    }

    /// Nothing is left, no file system is frozen, and a backup of everything is of one instant.
    fn assert_as_before(&self, bench: &Bench, when: &str) {
        bench.assert_clean(&self.guest.test_socket());
        let alive = self.guest.run("touch /mnt/alive && sync", SOON);
        alive.unwrap_or_else(|error| panic!("{when}: {error:?}"));
        for archive in support::entries(&bench.path("archives")) {
            // An archive that has its final name is complete.
            assert_one_instant(&archive, when);
            std::fs::remove_file(archive).unwrap();
        }
    }

    fn assert_next_backup_works(&self, bench: &Bench, when: &str) {
        support::succeed(&mut self.backup(bench));
        self.assert_as_before(bench, when);
    }
}

fn assert_one_instant(archive: &std::path::Path, when: &str) {
    let mut disks = support::restore(archive);
    disks.truncate(2);
    let report = order::check(&mut disks, THREADS, SLOTS).unwrap();
    assert!(report.is_one_instant(), "{when}: {report}");
}

fn fault(command: &mut Command, deed: &str, step: Step) -> Output {
    let fault = format!("{deed}@{}", step.name());
    command.env("FLEECE_FAULT", fault).output().unwrap()
}

/// The kinds of guests to go through: one in the short form.
fn fields() -> Vec<(Qemu, Kind)> {
    if !support::is_long() {
        let qemu = fleece_lab::qemu("10.0").into_iter();
        return qemu.map(|qemu| (qemu, Kind::Drives)).collect();
    }
    let with_both = |qemu: Qemu| [(qemu.clone(), Kind::Drives), (qemu, Kind::Throttled)];
    fleece_lab::qemus()
        .into_iter()
        .flat_map(with_both)
        .collect()
}

#[test]
fn sigkill_at_any_step_leaves_nothing_that_a_clean_up_does_not_remove() {
    for (qemu, kind) in fields() {
        let field = Field::new(&qemu, kind);
        let writer = field.write();
        for (number, step) in field.steps().enumerate() {
            let when = format!("QEMU {}, {kind:?}, {step:?}", qemu.version());
            let bench = Bench::new();
            let killed = fault(&mut field.backup(&bench), "kill", step);
            assert_eq!(killed.status.signal(), Some(9), "{when}: {}", text(&killed));
            // Before anything is cleaned up.
            field.assert_goes_on(&when);
            let which = ["7", "--all"][number % 2];
            support::succeed(bench.fleece("cleanup").arg(which));
            field.assert_as_before(&bench, &when);
            field.assert_next_backup_works(&bench, &when);
        }
        support::assert_wrote_well(writer);
    }
}

#[test]
fn a_signal_at_any_step_ends_the_backup_and_undoes_everything() {
    const SIGNALS: [(&str, i32); 3] = [("int", 130), ("term", 143), ("hup", 129)];
    for (qemu, kind) in fields() {
        let field = Field::new(&qemu, kind);
        let writer = field.write();
        for (number, step) in field.steps().enumerate() {
            let (signal, code) = SIGNALS[number % 3];
            let when = format!("QEMU {}, {kind:?}, {signal} at {step:?}", qemu.version());
            let bench = Bench::new();
            let ended = fault(&mut field.backup(&bench), signal, step);
            let archives = support::entries(&bench.path("archives")).len();
            // What comes too late to be of use is of no harm either.
            let expected = if archives == 0 { code } else { 0 };
            let said = text(&ended);
            assert_eq!(ended.status.code(), Some(expected), "{when}: {said}");
            field.assert_as_before(&bench, &when);
        }
        field.assert_goes_on("after all signals");
        support::assert_wrote_well(writer);
    }
}

#[test]
fn a_panic_at_any_step_leaves_the_guest_alone() {
    for (qemu, kind) in fields() {
        let field = Field::new(&qemu, kind);
        let writer = field.write();
        for step in field.steps() {
            let when = format!("QEMU {}, {kind:?}, panic at {step:?}", qemu.version());
            let bench = Bench::new();
            let ended = fault(&mut field.backup(&bench), "panic", step);
            let said = text(&ended);
            let in_pipeline = matches!(step, Step::Read | Step::Encoded | Step::Stored);
            if in_pipeline || matches!(step, Step::Synced | Step::Renamed) {
                assert_eq!(ended.status.code(), Some(1), "{when}: {said}");
                assert!(said.contains("a worker thread panicked"), "{when}: {said}");
            } else {
                assert_eq!(ended.status.code(), Some(101), "{when}: {said}");
            }
            if !in_pipeline {
                support::succeed(bench.fleece("cleanup").arg("7"));
            }
            field.assert_as_before(&bench, &when);
        }
        field.assert_goes_on("after all panics");
        support::assert_wrote_well(writer);
    }
}

#[test]
fn a_guest_that_was_frozen_when_sigkill_came_is_thawed_by_the_clean_up() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let field = Field::new(&qemu, Kind::Drives);
    let status = || {
        let mut agent = Agent::connect_unix(field.guest.agent_socket()).unwrap();
        agent.fsfreeze_status(SOON).unwrap()
    };
    let bench = Bench::new();
    let killed = fault(&mut field.backup(&bench), "kill", Step::Frozen);
    assert_eq!(killed.status.signal(), Some(9), "{}", text(&killed));
    assert_eq!(status(), FreezeStatus::Frozen, "the test sees the freeze");
    let cleaned = support::succeed(bench.fleece("cleanup").arg("7"));
    assert!(text(&cleaned).contains("freeze"), "{}", text(&cleaned));
    assert_eq!(status(), FreezeStatus::Thawed);
    field.assert_as_before(&bench, "frozen");
}

#[test]
fn a_clean_up_that_is_killed_is_finished_by_the_next() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let daemon = daemon(&qemu);
    let back = Step::ALL.iter().copied();
    for step in back.filter(|step| (Step::ExportsRemoved..=Step::Forgotten).contains(step)) {
        let bench = Bench::new();
        let killed = fault(&mut backup(&bench, &daemon), "kill", Step::Exported);
        assert_eq!(killed.status.signal(), Some(9), "{}", text(&killed));
        let killed = fault(bench.fleece("cleanup").arg("7"), "kill", step);
        assert_eq!(
            killed.status.signal(),
            Some(9),
            "{step:?}: {}",
            text(&killed)
        );
        support::succeed(bench.fleece("cleanup").arg("7"));
        bench.assert_clean(&daemon.qmp_socket());
    }
}

#[test]
fn what_a_clean_up_cannot_reach_stays_on_record_and_the_rest_goes() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let daemon = daemon(&qemu);
    let bench = Bench::new();
    let killed = fault(&mut backup(&bench, &daemon), "kill", Step::Exported);
    assert_eq!(killed.status.signal(), Some(9), "{}", text(&killed));
    let away = |name| (bench.path(name), bench.path(&format!("{name}-away")));
    for (here, there) in [away("fleecing"), away("archives")] {
        std::fs::rename(here, there).unwrap();
    }
    let cleaned = bench.fleece("cleanup").arg("7").output().unwrap();
    assert_eq!(cleaned.status.code(), Some(3), "{}", text(&cleaned));
    support::assert_clean_qemu(&daemon.qmp_socket());
    for (here, there) in [away("fleecing"), away("archives")] {
        assert!(!support::entries(&there).is_empty(), "the test sees them");
        std::fs::rename(there, here).unwrap();
    }
    support::succeed(bench.fleece("cleanup").arg("7"));
    bench.assert_clean(&daemon.qmp_socket());
}

#[test]
fn sigkill_at_any_step_of_a_backup_of_served_disks_leaves_nothing_either() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let bench = Bench::new();
    let disk = bench.path("disk0.raw");
    std::fs::write(&disk, vec![0x11; SIZE as usize]).unwrap();
    let served = Served::start(&bench, &[&disk]);
    let mut writer = Writer::connect(&bench, &qemu);
    let mut passed = Vec::new();
    for (byte, step) in (1..).zip(Step::ALL) {
        let when = format!("{step:?}");
        let mut backup = bench.fleece("backup");
        let control = bench.path("socket").join("control.sock");
        backup.arg("--native").arg(control).args(["--vmid", "7"]);
        backup.arg("--to").arg(bench.path("archives"));
        backup.arg("--fleecing").arg(bench.path("fleecing"));
        let ended = fault(&mut backup, "kill", *step);
        match ended.status.signal() {
            Some(9) => passed.push(*step),
            _ => assert!(ended.status.success(), "{when}: {}", text(&ended)),
        }
        // It writes on, whatever the server still has of the backup.
        writer.write(byte, 0, SIZE);
        support::succeed(bench.fleece("cleanup").arg("7"));
        served.await_clean(&bench, &qemu);
        served.assert_clean(&bench, &qemu);
        bench.assert_clean_folders();
        writer.verify(byte, 0, SIZE);
        for archive in support::entries(&bench.path("archives")) {
            std::fs::remove_file(archive).unwrap();
        }
    }
    let own = [
        Step::Locked,
        Step::ArchiveRecorded,
        Step::Read,
        Step::Encoded,
        Step::Stored,
        Step::Synced,
        Step::Renamed,
    ];
    assert!(own.iter().all(|step| passed.contains(step)), "{passed:?}");
}

/// A storage daemon whose NBD server serves its disks to others.
fn daemon(qemu: &Qemu) -> StorageDaemon {
    let disk = || Disk::raw(SIZE).throttled();
    let builder = StorageDaemon::builder(qemu).disk(disk()).disk(disk());
    builder.export().start().unwrap()
}

fn backup(bench: &Bench, daemon: &StorageDaemon) -> Command {
    let mut command = bench.backup(&daemon.qmp_socket());
    command.arg("--nbd-server").arg(daemon.nbd_socket());
    command.args(["--vmid", "7"]);
    command
}
