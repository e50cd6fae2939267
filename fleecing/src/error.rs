//! The one error type of this crate.

use std::error::Error as StdError;

use crate::advice::{Advice, CleanUp};

/// What kind of thing went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// QEMU refused a command, or its monitor cannot be used.
    Qemu,
    /// The guest has no disk that could be backed up, or not the one asked for.
    Disks,
    /// This QEMU offers no way to start without danger to the guest.
    Unsafe,
    /// The fleecing storage.
    Storage,
    /// The record of what was made cannot be written or read.
    Record,
    /// A fleecing image does not answer, so neither QEMU is asked to let go of it nor the storage to free
    /// it.
    Hangs,
    /// It is not known which guest is meant, or its name is another guest's.
    Identity,
    /// Another backup or clean-up of the same guest is at work.
    Busy,
    /// The guest's file systems are frozen, or may be.
    Frozen,
    /// A disk of the guest is neither as it was nor as in an archive: a restore into it did not end.
    HalfRestored,
    /// Something on record that Fleece has not made, or that somebody uses: it is not ours to take away.
    Foreign,
    /// The state of the guest's TPM cannot be read.
    Tpm,
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
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            advice: None,
            source: None,
        }
    }

    pub(crate) fn caused(
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

    /// The same with what can be done about it.
    pub(crate) fn advise(mut self, advice: impl Into<Option<Advice>>) -> Self {
        self.advice = advice.into().map(Box::new);
        self
    }

    /// For `map_err` on a monitor command: `what` was being attempted.
    pub(crate) fn qemu(what: impl Into<String>) -> impl FnOnce(fleece_qmp_client::Error) -> Self {
        let what = what.into();
        move |error| Self::caused(ErrorKind::Qemu, what, error)
    }

    /// Names the record that a clean-up is advised of, where that was not known before.
    pub(crate) fn of(mut self, known: CleanUp) -> Self {
        if let Some(Advice::CleanUpAfterwards(unknown)) = self.advice.as_deref_mut()
            && *unknown == CleanUp::default()
        {
            *unknown = known;
        }
        self
    }

    /// The cause, for an error that wraps this one's message.
    #[must_use]
    pub fn into_source(self) -> Option<Box<dyn StdError + Send + Sync>> {
        self.source
    }

    /// What can be done about it, where that is not in the message.
    #[must_use]
    pub fn advice(&self) -> Option<&Advice> {
        self.advice.as_deref()
    }

    /// What kind of error this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

/// A record is a configuration file.
impl From<fleece_guest_config::Error> for Error {
    fn from(error: fleece_guest_config::Error) -> Self {
        let message = "cannot write the record of what is made";
        Self::caused(ErrorKind::Record, message, error)
    }
}
