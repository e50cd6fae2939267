//! Live guests on stock QEMU.

mod backup;
mod disks;
mod dry;
mod incremental;
mod job;
mod quiesce;
mod source;
mod space;
mod tpm;
mod watch;

pub use backup::backup;
pub use dry::foresee;
pub use job::{Fleecing, GuestBackup, Incrementally};
