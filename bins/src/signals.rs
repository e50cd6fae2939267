//! Signals end a job in order; a second one ends it at once.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(unix)]
use fleece_backup_core::{Error, ErrorKind};
use fleece_cancel::{CancelReason, CancelToken};
#[cfg(unix)]
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
#[cfg(unix)]
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
#[cfg(unix)]
pub fn watch_all() -> Result<CancelToken, Error> {
    watch(&[SIGINT, SIGTERM, SIGHUP])
        .map_err(|error| Error::caused(ErrorKind::Internal, "cannot listen for signals", error))
}

/// A token that SIGINT and SIGTERM cancel, and Ctrl-C on Windows; at SIGHUP the program ends at once, as ever.
///
/// # Errors
/// If the system refuses a handler or a thread.
pub fn watch_interrupts() -> io::Result<CancelToken> {
    #[cfg(unix)]
    return watch(&[SIGINT, SIGTERM]);
    #[cfg(windows)]
    {
        ctrlc::set_handler(|| caught(CancelReason::Interrupted)).map_err(io::Error::other)?;
        Ok(token().clone())
    }
}

#[cfg(unix)]
fn watch(signals: &[i32]) -> io::Result<CancelToken> {
    let mut signals = Signals::new(signals)?;
    let reason = |signal| match signal {
        SIGTERM => CancelReason::Terminated,
        SIGHUP => CancelReason::HungUp,
        _ => CancelReason::Interrupted,
    };
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || signals.forever().map(reason).for_each(caught))?;
    Ok(token().clone())
}

fn caught(reason: CancelReason) {
    let again = token().reason().is_some();
    token().cancel(reason);
    // Looked at after the token is cancelled, and set before it is looked at: one of the two sees the other.
    if again || IMPATIENT.load(Ordering::SeqCst) {
        // What is left is on record, for `fleece cleanup`.
        std::process::exit(exit::signal(reason).into());
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
