//! Live guests on stock QEMU.

mod backup;
mod disks;
mod job;
mod room;
mod shared_room;
mod source;
mod space;
mod watch;

pub use backup::backup;
pub use job::{Fleecing, GuestBackup, Outcome};
