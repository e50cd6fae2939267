//! Guests that libvirt runs, by way of `virsh`.
//!
//! What it knows: how a domain is found, what it says of itself, how its QEMU's monitor is reached through
//! libvirt, and its XML. What it does not know: what for.
//!
//! ```no_run
//! use fleece_libvirt::{Libvirt, connect};
//! use fleece_qmp_client::{Interrupt, Options, commands::QueryBlock};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let libvirt = Libvirt::connect(None, &Interrupt::default())?;
//! let domain = libvirt.domain("web")?;
//! let monitor = connect(domain.address(), &Options::default())?;
//! for device in monitor.execute(&QueryBlock {})? {
//!     println!("{}", device.device);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Why `virsh`
//!
//! libvirt's C library is under the LGPL, and a program that links it is neither static nor free of `unsafe`; its
//! protocol is private. `virsh` is where libvirt is, its options are stable, and it passes descriptors
//! (`--pass-fds`). One that stays open answers in a millisecond or two (`shell.rs`).
//!
//! # Threads, async, memory, drop
//!
//! All calls block, each with a deadline; an [`Interrupt`](fleece_qmp_client::Interrupt) ends them from another
//! thread. A monitor has one `virsh` that stays and, once somebody subscribes to events, a second with a thread.
//! Both end when the monitor is dropped. If this process is killed, the first ends at once, the second within a
//! minute, and commands that were to be run [to the end](fleece_qmp_client::Monitor::call_all) are.
//!
//! # Trust
//!
//! libvirt is trusted, a domain's XML that it gives is bounded, and one from an archive is hostile: a new one is
//! made of what is known in it, see [`xml::rewrite`].

mod address;
mod agent;
mod command;
mod domain;
mod error;
mod events;
mod monitor;
mod process;
mod replies;
mod shell;
mod virsh;
pub mod xml;

pub use address::{DomainAddress, NoDomainAddress};
pub use agent::DomainAgent;
pub use domain::{Domain, Libvirt, State};
pub use error::{Error, ErrorKind};
pub use monitor::connect;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
