//! The disks of a running QEMU, as they were at one instant.
//!
//! A backup reads a guest's disks as of one instant while the guest goes on writing. A copy-before-write
//! filter above each disk saves old data to a *fleecing image* before the guest overwrites it; a view above
//! the filter gives the old data from there and the rest from the disk.
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
//! [`discover`] lists the disks, and a [`Session`] takes them through these steps:
//!
//! ```no_run
//! use std::sync::Arc;
//! use fleece_fleecing::{Options, Place, Record, Session, discover};
//! use fleece_qmp_client::{Address, Client};
//! use fleece_storage::DirPlugin;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let monitor = Address::unix("/run/vm.qmp");
//! let place = Place::new("/var/lib/my-backup", "100".parse()?, None);
//! let record = Record::open(&place)?;
//! let client = Client::connect(&monitor, &fleece_qmp_client::Options::default())?;
//! let disks = discover(&client)?.disks;
//! let storage = Arc::new(DirPlugin::plain("/var/lib/my-backup".as_ref())?);
//! let options = Options::new(place.guest().clone(), place.nbd_socket());
//! let mut session = Session::new(client, monitor, storage, &record, disks, options)?;
//! session.prepare()?;
//! session.switch()?;
//! println!("read {} at {}", Session::export_name(0), session.export()?);
//! session.finish().map_err(|errors| format!("{errors:?}"))?;
//! # Ok(())
//! # }
//! ```
//!
//! What a killed process left, [`cleanup`] removes: call it before a session, or when nobody will begin one.
//! [`Identity`] tells which guest is behind a monitor, and that no other backup of it is under way. What an error
//! advises ([`Error::advice`]) is for the caller to put into words.
//!
//! # Threads, async, memory, drop
//!
//! All calls block: a command to QEMU for as long as QEMU takes to answer, a storage that hangs for seconds. From
//! async code, call them within `tokio::task::spawn_blocking` or its like. The [`Interrupt`] of the monitor's
//! connection ends the waits from another thread. To ask a storage that may hang there is a thread, which is left
//! behind if the storage does; apart from those a session has none of its own, and keeps no data of disks in memory.
//!
//! A session that is dropped undoes what it has made, like [`Session::finish`]; only a log hears of what could not be
//! undone, which stays on record. A dropped [`Record`] gives up the lock on the guest, and forgets nothing.
//!
//! [`Interrupt`]: fleece_qmp_client::Interrupt

mod address;
mod advice;
mod agent;
mod cleanup;
mod command_line;
mod discover;
mod disk;
pub mod domain;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod identity;
mod journal;
mod keep_alive;
mod liveness;
mod qemu;
mod session;
mod usage;

pub use address::GuestAddress;
pub use advice::{Advice, AgainFrom, CleanUp};
pub use agent::GuestAgent;
pub use cleanup::{clean, cleanup};
pub use discover::hardware::{Card, Hardware};
pub use discover::preflight::check_guest;
pub use discover::tpm::Tpm;
pub use discover::{Inventory, LeftOut, Severity, discover};
pub use disk::{Disk, Top};
pub use error::{Error, ErrorKind};
pub use identity::{Endpoint, Identity, remove_dead_locks};
pub use journal::cleanup::Cleaned;
pub use journal::generation::{Generation, Sound, TrackedDisk};
pub use journal::record::{Contents, Overwritten, Place, Record, ShutDown};
pub use journal::references::referenced_by_another;
pub use journal::step::Step;
pub use keep_alive::KeepAlive;
pub use qemu::bitmaps;
pub use qemu::interference::Interference;
pub use qemu::method::Method;
pub use qemu::switch::Switched;
pub use qemu::thaw::{Thawed, thaw};
pub use session::{Options, Session};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
