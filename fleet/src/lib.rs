//! Many backups in one run.
//!
//! ```text
//! found     guests behind a path with a `*`
//! queue     which backup begins when, and which is tried again
//! crew      the backups of a queue, from the first to the last
//! worker    a backup: a process that tells in lines of JSON how it goes
//! ended     how one ended, and which end is the worst
//! status    what runs just now, for any shell to read
//! hook      programs of others, called at certain moments
//! template  notes with variables
//! message   a mail, a request to a web server
//! heartbeat word to whoever misses it: an address, or a file
//! notify    word to the service manager
//! mailed    what the service manager need not say again
//! lock      one run of a job at a time
//! journal   lines for the journal, with fields
//! ```
//!
//! The [`Queue`] takes the time as an argument instead of reading a clock. A [`Worker`] has two threads, which end with
//! its process; dropping it does not end the process. Lines of workers are cut at 1 MiB.
#![doc = ""]
#![doc = include_str!("../README.md")]
#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::unwrap_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "a test that fails panics"
    )
)]

mod crew;
mod ended;
mod error;
mod found;
mod heartbeat;
mod hook;
pub mod host;
mod journal;
mod lock;
mod mailed;
pub mod message;
mod notify;
mod queue;
pub mod status;
mod template;
mod worker;

pub use crew::{Crew, run};
pub use ended::{DONE_WITH_WARNINGS, Ended, worst};
pub use error::{Error, ErrorKind};
pub use found::{Found, find};
pub use heartbeat::{Heartbeat, Moment};
pub use hook::Hook;
pub use journal::Journal;
pub use lock::lock_job;
pub use mailed::{MAILED, note_mailed};
pub use notify::Manager;
pub use queue::{Limits, Next, Queue, Task};
pub use template::{Variables, expand};
pub use worker::{Told, Worker};
