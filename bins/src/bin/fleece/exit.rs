//! Exit codes.

use std::process::ExitCode;

use fleece_backup_core::{CancelReason, Error, ErrorKind};

/// Done, but something was not as it should be.
pub(crate) const WARNINGS: u8 = 3;

/// Something is not what it should be.
pub(crate) const DAMAGE: u8 = 4;

/// The guest, its monitor or its agent.
pub(crate) const GUEST: u8 = 5;

/// The code for an error.
pub(crate) fn code(error: &Error) -> ExitCode {
    ExitCode::from(match error.kind() {
        ErrorKind::Unsynced => WARNINGS,
        ErrorKind::Damage => DAMAGE,
        ErrorKind::Guest | ErrorKind::Snapshot => GUEST,
        ErrorKind::Storage | ErrorKind::Target => 6,
        ErrorKind::Cancelled(reason) => signal(reason),
        _ => 1,
    })
}

/// 128 and the signal's number, as a shell reports it.
fn signal(reason: CancelReason) -> u8 {
    match reason {
        CancelReason::Terminated => 143,
        CancelReason::HungUp => 129,
        _ => 130,
    }
}
