//! Settings of a program's commands, from files in TOML.
//!
//! ```toml
//! # Of all commands.
//! state-dir = "/srv/fleece"
//!
//! # Of one command.
//! [backup]
//! to = "backups"
//! exclude = ["scsi7"]
//!
//! # Of guests whose number or name this matches: `*` is any text, and `?` any character.
//! [guest."web-*"]
//! bwlimit = "100M"
//!
//! # Of a job, which is several guests.
//! [job.nightly]
//! jobs = 2
//!
//! # Of a store that addresses name.
//! [store.away]
//! bucket = "backups"
//! ```
//!
//! What is said of a guest or a job counts more than what is said of a command, and that more than what is said of all; what
//! is said later counts more than what is said before. A list replaces another one.
//!
//! A [`Setting`] knows its [`Origin`]. What keys there are is for the program to say: [`Known`].
//!
//! Files are text of at most 1 MiB each. There are no threads, nothing waits but for the file system, and dropping
//! things has no effect.
#![doc = ""]
#![doc = include_str!("../README.md")]

mod error;
mod file;
#[doc(hidden)]
pub mod fuzzing;
mod known;
mod lines;
mod pattern;
mod setting;
mod settings;

pub use error::{Error, ErrorKind};
pub use known::Known;
pub use lines::Meaning;
pub use pattern::matches;
pub use setting::{For, Origin, Section, Setting};
pub use settings::Settings;
