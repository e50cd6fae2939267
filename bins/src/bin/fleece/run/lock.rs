//! One run of a job at a time.

use std::path::Path;

use fleece_backup_core::{Error, ErrorKind};
use fleece_staged_file::{LockFile, Locking, create_directories};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Takes the job's lock in the state directory; the kernel gives it up if we are killed.
pub(super) fn take(state: &Path, job: &str) -> Result<LockFile, Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if !job.chars().all(plain) || job.len() > 64 {
        let message = format!(
            "{job:?} is no name of a job: it has at most 64 letters, digits, '.', '_' and '-'"
        );
        return Err(Error::new(ErrorKind::Request, message));
    }
    // No guest's file is called so: its name has no `=`, and of a job's the first dot ends it.
    let path = state.join(format!("job={}.lock", job.replace('.', ",")));
    let failed = |error| {
        let message = format!("cannot lock {}", path.display());
        Error::caused(ErrorKind::Storage, message, error)
    };
    if !state.is_dir() {
        create_directories(state, 0o755).map_err(failed)?;
    }
    match LockFile::try_acquire(&path).map_err(failed)? {
        Locking::Held(mut lock) => {
            lock.note(&std::process::id().to_string());
            Ok(lock)
        }
        Locking::Busy(holder) => {
            let job = match job {
                "" => "a run without a job".to_owned(),
                job => format!("the job {job}"),
            };
            let holder = match &*holder {
                "" => "another process".to_owned(),
                holder => format!("process {holder}"),
            };
            let message = format!(
                "{holder} is running {job}{}; wait for it, or stop it ({} is locked)",
                since(&path).unwrap_or_default(),
                path.display()
            );
            Err(Error::new(ErrorKind::Request, message))
        }
    }
}

/// Since when it is locked.
fn since(path: &Path) -> Option<String> {
    let locked = path.metadata().ok()?.modified().ok()?;
    let locked = Timestamp::try_from(locked)
        .ok()?
        .to_zoned(TimeZone::system());
    Some(locked.strftime(" since %Y-%m-%d %H:%M:%S").to_string())
}
