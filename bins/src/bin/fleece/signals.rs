//! Signals end a job in order; a second one ends it at once.

use fleece_backup_core::{CancelReason, CancelToken, Error, ErrorKind};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// A token that SIGINT, SIGTERM and SIGHUP cancel.
pub(crate) fn token() -> Result<CancelToken, Error> {
    let failed = |error| Error::caused(ErrorKind::Internal, "cannot listen for signals", error);
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(failed)?;
    let token = CancelToken::new();
    let fired = token.clone();
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            for signal in signals.forever() {
                if fired.reason().is_some() {
                    // What is left is on record, for `fleece cleanup`.
                    std::process::exit(128_i32.saturating_add(signal));
                }
                fired.cancel(match signal {
                    SIGTERM => CancelReason::Terminated,
                    SIGHUP => CancelReason::HungUp,
                    _ => CancelReason::Interrupted,
                });
            }
        })
        .map_err(failed)?;
    Ok(token)
}
