//! Files that go to the disk while they are still being written, so that little is left to be waited
//! for at their end.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};

/// How many bytes are written between two syncs: enough for a disk to be busy, and for the flush of
/// its cache not to count.
const INTERVAL: u64 = 64 << 20;

/// A thread that syncs every now and then.
#[derive(Debug)]
pub struct Writeback {
    written: AtomicU64,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    wake: SyncSender<()>,
    thread: JoinHandle<io::Result<()>>,
}

impl Writeback {
    /// Begins to call `sync`.
    ///
    /// # Errors
    /// If there can be no more threads.
    pub fn new(sync: impl Fn() -> io::Result<()> + Send + 'static) -> io::Result<Self> {
        let (wake, woken) = sync_channel(1);
        let run = move || woken.iter().try_for_each(|()| sync());
        let thread = thread::Builder::new().name("writeback".into()).spawn(run)?;
        Ok(Self {
            written: AtomicU64::new(0),
            running: Mutex::new(Some(Running { wake, thread })),
        })
    }

    /// Counts what has been written.
    pub fn wrote(&self, bytes: u64) {
        let before = self.written.fetch_add(bytes, Ordering::Relaxed);
        if before / INTERVAL != before.wrapping_add(bytes) / INTERVAL
            && let Some(running) = &*self.lock()
        {
            // If it is still busy, it has been told already.
            let _ = running.wake.try_send(());
        }
    }

    /// Waits for the last sync. The system tells an error of writing back only once, so one that
    /// was met on the way must not get lost.
    ///
    /// # Errors
    /// The first of `sync`.
    pub fn finish(&self) -> io::Result<()> {
        let Some(Running { wake, thread }) = self.lock().take() else {
            return Ok(());
        };
        drop(wake);
        let died = |_| Err(io::Error::other("the thread that syncs has died"));
        thread.join().unwrap_or_else(died)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_met_on_the_way_is_told_at_the_end() {
        let writeback = Writeback::new(|| Err(io::ErrorKind::StorageFull.into())).unwrap();
        writeback.wrote(INTERVAL);
        writeback.wrote(INTERVAL);
        let error = writeback.finish().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        writeback.wrote(INTERVAL);
    }
}
