//! Live guests on stock QEMU.

mod backup;
mod disks;
mod room;
mod shared_room;
mod source;
mod space;
mod watch;

pub use backup::{Fleecing, GuestBackup, Outcome, backup};
