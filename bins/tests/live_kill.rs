//! A backup of a guest that writes is ended at every step there is: by SIGKILL, by the signals that it
//! handles, by a panic. The guest writes on; a clean-up leaves nothing; the next backup works.
//!
//! `Step::ALL` drives it, so a new step is covered by itself. `cargo xtask faults --long` runs it with
//! every method on every QEMU.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test may fail by a panic"
)]

mod support;

use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;
use std::time::Duration;

use fleece_fleecing::Step;
use fleece_lab::{Background, Definition, Disk, Guest, Interface, Qemu, StorageDaemon};
use fleece_qmp_client::{Agent, FreezeStatus};
use support::ended::Ended;
use support::served::{Served, Writer};
use support::{Bench, daemon, ordered};

const SIZE: u64 = 16 << 20;
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
        ordered::write(&self.guest, 1, "/dev/disk0 /dev/disk1")
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
        match step {
            Step::PauseRecorded => self.kind == Kind::Drives && self.qemu.version().major < 11,
            // Those of `--mode stop`: `live_modes.rs`.
            Step::StopRecorded | Step::PoweringDown | Step::PoweredDown | Step::StartedAgain => {
                false
            }
            // Those of libvirt's own backup: `live_libvirt/native.rs`.
            Step::PullRecorded | Step::Pulled | Step::PullEnded => false,
            _ => true,
        }
    }

    fn steps(&self) -> impl Iterator<Item = Step> {
        Step::ALL.iter().copied().filter(|step| self.passes(*step))
    }

    fn assert_goes_on(&self, when: &str) {
        ordered::assert_writes_on(&self.guest, when);
    }

    /// Nothing is left, no file system is frozen, and a backup of everything is of one instant.
    fn assert_as_before(&self, bench: &Bench, when: &str) {
        bench.assert_clean(&self.guest.test_socket());
        let alive = self.guest.run("touch /mnt/alive && sync", SOON);
        alive.unwrap_or_else(|error| panic!("{when}: {error:?}"));
        for archive in support::archives(&bench.path("archives")) {
            // An archive that has its final name is complete.
            let mut disks = support::restore(&archive);
            disks.truncate(2);
            ordered::assert_one_instant(&mut disks, 1, when);
            std::fs::remove_file(archive).unwrap();
        }
    }

    fn assert_next_backup_works(&self, bench: &Bench, when: &str) {
        support::succeed(&mut self.backup(bench));
        self.assert_as_before(bench, when);
    }
}

/// Runs `command`, which does `deed` to itself at `step`.
fn fault(command: &mut Command, deed: &str, step: Step) -> Ended {
    let fault = format!("{deed}@{}", step.name());
    Ended::of(command.env("FLEECE_FAULT", fault))
}

/// Runs `command`, which is killed at `step`.
fn kill(command: &mut Command, step: Step) {
    let killed = fault(command, "kill", step);
    assert_eq!(killed.status.signal(), Some(9), "{step:?}: {}", killed.said);
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
            assert_eq!(killed.status.signal(), Some(9), "{when}: {}", killed.said);
            // Before anything is cleaned up.
            field.assert_goes_on(&when);
            let which = ["7", "--all"][number % 2];
            support::succeed(bench.fleece("cleanup").arg(which));
            field.assert_as_before(&bench, &when);
            field.assert_next_backup_works(&bench, &when);
        }
        ordered::assert_wrote_well(writer);
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
            let archives = support::archives(&bench.path("archives")).len();
            // What comes too late to be of use is of no harm either.
            let expected = if archives == 0 { code } else { 0 };
            let said = ended.said;
            assert_eq!(ended.status.code(), Some(expected), "{when}: {said}");
            field.assert_as_before(&bench, &when);
        }
        field.assert_goes_on("after all signals");
        ordered::assert_wrote_well(writer);
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
            let said = ended.said;
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
        ordered::assert_wrote_well(writer);
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
    kill(&mut field.backup(&bench), Step::Frozen);
    assert_eq!(status(), FreezeStatus::Frozen, "the test sees the freeze");
    Ended::of(bench.fleece("cleanup").arg("7")).expect(0, &["freeze"]);
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
        kill(&mut daemon::backup(&bench, &daemon), Step::Exported);
        kill(bench.fleece("cleanup").arg("7"), step);
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
    kill(&mut daemon::backup(&bench, &daemon), Step::Exported);
    let away = |name| (bench.path(name), bench.path(&format!("{name}-away")));
    for (here, there) in [away("fleecing"), away("archives")] {
        std::fs::rename(here, there).unwrap();
    }
    Ended::of(bench.fleece("cleanup").arg("7")).expect_code(3);
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
        let mut backup = bench.backup_served();
        let ended = fault(backup.args(["--vmid", "7"]), "kill", *step);
        match ended.status.signal() {
            Some(9) => passed.push(*step),
            _ => assert!(ended.status.success(), "{step:?}: {}", ended.said),
        }
        // It writes on, whatever the server still has of the backup.
        writer.write(byte, 0, SIZE);
        support::succeed(bench.fleece("cleanup").arg("7"));
        served.await_clean(&bench, &qemu);
        served.assert_clean(&bench, &qemu);
        bench.assert_clean_folders();
        writer.verify(byte, 0, SIZE);
        for archive in support::archives(&bench.path("archives")) {
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
