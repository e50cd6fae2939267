//! Why a snapshot cannot be taken, or read any more.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use fleece_storage::block;

/// The result of an operation on a snapshot.
pub type Result<T> = std::result::Result<T, Error>;

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No space is left in the target for the old data of a disk.
    TargetFull,
    /// The target failed to take or give the old data of a disk.
    TargetFailed,
    /// The target did not answer in time.
    TargetTimedOut,
    /// The source failed to give the data of a disk.
    SourceFailed,
    /// The snapshot has been detached.
    Detached,
    /// The range was released before.
    Released,
    /// The range is not inside the disk.
    OutOfBounds,
    /// The disk is in another snapshot already, or was named twice.
    Busy,
    /// The target is smaller than the disk.
    TargetTooSmall,
    /// The cluster size is not a power of two within the limits.
    InvalidClusterSize,
    /// Guest writes did not come to an end in time, so there was no instant to take.
    SwitchTimedOut,
    /// The threads that copy could not be started.
    NoThreads,
}

/// A failed operation on a snapshot, or the reason why a snapshot broke.
///
/// It can be cloned because a broken snapshot answers everything with its first cause.
#[derive(Clone, Debug)]
pub struct Error {
    kind: ErrorKind,
    offset: Option<u64>,
    detail: Option<String>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    pub(super) fn new(kind: ErrorKind) -> Self {
        Self {
            kind,
            offset: None,
            detail: None,
            source: None,
        }
    }

    /// A failure of the device that the old data is read from.
    pub(super) fn of_source(error: block::Error) -> Self {
        let kind = match error.kind() {
            block::ErrorKind::OutOfBounds => ErrorKind::OutOfBounds,
            _ => ErrorKind::SourceFailed,
        };
        Self::new(kind).caused_by(error)
    }

    /// A failure of the device that keeps the old data.
    pub(super) fn of_target(error: block::Error) -> Self {
        let kind = match error.kind() {
            block::ErrorKind::NoSpace => ErrorKind::TargetFull,
            block::ErrorKind::TimedOut => ErrorKind::TargetTimedOut,
            _ => ErrorKind::TargetFailed,
        };
        Self::new(kind).caused_by(error)
    }

    /// The target did not answer for `timeout`.
    pub(super) fn timed_out(timeout: Duration) -> Self {
        Self::new(ErrorKind::TargetTimedOut).because(format!("no answer for {timeout:?}"))
    }

    pub(super) fn at(self, offset: u64) -> Self {
        Self {
            offset: Some(offset),
            ..self
        }
    }

    pub(super) fn because(self, detail: impl Into<String>) -> Self {
        Self {
            detail: Some(detail.into()),
            ..self
        }
    }

    pub(super) fn caused_by(self, source: impl StdError + Send + Sync + 'static) -> Self {
        Self {
            source: Some(Arc::new(source)),
            ..self
        }
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Where on the disk, in bytes, if that is known.
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        self.offset
    }

    /// This failure as the answer to a guest's write, under [`super::Policy::BreakGuestWrite`].
    pub(super) fn into_guest_error(self, operation: block::Operation) -> block::Error {
        let kind = match self.kind {
            ErrorKind::TargetFull => block::ErrorKind::NoSpace,
            ErrorKind::TargetTimedOut => block::ErrorKind::TimedOut,
            _ => block::ErrorKind::Io,
        };
        block::Error::new(kind, operation)
            .because("the old data could not be saved for the backup")
            .caused_by(self)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            ErrorKind::TargetFull => {
                "no space is left for the disk's old data; free some or fleece to another storage"
            }
            ErrorKind::TargetFailed => "the target for the disk's old data failed",
            ErrorKind::TargetTimedOut => "the target for the disk's old data does not answer",
            ErrorKind::SourceFailed => "the disk could not be read",
            ErrorKind::Detached => "the snapshot has been detached",
            ErrorKind::Released => "this part of the snapshot was released before",
            ErrorKind::OutOfBounds => "this is not a part of the disk",
            ErrorKind::Busy => "the disk is in a snapshot already",
            ErrorKind::TargetTooSmall => "the target is smaller than the disk",
            ErrorKind::InvalidClusterSize => "the cluster size is not valid",
            ErrorKind::SwitchTimedOut => "the guest's writes did not come to an end in time",
            ErrorKind::NoThreads => "no threads could be started for copying",
        })?;
        if let Some(offset) = self.offset {
            write!(f, " (at offset {offset})")?;
        }
        match &self.detail {
            Some(detail) => write!(f, ": {detail}"),
            None => Ok(()),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}
