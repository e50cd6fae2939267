//! Questions to a file system that may not answer.

use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use crate::error::{Error, ErrorKind};
use crate::plugin::Status;

/// How long a file system may take to answer. Proxmox gives up after the same time.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The room on the file system at `path`, which must be a directory.
pub(crate) fn status(path: &Path) -> Result<Status, Error> {
    let io = |path: &Path, source: rustix::io::Errno| {
        Error::io("read the state of the file system", path, source.into())
    };
    answered(path, TIMEOUT, move |path| {
        if !path.is_dir() {
            return Err(Error::new(
                ErrorKind::NotFound,
                path.display(),
                "there is no such directory",
            ));
        }
        let stat = rustix::fs::statvfs(path).map_err(|source| io(path, source))?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        Ok(Status {
            total: bytes(stat.f_blocks),
            used: bytes(stat.f_blocks.saturating_sub(stat.f_bfree)),
            available: bytes(stat.f_bavail),
        })
    })
}

/// Asks in a thread of its own, so that a dead server cannot hold us: a thread that waits for a
/// network file system cannot be interrupted, but it can be left behind.
pub(crate) fn answered<T: Send + 'static>(
    path: &Path,
    timeout: Duration,
    question: impl FnOnce(&Path) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let (sender, receiver) = sync_channel(1);
    let owned = path.to_owned();
    let asked = thread::Builder::new()
        .name("storage-probe".to_owned())
        .spawn(move || {
            // Nobody listens any more once the time is up.
            let _ = sender.send(question(&owned));
        });
    asked.map_err(|source| Error::io("start a thread to look at", path, source))?;
    receiver.recv_timeout(timeout).map_err(|_| {
        let message = format!("the file system does not answer within {timeout:?}");
        Error::new(ErrorKind::Unreachable, path.display(), message)
    })?
}
