//! Stock QEMUs and a tiny Linux guest, for tests against the real thing.
//!
//! The lab lives in one folder (see [`root`]) that `cargo xtask lab` prepares: several versions of
//! QEMU as Debian ships them, each unpacked beside the others and none installed; Debian's cloud
//! kernel; busybox; and the writer of `lab/guest`. A test takes what it needs from there:
//!
//! ```no_run
//! use std::time::Duration;
//! use fleece_lab::{Disk, Guest, Interface};
//!
//! # fn main() -> Result<(), fleece_lab::Error> {
//! for qemu in fleece_lab::qemus() {
//!     let guest = Guest::builder(&qemu)
//!         .disk(Disk::raw(64 << 20).interface(Interface::VirtioScsi))
//!         .boot()?;
//!     let size = guest.run("blockdev --getsize64 /dev/disk0", Duration::from_secs(10))?;
//!     assert_eq!(size.trim(), "67108864");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! What is started ends with the value that stands for it, and with the test's process however that
//! ends; its files are removed. Without a prepared lab the functions here print `SKIP: …` to standard
//! error and give nothing; `cargo ci` prepares the lab and then accepts no skip.
//!
//! The lab knows nothing of Fleece: it depends on no crate above or beside it.

mod agent;
mod apt;
mod channel;
mod command;
mod cpio;
mod disk;
mod error;
mod example;
mod guest;
mod guest_tree;
mod initramfs;
mod kernel;
mod libvirtd;
mod linux;
mod loop_mount;
mod lvm;
mod machine;
pub mod order;
mod place;
mod prepare;
mod process;
mod qemu;
mod scratch;
mod storage_daemon;
mod tool;
mod writer;

pub use disk::{Definition, Disk, Format, Interface};
pub use error::{Error, ErrorKind};
pub use example::example;
pub use guest::{Background, Guest, GuestBuilder};
pub use guest_tree::GuestTree;
pub use libvirtd::{Domain, DomainBuilder, Libvirtd};
pub use linux::Linux;
pub use loop_mount::LoopMount;
pub use machine::{Machine, MachineBuilder};
pub use place::root;
pub use prepare::{Prepared, prepare};
pub use qemu::{Qemu, Version, qemu, qemus};
pub use storage_daemon::{StorageDaemon, StorageDaemonBuilder};
pub use tool::{require, skip};
