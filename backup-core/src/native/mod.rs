//! Backups without QEMU: disks that this process serves to guests, and disks of stopped guests.
//!
//! A [`crate::cbw::Filter`] stands in front of each disk; [`FilterExport`] serves it over NBD.
//! [`SnapshotSource`] makes a disk of a [`crate::cbw::Snapshot`] a [`crate::Source`],
//! [`ImageSource`] an image that nobody writes to. [`backup`] reads sources into an archive, through
//! the same pipeline as the backup of a guest on QEMU.

mod backup;
mod export;
mod source;

#[cfg(test)]
mod tests;

pub use backup::{Backup, Outcome, backup};
pub use export::FilterExport;
pub use source::{ImageSource, SnapshotSource};
