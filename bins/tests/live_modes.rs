//! The modes `suspend` and `stop`: a guest that stands still for the instant, or powers down for it and boots again while it
//! is read; and whatever ends the backup meanwhile, the guest runs.

#![expect(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod support;

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;

use fleece_fleecing::Step;
use serde_json::Value;
use support::Bench;
use support::button::Guest;
use support::ended::Ended;
use support::running::Running;

fn backup(bench: &Bench, guest: &Guest, mode: &str) -> Command {
    let mut command = bench.backup(&guest.machine.qmp_socket());
    // With a limit of its own it watches the guest for a moment only.
    command.args(["--mode", mode, "--vmid", "7", "--guest-latency", "1000"]);
    command
}

/// The archive's disks are as they were, and nothing is left.
fn assert_before(bench: &Bench, guest: &Guest) {
    let disks = bench.restore();
    assert_eq!(disks.len(), 2);
    for mut disk in disks {
        let mut data = Vec::new();
        disk.read_to_end(&mut data).unwrap();
        assert!(data == guest.before());
    }
    bench.assert_clean(&guest.machine.test_socket());
}

fn result(said: &str) -> Value {
    serde_json::from_str(said.lines().last().unwrap()).unwrap()
}

#[test]
fn a_guest_powers_down_for_the_instant_and_boots_again_while_it_is_read() {
    for qemu in fleece_lab::qemus() {
        let guest = Guest::boot(&qemu, 1, qemu.version().major == 10);
        let bench = Bench::new();
        let mut command = backup(&bench, &guest, "stop");
        // It writes down in which phases it is called.
        let (hook, called) = (bench.path("hook"), bench.path("called"));
        let script = format!("#!/bin/sh\necho $1 $2 $3 >> {}\n", called.display());
        std::fs::write(&hook, script).unwrap();
        std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
        command.arg("--script").arg(&hook);
        let mut running = Running::start(command.args(["--bwlimit", "8M"]));
        running.until("the guest boots again after");
        let called = std::fs::read_to_string(&called).unwrap();
        let expected = "job-init\njob-start\nbackup-start stop 7\npre-stop stop 7\npre-restart stop 7\npost-restart stop 7\n";
        assert_eq!(called, expected);
        guest.await_boots(2);
        assert_eq!(guest.status(), "running");
        guest.write("write -P 0x55 1M 8M");
        assert!(running.child.try_wait().unwrap().is_none(), "it reads");
        let said = running.end();
        let said = said.expect(0, &["backup mode: stop", "the guest was down"]);
        let result = result(&said);
        assert!(result["down_ms"].as_f64().unwrap() > 0.0, "{result}");
        assert!(result["paused_ms"].is_null(), "{result}");
        assert_before(&bench, &guest);
        guest.assert_ends_when_pressed();
    }
}

#[test]
fn a_guest_that_does_not_power_down_in_time_is_left_as_it_was() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let guest = Guest::boot(&qemu, 2, false);
    let bench = Bench::new();
    let mut command = backup(&bench, &guest, "stop");
    let ended = Ended::of(command.args(["--stop-wait", "1"]));
    ended.expect(5, &["has not powered down within 1 s", "--stop-wait"]);
    bench.assert_no_archive();
    bench.assert_clean(&guest.machine.test_socket());
    assert_eq!((guest.status().as_str(), guest.boots()), ("running", 1));
    guest.assert_ends_when_pressed();
}

/// The steps of a stop, and whether the guest has powered down before.
const STEPS: [(Step, bool); 6] = [
    (Step::StopRecorded, false),
    (Step::PoweringDown, true),
    (Step::PoweredDown, true),
    (Step::Switching, true),
    (Step::Switched, true),
    (Step::StartedAgain, true),
];

#[test]
fn whatever_ends_a_backup_at_any_step_of_a_stop_the_guest_boots_again() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    for (number, (step, is_down)) in STEPS.into_iter().enumerate() {
        for deed in ["kill", "term"] {
            let guest = Guest::boot(&qemu, 1, false);
            let bench = Bench::new();
            let mut command = backup(&bench, &guest, "stop");
            command.env("FLEECE_FAULT", format!("{deed}@{}", step.name()));
            let ended = Ended::of(&mut command);
            if deed == "kill" {
                assert_eq!(ended.status.signal(), Some(9), "{step:?}: {}", ended.said);
                // By the clean-up, or by the next backup.
                match number % 2 {
                    0 => support::succeed(bench.fleece("cleanup").arg("7")),
                    _ => support::succeed(&mut backup(&bench, &guest, "snapshot")),
                };
            } else {
                ended.expect_code(143);
            }
            assert_eq!(guest.status(), "running", "{deed} at {step:?}");
            guest.await_boots(if is_down { 2 } else { 1 });
            bench.assert_clean(&guest.machine.test_socket());
            guest.assert_ends_when_pressed();
        }
    }
}

#[test]
fn a_guest_is_suspended_for_the_switch_only_if_that_is_asked_for() {
    for qemu in fleece_lab::qemus() {
        // Its disks can be reopened, or are backed up by jobs: neither needs a pause.
        let guest = Guest::boot(&qemu, 1, true);
        for (mode, pauses) in [("snapshot", false), ("suspend", true)] {
            let bench = Bench::new();
            let said = Ended::of(backup(&bench, &guest, mode).arg("--json")).expect(0, &[]);
            let result = result(&said);
            let paused = result["paused_ms"].as_f64();
            eprintln!("QEMU {}, {mode}: paused {paused:?} ms", qemu.version());
            assert_eq!(paused.is_some(), pauses, "{result}");
            assert!(result["down_ms"].is_null());
            assert_before(&bench, &guest);
        }
        // Killed with the commands on their way, it goes on by itself.
        for step in [Step::PauseRecorded, Step::Switching] {
            let bench = Bench::new();
            let mut command = backup(&bench, &guest, "suspend");
            command.env("FLEECE_FAULT", format!("kill@{}", step.name()));
            let ended = Ended::of(&mut command);
            assert_eq!(ended.status.signal(), Some(9), "{step:?}: {}", ended.said);
            support::succeed(bench.fleece("cleanup").arg("7"));
            assert_eq!((guest.status().as_str(), guest.boots()), ("running", 1));
            bench.assert_clean(&guest.machine.test_socket());
        }
    }
}

#[test]
fn a_guest_that_stands_still_stays_so_in_any_mode() {
    for qemu in fleece_lab::qemus() {
        let guest = Guest::hold(&qemu, 1, false);
        for mode in ["suspend", "stop"] {
            let bench = Bench::new();
            support::succeed(&mut backup(&bench, &guest, mode));
            assert_eq!(guest.status(), "prelaunch");
            assert_before(&bench, &guest);
        }
    }
}

#[test]
fn modes_are_for_guests_on_qemu_and_a_dry_run_tells_of_them() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let guest = Guest::hold(&qemu, 1, false);
    let bench = Bench::new();
    let mut command = backup(&bench, &guest, "stop");
    let ended = Ended::of(command.arg("--dry-run"));
    ended.expect(0, &["would ask the guest to power down", "10m 0s"]);
    let mut command = bench.fleece("backup");
    command.args(["--image", "/dev/null", "--mode", "stop", "--to", "/tmp"]);
    Ended::of(&mut command).expect(2, &["--mode"]);
    let mut command = backup(&bench, &guest, "halt");
    Ended::of(&mut command).expect(2, &["snapshot, suspend, stop"]);
}
