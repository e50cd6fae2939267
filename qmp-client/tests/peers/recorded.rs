//! Recorded conversations with real programs, replayed to the client.
//!
//! `tests/transcripts/README.md` tells how they are made.

use crate::replay;
use crate::scenario::{MACHINE, STORAGE_DAEMON};

#[test]
fn machine_of_qemu_7_2_is_understood() {
    replay::run(MACHINE, "7.2");
}

#[test]
fn machine_of_qemu_10_0_is_understood() {
    replay::run(MACHINE, "10.0");
}

#[test]
fn machine_of_qemu_11_1_is_understood() {
    replay::run(MACHINE, "11.1");
}

#[test]
fn storage_daemon_of_qemu_7_2_is_understood() {
    replay::run(STORAGE_DAEMON, "7.2");
}

#[test]
fn storage_daemon_of_qemu_10_0_is_understood() {
    replay::run(STORAGE_DAEMON, "10.0");
}

#[test]
fn storage_daemon_of_qemu_11_1_is_understood() {
    replay::run(STORAGE_DAEMON, "11.1");
}
