//! Guests that libvirt runs.
//!
//! A backup of one is that of any guest on QEMU ([`crate::qemu`]); what differs is where its monitor and its agent
//! are, what its disks are called, and what else is known about it.

mod guest;

pub(crate) use guest::{DOMAIN_XML, failed, unreachable};
pub use guest::{DomainGuest, find};
