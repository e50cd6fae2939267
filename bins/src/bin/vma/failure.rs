//! What went wrong, for people, and the exit code that says so.

use std::fmt::Write;
use std::io;

#[cfg(unix)]
use fleece_backup_core::ErrorKind;
use fleece_bins::advice::{chain, text};
use fleece_bins::{exit, signals};
use fleece_cancel::CancelReason;
use fleece_storage::block;
use fleece_vma_format as format;

/// What is told of a failure.
pub(super) enum Told<'a> {
    Warning(&'a str),
    /// Its kind and, unless that was told already, the message.
    Error(&'static str, Option<&'a str>),
}

pub(super) type Result<T> = std::result::Result<T, Failure>;

/// A failure of the program.
#[derive(Debug)]
pub(super) struct Failure {
    code: u8,
    /// One of those that `docs/JSON.md` lists.
    kind: &'static str,
    message: Option<String>,
}

impl Failure {
    /// What was asked for cannot be done.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self::of(REQUEST, message)
    }

    /// What cannot be put into an archive, or is not in it, is no damage of one.
    pub(super) fn refused(error: format::Error) -> Self {
        Self::new(chain(&error))
    }

    fn of(kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            code: exit::ERROR,
            kind,
            message: Some(message.into()),
        }
    }

    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self {
            code: exit::USAGE,
            ..Self::of(USAGE, message)
        }
    }

    /// All is done, but something is not as it should be.
    #[cfg(unix)]
    pub(super) fn warning(message: &str) -> Self {
        Self {
            code: exit::WARNINGS,
            ..Self::of(WARNING, message)
        }
    }

    /// Damage, already told or told by `message`.
    pub(super) const fn damage(message: Option<String>) -> Self {
        Self {
            code: exit::DAMAGE,
            kind: DAMAGE,
            message,
        }
    }

    /// A result that is no success, with nothing more to be said.
    pub(super) const fn silent(code: u8) -> Self {
        Self {
            code,
            kind: "",
            message: None,
        }
    }

    /// A signal has ended it, which the exit code says to people.
    fn interrupted(reason: CancelReason) -> Self {
        Self {
            code: exit::signal(reason),
            kind: CANCELLED,
            message: None,
        }
    }

    /// A failed system call, met while doing `what`.
    pub(super) fn io(what: impl Into<String>, error: impl Into<io::Error>) -> Self {
        let mut message = what.into();
        let _ = write!(message, ": {}", chain(&error.into()));
        Self::of(format::ErrorKind::Io.word(), message)
    }

    /// Standard output that cannot be written to.
    pub(super) fn output(error: io::Error) -> Self {
        let closed = error.kind() == io::ErrorKind::BrokenPipe;
        let failure = Self::io("cannot write to standard output", error);
        Self {
            code: if closed { CLOSED_PIPE } else { failure.code },
            ..failure
        }
    }

    /// That standard output was closed before the work was done: no success, unlike where printing
    /// is the work.
    pub(super) fn unfinished(self) -> Self {
        Self {
            code: if self.code == CLOSED_PIPE {
                exit::ERROR
            } else {
                self.code
            },
            ..self
        }
    }

    pub(super) const fn code(&self) -> u8 {
        // Whoever has read enough has got what it wanted.
        if self.code == CLOSED_PIPE {
            0
        } else {
            self.code
        }
    }

    /// What is to be told of it; nothing of standard output that was closed by its reader.
    pub(super) fn told(&self) -> Option<Told<'_>> {
        match &self.message {
            _ if self.code == CLOSED_PIPE => None,
            None if self.kind.is_empty() => None,
            Some(message) if self.kind == WARNING => Some(Told::Warning(message)),
            message => Some(Told::Error(self.kind, message.as_deref())),
        }
    }

    pub(super) fn message(&self) -> &str {
        self.message.as_deref().unwrap_or_default()
    }
}

/// The kinds that `fleece` has, too, in its words.
const REQUEST: &str = "request";
const DAMAGE: &str = "archive-damaged";
const CANCELLED: &str = "cancelled";

/// The kind of a command line that makes no sense.
const USAGE: &str = "usage";

/// What is no failure.
const WARNING: &str = "warning";

/// Stands for standard output closed by its reader.
const CLOSED_PIPE: u8 = u8::MAX;

impl From<format::Error> for Failure {
    fn from(error: format::Error) -> Self {
        if let Some(reason) = signals::token().reason() {
            return Self::interrupted(reason);
        }
        let code = if error.kind().is_damage() {
            exit::DAMAGE
        } else {
            exit::ERROR
        };
        Self {
            code,
            ..Self::of(error.kind().word(), text(&error))
        }
    }
}

impl From<fleece_archive_files::Error> for Failure {
    fn from(error: fleece_archive_files::Error) -> Self {
        match signals::token().reason() {
            Some(reason) => Self::interrupted(reason),
            None if error.kind() == fleece_archive_files::ErrorKind::Damaged => {
                Self::damage(Some(chain(&error)))
            }
            None => Self::new(chain(&error)),
        }
    }
}

impl From<fleece_archive_io::Error> for Failure {
    fn from(error: fleece_archive_io::Error) -> Self {
        match signals::token().reason() {
            Some(reason) => Self::interrupted(reason),
            None => Self::of(error.kind().word(), error.chain()),
        }
    }
}

#[cfg(unix)]
impl From<fleece_backup_core::Error> for Failure {
    fn from(error: fleece_backup_core::Error) -> Self {
        match signals::token().reason() {
            Some(reason) => Self::interrupted(reason),
            None if error.kind() == ErrorKind::Unsynced => Self::warning(&error.chain()),
            None => Self::of(error.kind().word(), error.chain()),
        }
    }
}

impl From<block::Error> for Failure {
    fn from(error: block::Error) -> Self {
        Self::of(error.kind().word(), chain(&error))
    }
}

/// Fails once a signal has come.
pub(super) fn check() -> format::Result<()> {
    match signals::token().reason() {
        None => Ok(()),
        Some(reason) => Err(format::Error::io(
            "interrupted by a signal",
            io::Error::other(reason.to_string()),
        )),
    }
}
