//! The life of fleecing images inside a running QEMU.
//!
//! A backup reads a guest's disks as they were at one instant while the guest goes on writing. A
//! copy-before-write filter above each disk saves old data to a *fleecing image* before the guest
//! overwrites it; a view above the filter gives the old data from there and the rest from the disk.
//!
//! This crate knows the order of the steps, how each is undone, and what QEMU offers. It does not know
//! what the data is for.
//!
//! ```text
//!  guest ─► copy-before-write ──► disk          plan      discover, qemu/method
//!                │      ▲                       record    journal/record
//!                ▼      │                       allocate  journal/image
//!        fleecing image │                       attach    qemu/image
//!                ▲      │                       switch    qemu/switch
//!                └─ snapshot-access ─► NBD      export    qemu/export
//!                                               teardown  qemu/teardown, journal/cleanup
//! ```
//!
//! Start with [`discover`], then [`Session::new`]. What a killed process left, [`cleanup`] removes.

mod advice;
mod cleanup;
mod discover;
mod disk;
mod error;
mod identity;
mod journal;
mod liveness;
mod qemu;
mod session;
mod usage;

pub use advice::{Advice, CleanUp};
pub use cleanup::{clean, cleanup};
pub use discover::preflight::check_guest;
pub use discover::{Gravity, Inventory, LeftOut, discover};
pub use disk::{Disk, Top};
pub use error::{Error, ErrorKind};
pub use identity::{Identity, Way, remove_dead_locks};
pub use journal::cleanup::Cleaned;
pub use journal::named::named_by_another;
pub use journal::record::{Contents, Place, Record};
pub use journal::step::Step;
pub use qemu::meanwhile::Seen;
pub use qemu::method::Method;
pub use qemu::switch::Switched;
pub use qemu::thaw::{Thawed, thaw};
pub use session::{Options, Session};
