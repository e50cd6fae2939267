//! A client of the QEMU Machine Protocol (QMP) and of the guest agent.
//!
//! What it knows: how the two protocols frame, order and time their messages, and the
//! types of the commands that a backup needs. What it does not know: what those commands
//! are for. Nothing in here decides anything about a guest.
//!
//! ```no_run
//! use std::time::Duration;
//! use fleece_qmp_client::{Client, commands::QueryBlock};
//!
//! let client = Client::connect_unix("/run/vm.qmp")?;
//! let events = client.subscribe();
//! for device in client.execute(&QueryBlock {})? {
//!     println!("{}", device.device);
//! }
//! let stopped = events.wait_for(|event| event.name == "STOP", Duration::from_secs(5))?;
//! # Ok::<(), fleece_qmp_client::Error>(())
//! ```
//!
//! What sends the commands is a [`Monitor`]: a QMP socket, or whatever else passes them on to QEMU.
//!
//! # Threads, async, memory, drop
//!
//! One thread per [`Client`] reads the socket and hands every reply to the call that waits
//! for its `id`, and every event to each [`Subscription`]. It never waits for a consumer:
//! QEMU itself stalls when nobody reads its monitor. Calls from several threads may overlap.
//! An [`Agent`] has no thread and serves one call at a time.
//!
//! All calls block, each with a deadline: 5 seconds for a query, up to 10 minutes for what waits
//! until disks are quiet ([`Command::deadline`]). An [`Interrupt`] ends them from another thread.
//! From async code, call them within `tokio::task::spawn_blocking` or its like.
//!
//! A connection keeps the message that it receives, up to [`MAX_MESSAGE`], and up to
//! [`Subscription::CAPACITY`] unread events per subscription.
//!
//! When the last clone of a [`Client`] is dropped, the socket is shut down and its thread has ended. What QEMU
//! was told to do goes on: commands are not taken back, jobs and nodes stay.
//!
//! # Trust
//!
//! What comes out of the socket is taken as hostile. A message is at most
//! [`MAX_MESSAGE`] bytes (an event [`MAX_EVENT`]) and 128 levels deep, unread events are bounded
//! in number and in bytes, replies that nobody asked for are dropped, and every wait has a
//! deadline.
//!
//! # Errors
//!
//! Every failure is an [`Error`]; its [`ErrorKind`] is what a caller decides on.

mod address;
mod agent;
mod client;
mod command;
pub mod commands;
mod deadline;
mod error;
mod events;
mod framer;
mod message;
mod monitor;
mod options;
mod schema;
mod sessions;
mod socket;
mod subscription;

pub use address::Address;
pub use agent::{Agent, FileSystem, FreezeStatus};
pub use client::Client;
pub use command::{Command, Done, RawCommand};
pub use deadline::{Interrupt, Waiting};
pub use error::{Error, ErrorClass, ErrorKind};
pub use events::KnownEvent;
pub use framer::MAX_MESSAGE;
pub use message::{Event, Greeting, MAX_EVENT, Timestamp, Version, VersionTriple};
pub use monitor::{Monitor, parse_reply};
pub use options::Options;
pub use schema::Schema;
pub use sessions::Sessions;
pub use subscription::{Feed, Subscription};

#[doc(hidden)]
pub mod fuzzing;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
