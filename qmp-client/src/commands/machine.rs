//! The machine as a whole.

use serde::{Deserialize, Serialize};

use crate::command::{Done, command};
use crate::message::Version;

/// The version, as in the greeting.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct QueryVersion {}
command!(QueryVersion, "query-version", Version);

/// Whether the guest runs. Not in `qemu-storage-daemon`.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct QueryStatus {}
command!(QueryStatus, "query-status", Status);

/// QAPI `StatusInfo`.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct Status {
    /// Whether the virtual processors run.
    pub running: bool,
    /// The `RunState`, such as `running`, `paused`, `prelaunch`, `io-error` or `suspended`.
    pub status: String,
}

/// Whether the guest is on its way to another host, or was. Not in `qemu-storage-daemon`.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct QueryMigrate {}
command!(QueryMigrate, "query-migrate", Migration);

/// QAPI `MigrationInfo`.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct Migration {
    /// The `MigrationStatus`, such as `active` or `completed`; `None` if there never was one.
    pub status: Option<String>,
}

/// The machine's name (`-name`).
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct QueryName {}
command!(QueryName, "query-name", MachineName);

/// QAPI `NameInfo`.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct MachineName {
    /// The name, if it has one.
    pub name: Option<String>,
}

/// The machine's UUID (`-uuid`).
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct QueryUuid {}
command!(QueryUuid, "query-uuid", MachineUuid);

/// QAPI `UuidInfo`.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct MachineUuid {
    /// The UUID; all zeros if none was given.
    #[serde(rename = "UUID")]
    pub uuid: String,
}

/// The kind of processor that is emulated. Not in `qemu-storage-daemon`.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct QueryTarget {}
command!(QueryTarget, "query-target", Target);

/// QAPI `TargetInfo`.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct Target {
    /// QAPI `SysEmuTarget`, such as `x86_64`.
    pub arch: String,
}

/// The size of the memory.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct QueryMemorySizeSummary {}
command!(
    QueryMemorySizeSummary,
    "query-memory-size-summary",
    MemorySize
);

/// QAPI `MemoryInfo`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct MemorySize {
    /// Bytes given with `-m`.
    pub base_memory: u64,
    /// Bytes that were plugged later.
    pub plugged_memory: Option<u64>,
}

/// The virtual processors, without stopping them.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct QueryCpusFast {}
command!(QueryCpusFast, "query-cpus-fast", Vec<Processor>);

/// QAPI `CpuInfoFast`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Processor {
    /// Its QOM path.
    pub qom_path: String,
    /// Its place in the topology.
    #[serde(default)]
    pub props: ProcessorPlace,
}

/// QAPI `CpuInstanceProperties`, as far as it is of use here.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct ProcessorPlace {
    /// The socket.
    pub socket_id: Option<i64>,
    /// The thread of its core.
    pub thread_id: Option<i64>,
}

/// The threads besides the main loop that serve devices.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct QueryIoThreads {}
command!(QueryIoThreads, "query-iothreads", Vec<IoThread>);

/// QAPI `IOThreadInfo`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct IoThread {
    /// The object's id.
    pub id: String,
    /// The thread's id on the host.
    pub thread_id: i64,
}

/// Stops the virtual processors and flushes all disks.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Stop {}
command!(Stop, "stop", Done);

/// Lets the virtual processors go on.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Cont {}
command!(Cont, "cont", Done);

/// What QEMU does when something happens to the guest; what is not given stays as it is.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct SetAction {
    /// When the guest powers down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shutdown: Option<ShutdownAction>,
    /// When the guest resets itself, or `system_reset` does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reboot: Option<RebootAction>,
}
command!(SetAction, "set-action", Done);

/// QAPI `ShutdownAction`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShutdownAction {
    /// QEMU ends.
    #[default]
    Poweroff,
    /// QEMU stays, with the guest stopped (`-no-shutdown`).
    Pause,
}

/// QAPI `RebootAction`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RebootAction {
    /// The guest boots again.
    #[default]
    Reset,
    /// The guest is powered down (`-no-reboot`).
    Shutdown,
}

/// Presses the power button: what comes of it is up to the guest.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct SystemPowerdown {}
command!(SystemPowerdown, "system_powerdown", Done);

/// Resets the machine, a moment after the reply.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct SystemReset {}
command!(SystemReset, "system_reset", Done);

/// Ends QEMU.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Quit {}
command!(Quit, "quit", Done);

/// A command of the monitor for people; the reply is what it prints, errors included.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct HumanMonitorCommand {
    /// The command's line.
    pub command_line: String,
}
command!(HumanMonitorCommand, "human-monitor-command", String);
