//! The guest agent of a real guest.

use std::time::Duration;

use fleece_lab::{Disk, Guest};
use fleece_qmp_client::{Agent, ErrorClass, FreezeStatus};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(30);

#[test]
fn a_guest_is_frozen_and_thawed_and_answers_while_frozen() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let guest = Guest::builder(&qemu)
        .with_agent()
        .disk(Disk::raw(64 << 20))
        .boot()
        .unwrap();
    guest
        .run(
            "mke2fs /dev/disk0 >/dev/null && mount -t ext4 /dev/disk0 /mnt",
            SOON,
        )
        .unwrap();
    let mut agent = Agent::connect_unix(guest.agent_socket()).unwrap();
    agent.ping(SOON).unwrap();
    assert_eq!(agent.fsfreeze_status(SOON).unwrap(), FreezeStatus::Thawed);
    assert_eq!(agent.fsfreeze_freeze(SOON).unwrap(), 1);
    assert_eq!(agent.fsfreeze_status(SOON).unwrap(), FreezeStatus::Frozen);
    // What a backup needs while it holds the freeze: a new connection can thaw.
    drop(agent);
    let mut agent = Agent::connect_unix(guest.agent_socket()).unwrap();
    assert_eq!(agent.fsfreeze_thaw(SOON).unwrap(), 1);
    assert_eq!(
        agent.fsfreeze_thaw(SOON).unwrap(),
        0,
        "thawing again is harmless"
    );
    let unknown = agent
        .execute::<(), Value>("guest-frobnicate", None, SOON)
        .unwrap_err();
    assert_eq!(unknown.class(), Some(ErrorClass::CommandNotFound));
}
