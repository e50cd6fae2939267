//! Backups without QEMU: disks that this process serves to guests, and disks of stopped guests.
//!
//! A [`crate::cbw::Filter`] stands in front of each disk; [`FilterExport`] serves it over NBD.
//! [`SnapshotSource`] makes a disk of a [`crate::cbw::Snapshot`] a [`crate::Source`],
//! [`ImageSource`] an image that nobody writes to. [`crate::archive`] reads them into an archive, through
//! the same pipeline as the backup of a guest on QEMU.
//!
//! [`Server`] serves disks, keeps an account of what their guests change since an archive (`account`), and lets other
//! processes take their instant; [`Guest`] is such a process's
//! side. [`backup_served`] and [`backup_images`] are whole backups, on record.

mod account;
mod account_file;
mod backup;
mod connection;
pub(crate) mod control;
mod dry;
mod export;
pub mod exports;
pub(crate) mod fuzzing;
mod guest;
pub(crate) mod image;
mod images;
mod incremental;
mod latency;
mod server;
pub(crate) mod source;

#[cfg(test)]
mod tests;

pub use backup::{ImageBackup, ServedBackup, backup_images, backup_served};
pub use dry::{foresee_images, foresee_served};
pub use export::FilterExport;
pub use guest::Guest;
pub use image::Image;
pub use images::ImageServer;
pub use server::Server;
pub use source::{ImageSource, SnapshotSource};
