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

mod advice;
mod archive;
mod cancel;
pub mod cbw;
pub mod dump;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod input;
mod job;
pub mod native;
pub mod pace;
mod pipeline;
pub mod qemu;
mod report;
pub mod restore;
mod source;
mod target;

pub use advice::Advice;
pub use archive::content::Content;
pub use archive::{ArchiveOptions, Archived, archive};
pub use cancel::{CancelReason, CancelToken};
pub use error::{Error, ErrorKind};
pub use job::{Job, Outcome};
pub use pace::gate::DepthGate;
pub use pace::options::Pacing;
pub use pace::rate::RateLimit;
pub use pipeline::transfer::GuestWatch;
pub use report::units;
pub use report::{Counters, Event, Progress, Reporter, Warning};
pub use source::{Extent, Source};
pub use target::compression::Compression;
pub use target::deadline::at_target;
pub use target::options::{ArchiveTarget, Unfinished};
pub use target::place::{FileTarget, Staged, Target};
pub use target::staged::ArchiveFile;
