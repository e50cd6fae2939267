//! The commands that a backup needs, by area, each under its QAPI name in Rust's case.
//!
//! Commands are written as struct literals; members that are `None` are not sent, so that an
//! older QEMU without them accepts the command. Replies hold the members that are of use here
//! and ignore the rest, so that a newer QEMU's replies are understood. States and types are
//! text, not enumerations, for the same reason.
//!
//! Where a member is younger than QEMU 7.2, its documentation says so; ask the
//! [schema](crate::schema::Schema) before using it.
//!
//! QEMU has had the commands since (QAPI's `Since`, `qapi/*.json`):
//!
//! | since | commands |
//! |---|---|
//! | 0.14 | `closefd` `cont` `getfd` `human-monitor-command` `query-block` `query-blockstats` `query-migrate` `query-name` `query-status` `query-uuid` `query-version` `quit` `stop` `system_powerdown` `system_reset` |
//! | 1.1 | `block-job-cancel` `block-job-set-speed` `block-stream` `query-block-jobs` `transaction` |
//! | 1.2 | `add-fd` `qom-get` `qom-list` `qom-set` `query-fdsets` `query-target` `remove-fd` |
//! | 1.3 | `nbd-server-start` `nbd-server-stop` |
//! | 2.0 | `object-add` `object-del` `query-iothreads` `query-named-block-nodes` |
//! | 2.5 | `query-qmp-schema` |
//! | 2.9 | `blockdev-add` `blockdev-del` |
//! | 2.11 | `query-memory-size-summary` |
//! | 2.12 | `block-job-dismiss` `query-cpus-fast` |
//! | 3.0 | `job-dismiss` `job-finalize` `query-jobs` |
//! | 4.0 | `block-latency-histogram-set` `x-debug-query-block-graph` |
//! | 5.2 | `block-export-add` `block-export-del` `query-block-exports` |
//! | 6.0 | `set-action` |
//! | 6.1 | `blockdev-reopen` |

#![expect(
    clippy::exhaustive_structs,
    clippy::exhaustive_enums,
    reason = "commands are built by their users; a new member is a change they must see"
)]

mod block;
mod capabilities;
mod export;
mod fd;
mod graph;
mod job;
mod machine;
mod node;
mod qom;
mod stats;
mod transaction;

pub use block::{
    BlockCache, BlockDevice, BlockMedium, DirtyBitmap, ImageInfo, QueryBlock, QueryNamedBlockNodes,
};
pub use capabilities::{QmpCapabilities, QueryQmpSchema};
pub use export::{
    BitmapRef, BlockExport, BlockExportAdd, BlockExportDel, ExportKind, ExportRemoveMode,
    NbdServerAddress, NbdServerStart, NbdServerStop, QueryBlockExports,
};
pub use fd::{AddFd, AddedFd, CloseFd, FdInfo, FdSet, GetFd, QueryFdsets, RemoveFd};
pub use graph::{BlockGraph, GraphEdge, GraphNode, GraphNodeKind, QueryBlockGraph};
pub use job::{
    BlockJob, BlockJobCancel, BlockJobDismiss, BlockJobSetSpeed, BlockStream, Job, JobDismiss,
    JobFinalize, QueryBlockJobs, QueryJobs,
};
pub use machine::{
    Cont, HumanMonitorCommand, IoThread, MachineName, MachineUuid, MemorySize, Migration,
    Processor, ProcessorPlace, QueryCpusFast, QueryIoThreads, QueryMemorySizeSummary, QueryMigrate,
    QueryName, QueryStatus, QueryTarget, QueryUuid, QueryVersion, Quit, RebootAction, SetAction,
    ShutdownAction, Status, Stop, SystemPowerdown, SystemReset, Target,
};
pub use node::{BlockdevAdd, BlockdevDel, BlockdevReopen};
pub use qom::{ObjectAdd, ObjectDel, QomGet, QomList, QomProperty, QomSet};
pub use stats::{
    BlockLatencyHistogramSet, BlockStats, DeviceStats, DriverStats, LatencyHistogram,
    QueryBlockStats,
};
pub use transaction::{Action, CompletionMode, Transaction, TransactionProperties};

#[cfg(test)]
mod tests;
