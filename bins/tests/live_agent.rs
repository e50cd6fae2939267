//! With the guest's agent: file systems are frozen for the instant, and thawed whatever happens.

#![expect(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod support;

use std::io::Write as _;
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::time::Duration;

use fleece_lab::{Disk, Guest};
use support::Bench;

const SOON: Duration = Duration::from_secs(60);

fn guest_with_a_file_system() -> Option<Guest> {
    let qemu = fleece_lab::qemu("10.0")?;
    let guest = Guest::builder(&qemu)
        .disk(Disk::raw(32 << 20))
        .with_agent()
        .boot()
        .unwrap();
    guest
        .run(
            "mke2fs -q /dev/disk0 && mount -t ext4 /dev/disk0 /mnt",
            SOON,
        )
        .unwrap();
    Some(guest)
}

#[test]
fn the_file_system_in_the_archive_is_clean_and_the_guest_goes_on() {
    let Some(guest) = guest_with_a_file_system() else {
        return;
    };
    let Some(fsck) = fleece_lab::require("e2fsck") else {
        return;
    };
    let writes = "i=0; while :; do i=$((i+1)); echo $i > /mnt/$((i % 20)); sync; done";
    let writer = guest.spawn(writes).unwrap();
    let bench = Bench::new();
    let mut command = bench.backup(&guest.qmp_socket());
    let output = support::succeed(command.arg("--agent").arg(guest.agent_socket()));
    let said = support::text(&output);
    for words in [
        "'fs-freeze'",
        "copy-before-write is active",
        "'fs-thaw'",
        "were frozen for",
    ] {
        assert!(said.contains(words), "{said}");
    }
    assert!(said.find("'fs-freeze'") < said.find("'fs-thaw'"), "{said}");
    bench.assert_clean(&guest.test_socket());
    // It would hang if the file system were still frozen.
    guest.run("touch /mnt/alive && sync", SOON).unwrap();
    writer.stop(SOON).unwrap();

    let image = bench.path("image");
    let mut disk = bench.restore().remove(0);
    std::io::copy(&mut disk, &mut std::fs::File::create(&image).unwrap()).unwrap();
    // -n: nothing is repaired, so an unclean file system would be told by the exit status.
    support::succeed(Command::new(fsck).args(["-f", "-n"]).arg(&image));
}

#[test]
fn an_agent_that_does_not_answer_costs_a_warning_and_a_few_seconds() {
    let Some(guest) = guest_with_a_file_system() else {
        return;
    };
    let bench = Bench::new();
    let mute = bench.path("mute");
    let listener = UnixListener::bind(&mute).unwrap();
    let held = std::thread::spawn(move || listener.accept());
    let output = bench
        .backup(&guest.qmp_socket())
        .arg("--agent")
        .arg(&mute)
        .output()
        .unwrap();
    let said = support::text(&output);
    assert_eq!(output.status.code(), Some(3), "done with warnings: {said}");
    assert!(said.contains("skipping guest filesystem freeze"), "{said}");
    bench.assert_clean(&guest.test_socket());
    bench.restore();
    let _ = held.join().unwrap().unwrap().0.flush();
}

#[test]
fn file_systems_that_somebody_else_froze_are_left_to_them() {
    let Some(guest) = guest_with_a_file_system() else {
        return;
    };
    let mut agent = fleece_qmp_client::Agent::connect_unix(guest.agent_socket()).unwrap();
    agent.fsfreeze_freeze(SOON).unwrap();
    drop(agent);
    let bench = Bench::new();
    let mut command = bench.backup(&guest.qmp_socket());
    let output = command
        .arg("--agent")
        .arg(guest.agent_socket())
        .output()
        .unwrap();
    let said = support::text(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("already frozen"), "{said}");
    let mut agent = fleece_qmp_client::Agent::connect_unix(guest.agent_socket()).unwrap();
    let status = agent.fsfreeze_status(SOON).unwrap();
    assert_eq!(status, fleece_qmp_client::FreezeStatus::Frozen);
    agent.fsfreeze_thaw(SOON).unwrap();
}
