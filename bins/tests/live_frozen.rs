//! Guests that are frozen and do not thaw, and waits that a signal ends: whoever is waited for. A storage
//! daemon stands for QEMU, which may fall silent, too.

#![expect(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use fleece_lab::{Disk, StorageDaemon};
use support::agent::FakeAgent;
use support::ended::Ended;
use support::running::Running;
use support::{Bench, daemon};

const FREEZE: &str = "guest-fsfreeze-freeze";
const THAW: &str = "guest-fsfreeze-thaw";

struct Field {
    daemon: StorageDaemon,
    bench: Bench,
    agent: FakeAgent,
}

impl Field {
    fn new() -> Option<Self> {
        let qemu = fleece_lab::qemu("10.0")?;
        let builder = StorageDaemon::builder(&qemu).disk(Disk::raw(16 << 20).throttled());
        let daemon = builder.export().start().unwrap();
        let bench = Bench::new();
        let agent = FakeAgent::start(bench.path("qga"));
        daemon::io(&qemu, &daemon, 0, "write -P 0x11 0 16M");
        Some(Self {
            daemon,
            bench,
            agent,
        })
    }

    fn backup(&self) -> Command {
        let mut command = daemon::backup(&self.bench, &self.daemon);
        command.arg("--agent").arg(self.agent.path());
        command
    }

    fn record(&self) -> String {
        let state = self.bench.path("state").join("7.state");
        std::fs::read_to_string(state).unwrap_or_default()
    }

    fn assert_thawed_and_clean(&self) {
        assert!(!self.agent.is_frozen());
        self.bench.assert_clean(&self.daemon.qmp_socket());
    }
}

/// Ends it by SIGTERM, and sees it end soon.
fn terminate(backup: Running, within: Duration) -> String {
    backup.signal("-TERM");
    let at = Instant::now();
    let said = backup.end().expect_code(143);
    assert!(at.elapsed() < within, "{:?}: {said}", at.elapsed());
    said
}

#[test]
fn a_guest_that_is_left_frozen_is_a_failure_and_the_remedy_that_is_told_works() {
    let Some(field) = Field::new() else { return };
    field.agent.mute(&[THAW]);
    let said = Ended::of(&mut field.backup()).expect(5, &["may still be frozen"]);
    assert!(!said.contains("were frozen for"), "{said}");
    field.bench.assert_no_archive();
    support::assert_clean_qemu(&field.daemon.qmp_socket());
    assert!(field.record().contains("frozen: "), "{}", field.record());
    // As long as it is mute, nobody says that nothing is left.
    let remedy = || support::advised(&said, &field.bench);
    let again = Ended::of(&mut remedy()).expect(5, &["may still be frozen"]);
    assert!(!again.contains("nothing was left"), "{again}");
    assert!(field.record().contains("frozen: "), "{}", field.record());
    field.agent.mute(&[]);
    Ended::of(&mut remedy()).expect(0, &["removed freeze"]);
    field.assert_thawed_and_clean();
}

#[test]
fn the_next_backup_thaws_what_the_record_says_and_freezes_anew() {
    let Some(field) = Field::new() else { return };
    field.agent.set_frozen();
    let record = format!("frozen: {}\n", field.agent.path().display());
    std::fs::write(field.bench.path("state").join("7.state"), record).unwrap();
    Ended::of(&mut field.backup()).expect(0, &["removed freeze", "were frozen for"]);
    field.assert_thawed_and_clean();
}

#[test]
fn a_freeze_that_was_lifted_by_hand_is_forgotten_when_that_is_said() {
    let Some(field) = Field::new() else { return };
    field.agent.mute(&["guest-sync-delimited"]);
    let record = format!("frozen: {}\n", field.agent.path().display());
    std::fs::write(field.bench.path("state").join("7.state"), record).unwrap();
    support::succeed(field.bench.fleece("cleanup").args(["7", "--thawed"]));
    field.bench.assert_clean_folders();
}

#[test]
fn a_signal_while_the_agent_does_not_answer_a_freeze_thaws_and_ends_at_once() {
    let Some(field) = Field::new() else { return };
    field.agent.mute(&[FREEZE]);
    let backup = Running::start(&mut field.backup());
    field.agent.until_asked(FREEZE);
    terminate(backup, Duration::from_secs(4));
    field.agent.until_asked(THAW);
    field.assert_thawed_and_clean();
}

#[test]
fn a_signal_while_the_agent_does_not_thaw_ends_the_backup_and_tells_the_remedy() {
    let Some(field) = Field::new() else { return };
    field.agent.mute(&[THAW]);
    let backup = Running::start(&mut field.backup());
    field.agent.until_asked(THAW);
    let said = terminate(backup, Duration::from_secs(8));
    field.agent.mute(&[]);
    Ended::of(&mut support::advised(&said, &field.bench)).expect(0, &["removed freeze"]);
    field.assert_thawed_and_clean();
}

#[test]
fn a_signal_while_qemu_does_not_answer_ends_the_backup_and_leaves_what_is_there_on_record() {
    let Some(field) = Field::new() else { return };
    let mut command = field.backup();
    let mut backup = Running::start(command.args(["--bwlimit", "1M"]));
    backup.until("copy-before-write is active");
    support::signal(field.daemon.process_id(), "-STOP");
    terminate(backup, Duration::from_secs(20));
    support::signal(field.daemon.process_id(), "-CONT");
    support::succeed(field.bench.fleece("cleanup").arg("7"));
    field.assert_thawed_and_clean();
}
