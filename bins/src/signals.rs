//! Signals end a job in order; a second one ends it at once.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use fleece_backup_core::{CancelReason, CancelToken, Error, ErrorKind};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::exit;

static TOKEN: OnceLock<CancelToken> = OnceLock::new();

/// Whether the next signal ends the program at once.
static IMPATIENT: AtomicBool = AtomicBool::new(false);

/// The program's token: signals cancel it once they are watched for.
pub fn token() -> &'static CancelToken {
    TOKEN.get_or_init(CancelToken::new)
}

/// A token that SIGINT, SIGTERM and SIGHUP cancel.
///
/// # Errors
/// [`ErrorKind::Internal`] if the system refuses a handler or a thread.
pub fn watch_all() -> Result<CancelToken, Error> {
    watch(&[SIGINT, SIGTERM, SIGHUP])
}

/// A token that SIGINT and SIGTERM cancel; at SIGHUP the program ends at once, as ever.
///
/// # Errors
/// As [`watch_all`].
pub fn watch_interrupts() -> Result<CancelToken, Error> {
    watch(&[SIGINT, SIGTERM])
}

fn watch(signals: &[i32]) -> Result<CancelToken, Error> {
    let failed = |error| Error::caused(ErrorKind::Internal, "cannot listen for signals", error);
    let mut signals = Signals::new(signals).map_err(failed)?;
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || signals.forever().for_each(caught))
        .map_err(failed)?;
    Ok(token().clone())
}

fn caught(signal: i32) {
    let again = token().reason().is_some();
    token().cancel(match signal {
        SIGTERM => CancelReason::Terminated,
        SIGHUP => CancelReason::HungUp,
        _ => CancelReason::Interrupted,
    });
    // Looked at after the token is cancelled, and set before it is looked at: one of the two sees the other.
    if again || IMPATIENT.load(Ordering::SeqCst) {
        // What is left is on record, for `fleece cleanup`.
        std::process::exit(128_i32.saturating_add(signal));
    }
}

/// Does something that may wait for somebody else, such as opening a FIFO, and leaves nothing to be
/// cleaned up: a signal ends the program there and then, as the system call would go on waiting.
pub fn at_once<T>(wait: impl FnOnce() -> T) -> T {
    IMPATIENT.store(true, Ordering::SeqCst);
    if let Some(reason) = token().reason() {
        std::process::exit(exit::signal(reason).into());
    }
    let done = wait();
    IMPATIENT.store(false, Ordering::SeqCst);
    done
}
