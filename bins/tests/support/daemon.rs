//! A storage daemon, which has disks and no guest.

use std::process::Command;

use fleece_lab::{Qemu, StorageDaemon};

use super::Bench;

/// A backup of its disks as guest 7. Its one NBD server serves its clients, so the views are exported by
/// it too.
pub(crate) fn backup(bench: &Bench, daemon: &StorageDaemon) -> Command {
    let mut command = bench.backup(&daemon.qmp_socket());
    command.arg("--nbd-server").arg(daemon.nbd_socket());
    command.args(["--vmid", "7"]);
    command
}

/// What its client does with a disk, such as `write -P 0x55 4M 9M`.
pub(crate) fn io(qemu: &Qemu, daemon: &StorageDaemon, disk: usize, command: &str) {
    io_all(qemu, daemon, disk, &[command.to_owned()]);
}

/// The same, one after the other.
pub(crate) fn io_all(qemu: &Qemu, daemon: &StorageDaemon, disk: usize, commands: &[String]) {
    let mut io = qemu.io();
    io.args(["-f", "raw", &daemon.nbd_uri(disk)]);
    for command in commands {
        io.args(["-c", command]);
    }
    super::succeed(&mut io);
}
