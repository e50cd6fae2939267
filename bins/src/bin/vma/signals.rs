//! SIGINT and SIGTERM: the work ends at its next step and cleans up after itself.

use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use fleece_vma_format::{Error, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::low_level::pipe;

static CAUGHT: OnceLock<Arc<AtomicUsize>> = OnceLock::new();

/// Whether the next signal ends the program at once.
static IMPATIENT: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Begins to watch for signals. A second one ends the program at once.
pub(super) fn watch() {
    let caught = CAUGHT.get_or_init(Arc::default);
    let impatient = IMPATIENT.get_or_init(Arc::default);
    for (signal, code) in [(SIGINT, 130_u8), (SIGTERM, 143)] {
        // Handlers run in this order: the first signal finds `impatient` unset. Without handlers a
        // signal does what it always does, which is right as well.
        let _ = flag::register_conditional_shutdown(signal, code.into(), Arc::clone(impatient));
        let _ = flag::register(signal, Arc::clone(impatient));
        let _ = flag::register_usize(signal, Arc::clone(caught), code.into());
    }
}

/// Does something that may wait for somebody else, such as opening a FIFO, and leaves nothing to be
/// cleaned up: a signal ends the program there and then, as the system call would go on waiting.
pub(super) fn at_once<T>(wait: impl FnOnce() -> T) -> T {
    let set = |impatient: bool| {
        if let Some(flag) = IMPATIENT.get() {
            flag.store(impatient, Ordering::Relaxed);
        }
    };
    set(true);
    if let Some(code) = caught() {
        std::process::exit(code.into());
    }
    let done = wait();
    set(caught().is_some());
    done
}

/// The exit code for the signal that has come, if any.
pub(super) fn caught() -> Option<u8> {
    let code = CAUGHT.get().map_or(0, |flag| flag.load(Ordering::Relaxed));
    u8::try_from(code).ok().filter(|&code| code != 0)
}

/// Waits for a signal, which may have come already.
pub(super) fn wait() -> std::io::Result<()> {
    let (bell, mut heard) = UnixStream::pair()?;
    for signal in [SIGINT, SIGTERM] {
        pipe::register(signal, bell.try_clone()?)?;
    }
    if caught().is_none() {
        heard.read_exact(&mut [0])?;
    }
    Ok(())
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
