//! What went wrong, for people, and the exit code that says so.

use std::fmt::{Display, Write};
use std::io::{self, Write as _};

use fleece_backup_core::ErrorKind;
use fleece_bins::advice::{chain, text};
use fleece_bins::{exit, signals};
use fleece_plain_text::message;
use fleece_storage::block;
use fleece_vma_format as format;

pub(super) type Result<T> = std::result::Result<T, Failure>;

/// A failure of the program.
#[derive(Debug)]
pub(super) struct Failure {
    code: u8,
    message: Option<String>,
}

impl Failure {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            code: exit::ERROR,
            message: Some(message.into()),
        }
    }

    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self {
            code: exit::USAGE,
            message: Some(message.into()),
        }
    }

    /// All is done, but something is not as it should be.
    pub(super) fn warning(message: &str) -> Self {
        Self {
            code: exit::WARNINGS,
            message: Some(format!("warning: {message}")),
        }
    }

    /// Damage, already told or told by `message`.
    pub(super) const fn damage(message: Option<String>) -> Self {
        Self {
            code: exit::DAMAGE,
            message,
        }
    }

    /// A result that is no success, with nothing more to be said.
    pub(super) const fn silent(code: u8) -> Self {
        Self {
            code,
            message: None,
        }
    }

    /// A failed system call, met while doing `what`.
    pub(super) fn io(what: impl Into<String>, error: impl Into<io::Error>) -> Self {
        let mut message = what.into();
        let _ = write!(message, ": {}", chain(&error.into()));
        Self::new(message)
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

    /// Tells it on standard error.
    pub(super) fn print(&self) {
        if let Some(message) = self.message.as_ref().filter(|_| self.code != CLOSED_PIPE) {
            talk(format_args!("vma: {message}"));
        }
    }

    pub(super) fn message(&self) -> &str {
        self.message.as_deref().unwrap_or_default()
    }
}

/// Stands for standard output closed by its reader.
const CLOSED_PIPE: u8 = u8::MAX;

/// Prints a line to standard error. Where that cannot be written to, nothing is left to be done:
/// work goes on, which `eprintln` would end by a panic.
pub(super) fn talk(line: impl Display) {
    let line = line.to_string();
    let _ = writeln!(io::stderr(), "{}", message(&line));
}

impl From<format::Error> for Failure {
    fn from(error: format::Error) -> Self {
        if let Some(reason) = signals::token().reason() {
            return Self::silent(exit::signal(reason));
        }
        let code = if error.kind().is_damage() {
            exit::DAMAGE
        } else {
            exit::ERROR
        };
        Self {
            code,
            message: Some(text(&error)),
        }
    }
}

impl From<fleece_backup_core::Error> for Failure {
    fn from(error: fleece_backup_core::Error) -> Self {
        match signals::token().reason() {
            Some(reason) => Self::silent(exit::signal(reason)),
            None if error.kind() == ErrorKind::Unsynced => Self::warning(&error.chain()),
            None => Self::new(error.chain()),
        }
    }
}

impl From<block::Error> for Failure {
    fn from(error: block::Error) -> Self {
        Self::new(chain(&error))
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
