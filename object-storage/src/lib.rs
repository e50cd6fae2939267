//! Archives in object storage that speaks S3: Ceph's gateway, MinIO, Garage, AWS and others.
//!
//! A [`Store`] is a bucket with what it takes to get there ([`StoreConfig`]). [`Store::begin`] gives an [`Upload`], a writer
//! whose object appears when it is committed, complete, and only if nothing has its name. [`ObjectReader`] reads an object
//! at any offset, by ranges, with blocks that it keeps.
//!
//! # Threads, waiting, dropping
//!
//! Everything blocks; nothing is async. An upload has up to four threads, a reader that reads ahead up to two. Each request has time limits of its
//! own, is tried again while that makes sense ([`ErrorKind::is_transient`]), with growing pauses of random length, and
//! given up when [`StoreConfig::retry_for`] has passed. A dropped [`Upload`] is aborted.
//!
//! # Errors
//!
//! An [`Error`] names what was refused and why: expired credentials, a clock that is wrong and a missing permission are
//! different kinds. None shows a URL, since requests are signed there, nor a credential.
//!
//! # Limits
//!
//! An answer that describes something has at most 8 MiB, and a list at most 1,000,000 entries. An upload holds one part in the making and those in flight,
//! each [`part_size`] bytes.
#![doc = ""]
#![doc = include_str!("../README.md")]

mod address;
mod answer;
mod config;
mod credentials;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod http;
mod lock;
mod multipart;
mod reader;
mod store;
mod stores;
mod upload;

pub use address::{Address, SCHEME};
pub use config::StoreConfig;
pub use credentials::{Credentials, Keys};
pub use error::{Error, ErrorKind};
pub use lock::{Lock, LockMode};
pub use multipart::{Part, Unfinished};
pub use reader::{Cost, ObjectReader};
pub use store::{Listed, Object, Store};
pub use stores::{configure, open, open_address};
pub use upload::{Checked, Upload, UploadOptions, part_size};
