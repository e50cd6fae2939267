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
//!  guest ─► copy-before-write ──► disk          plan      discover, preflight, method
//!                │      ▲                       record    record, lock
//!                ▼      │                       allocate  image
//!        fleecing image │                       attach    image
//!                ▲      │                       switch    switch
//!                └─ snapshot-access ─► NBD      export    export
//!                                               back      inside, cleanup
//! ```
//!
//! Start with [`discover`], then [`Session::new`]. What a killed process left, [`cleanup`] removes.

mod cleanup;
mod descriptors;
mod discards;
mod discover;
mod disk;
mod error;
mod export;
mod hang;
mod histogram;
mod identity;
mod image;
mod in_use;
mod inside;
mod iothread;
mod lock;
mod made;
mod meanwhile;
mod method;
mod named;
mod names;
mod ours;
mod preflight;
mod probe;
mod qom;
mod record;
mod server;
mod session;
mod step;
mod switch;
mod thaw;
mod wait;

pub use cleanup::{Cleaned, clean, cleanup};
pub use discover::{Gravity, Inventory, LeftOut, discover};
pub use disk::{Disk, Top};
pub use error::{Error, ErrorKind};
pub use identity::{Identity, Way, remove_dead_locks};
pub use meanwhile::Seen;
pub use method::Method;
pub use named::named_by_another;
pub use preflight::check_guest;
pub use record::{Contents, Place, Record};
pub use session::{Options, Session};
pub use step::Step;
pub use switch::Switched;
pub use thaw::{Thawed, thaw};
