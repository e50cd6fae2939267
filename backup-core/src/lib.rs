//! Copy-before-write backup of running virtual machines: sources, pipeline, targets, jobs.

#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a test that overflows fails, as it should"
    )
)]

mod archive;
mod archive_file;
mod cancel;
pub mod cbw;
mod depth;
pub mod dump;
mod error;
mod felt;
mod fleecing_limit;
#[doc(hidden)]
pub mod fuzzing;
mod meter;
pub mod native;
mod nbd_source;
mod output;
pub mod pace;
mod patience;
mod pipeline;
pub mod qemu;
mod quiesce;
mod rate;
mod report;
pub mod restore;
mod source;
mod transfer;
pub mod units;

pub use archive::{ArchiveOptions, Archived, Unfinished, archive};
pub use archive_file::ArchiveFile;
pub use cancel::{CancelReason, CancelToken};
pub use depth::DepthGate;
pub use error::{Error, ErrorKind};
pub use output::Compression;
pub use patience::at_target;
pub use rate::RateLimit;
pub use report::{Counters, Event, Progress, Reporter};
pub use source::{Extent, Source};
pub use transfer::GuestWatch;
