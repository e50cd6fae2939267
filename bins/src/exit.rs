//! Exit codes.

#[cfg(unix)]
use std::process::ExitCode;

#[cfg(unix)]
use fleece_backup_core::{Error, ErrorKind};
use fleece_cancel::CancelReason;

/// Something went wrong.
pub const ERROR: u8 = 1;

/// The command line makes no sense.
pub const USAGE: u8 = 2;

/// Done, but something was not as it should be.
pub const WARNINGS: u8 = 3;

/// Something is not what it should be.
pub const DAMAGE: u8 = 4;

/// The guest, its monitor or its agent.
pub const GUEST: u8 = 5;

/// A storage, or where the archive goes.
#[cfg(unix)]
const STORAGE: u8 = 6;

/// The code of what is done with so many warnings.
#[must_use]
pub const fn done(warnings: usize) -> u8 {
    match warnings {
        0 => 0,
        _ => WARNINGS,
    }
}

/// The code for an error.
#[cfg(unix)]
#[must_use]
pub fn code(error: &Error) -> ExitCode {
    ExitCode::from(number(error))
}

/// The same as a number.
#[cfg(unix)]
#[must_use]
pub fn number(error: &Error) -> u8 {
    match error.kind() {
        ErrorKind::Unsynced => WARNINGS,
        ErrorKind::Damage => DAMAGE,
        ErrorKind::Guest | ErrorKind::Snapshot => GUEST,
        ErrorKind::Storage | ErrorKind::Target => STORAGE,
        ErrorKind::Cancelled(reason) => signal(reason),
        _ => ERROR,
    }
}

/// 128 and the signal's number, as a shell reports it.
#[must_use]
pub const fn signal(reason: CancelReason) -> u8 {
    match reason {
        CancelReason::Terminated => 143,
        CancelReason::HungUp => 129,
        _ => 130,
    }
}
