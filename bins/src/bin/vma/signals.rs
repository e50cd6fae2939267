//! SIGINT and SIGTERM: the work ends at its next step and cleans up after itself.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use fleece_vma_format::{Error, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

static CAUGHT: OnceLock<Arc<AtomicUsize>> = OnceLock::new();

/// Begins to watch for signals. A second one ends the program at once.
pub(super) fn watch() {
    let caught = CAUGHT.get_or_init(Arc::default);
    let seen = Arc::new(AtomicBool::new(false));
    for (signal, code) in [(SIGINT, 130_u8), (SIGTERM, 143)] {
        // Handlers run in this order: the first signal finds `seen` unset. Without handlers a
        // signal does what it always does, which is right as well.
        let _ = flag::register_conditional_shutdown(signal, code.into(), Arc::clone(&seen));
        let _ = flag::register(signal, Arc::clone(&seen));
        let _ = flag::register_usize(signal, Arc::clone(caught), code.into());
    }
}

/// The exit code for the signal that has come, if any.
pub(super) fn caught() -> Option<u8> {
    let code = CAUGHT.get().map_or(0, |flag| flag.load(Ordering::Relaxed));
    u8::try_from(code).ok().filter(|&code| code != 0)
}

/// Fails once a signal has come.
pub(super) fn check() -> Result<()> {
    match caught() {
        None => Ok(()),
        Some(_) => {
            let interrupted = std::io::ErrorKind::Interrupted;
            Err(Error::io("interrupted by a signal", interrupted.into()))
        }
    }
}
