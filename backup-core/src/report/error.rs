//! The one error type of this crate.

use std::error::Error as StdError;

use fleece_plain_text::message;
use fleece_staged_file::meaning;

use crate::job::cancel::CancelReason;
use crate::report::advice::Advice;

/// What kind of thing went wrong; programs turn it into exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request makes no sense: unknown disk, bad name, nothing to do.
    Request,
    /// Another process works on the guest, or has what is needed: later it may be free.
    Busy,
    /// The guest, its monitor or its agent.
    Guest,
    /// The point in time can no longer be read.
    Snapshot,
    /// The fleecing storage, or another storage that the backup uses.
    Storage,
    /// Where the archive goes.
    Target,
    /// The archive's own rules, e.g. too many disks.
    Archive,
    /// The archive is damaged, or is none.
    Damage,
    /// What was asked for is done, but a power failure may undo it: a warning.
    Unsynced,
    /// A program of the administrator's that is called meanwhile.
    Hook,
    /// Somebody cancelled the job.
    Cancelled(CancelReason),
    /// A fault of ours: a worker died.
    Internal,
}

impl ErrorKind {
    /// The kind as a word for programs, such as `archive-damaged`. It stays the same.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Busy => "busy",
            Self::Guest => "guest",
            Self::Snapshot => "snapshot",
            Self::Storage => "storage",
            Self::Target => "target",
            Self::Archive => "archive",
            Self::Damage => "archive-damaged",
            Self::Unsynced => "unsynced",
            Self::Hook => "hook",
            Self::Cancelled(_) => "cancelled",
            Self::Internal => "internal",
        }
    }
}

/// An error with what was attempted, and the cause as [`StdError::source`].
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: ErrorKind,
    message: String,
    advice: Option<Box<Advice>>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error without a deeper cause. `message` says what went wrong and what to do about it.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            advice: None,
            source: None,
        }
    }

    /// The same with what can be done about it.
    #[must_use]
    pub(crate) fn advise(mut self, advice: Advice) -> Self {
        self.advice = Some(Box::new(advice));
        self
    }

    /// What can be done about it, where that is not in the message: of this error, or of its causes.
    #[must_use]
    pub fn advice(&self) -> Option<&Advice> {
        let of_cause = || self.source()?.downcast_ref::<Self>()?.advice();
        self.advice.as_deref().or_else(of_cause)
    }

    /// A thread of ours ended by a panic.
    pub(crate) fn panicked() -> Self {
        let message = "a worker thread panicked; please report this as a bug";
        Self::new(ErrorKind::Internal, message)
    }

    /// An error caused by `source`, which `message` must not repeat.
    #[must_use]
    pub fn caused(
        kind: ErrorKind,
        message: impl Into<String>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self {
            kind,
            message: message.into(),
            advice: None,
            source: Some(source.into()),
        }
    }

    /// The error of a job that was cancelled.
    #[must_use]
    pub fn cancelled(reason: CancelReason) -> Self {
        Self::new(ErrorKind::Cancelled(reason), reason.to_string())
    }

    /// What kind of error this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The message and all causes, separated by colons, as one line for logs.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut line = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            line.push_str(": ");
            line.push_str(&error.to_string());
            cause = error.source();
        }
        if let Some(meaning) = meaning(self) {
            line.push_str(&format!(" ({meaning})"));
        }
        message(&line).into_owned()
    }
}

impl From<fleece_fleecing::Error> for Error {
    fn from(error: fleece_fleecing::Error) -> Self {
        use fleece_fleecing::ErrorKind as Kind;
        let kind = match error.kind() {
            Kind::Storage | Kind::Record | Kind::Hangs | Kind::HalfRestored => ErrorKind::Storage,
            Kind::Qemu | Kind::Disks | Kind::Unsafe | Kind::Frozen => ErrorKind::Guest,
            Kind::Busy => ErrorKind::Busy,
            _ => ErrorKind::Request,
        };
        Self {
            kind,
            message: error.to_string(),
            advice: error.advice().cloned().map(Advice::Fleecing).map(Box::new),
            source: error.into_source(),
        }
    }
}

impl From<fleece_archive_io::Error> for Error {
    fn from(error: fleece_archive_io::Error) -> Self {
        use fleece_archive_io::ErrorKind as Kind;
        let kind = match error.kind() {
            Kind::Target => ErrorKind::Target,
            _ => ErrorKind::Archive,
        };
        Self {
            kind,
            message: error.to_string(),
            advice: None,
            source: error.into_source(),
        }
    }
}

impl From<fleece_guest_config::Error> for Error {
    fn from(error: fleece_guest_config::Error) -> Self {
        let (kind, message) = match error.kind() {
            fleece_guest_config::ErrorKind::Unsynced => (
                ErrorKind::Unsynced,
                "the guest's configuration is written, but not synced",
            ),
            _ => (ErrorKind::Target, "cannot write the guest's configuration"),
        };
        Self::caused(kind, message, error)
    }
}
