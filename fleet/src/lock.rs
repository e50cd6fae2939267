//! One run of a job at a time.

use std::path::Path;

use fleece_staged_file::{LockFile, Locking, create_directories};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::error::{Error, ErrorKind};

/// Takes the lock of a job, which may have no name, in a state directory; the kernel gives it up if we are killed.
///
/// # Errors
/// Kind [`ErrorKind::Busy`] if the job runs already: by which process, and since when. [`ErrorKind::Name`] if that is no name;
/// [`ErrorKind::File`] if the lock cannot be made.
pub fn lock_job(state: &Path, job: &str) -> Result<LockFile, Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if !job.chars().all(plain) || job.len() > 64 {
        let message = format!(
            "{job:?} is no name of a job: it has at most 64 letters, digits, '.', '_' and '-'"
        );
        return Err(Error::new(ErrorKind::Name, message));
    }
    // No guest's file is called so: its name has no `=`, and of a job's the first dot ends it.
    let path = state.join(format!("job={}.lock", job.replace('.', ",")));
    let failed = |error| {
        let message = format!("cannot lock {}", path.display());
        Error::caused(ErrorKind::File, message, error)
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
            Err(Error::new(ErrorKind::Busy, message))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_runs_once_at_a_time_and_another_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let lock = lock_job(&state, "night.ly").unwrap();
        let error = lock_job(&state, "night.ly").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy);
        let who = format!(
            "process {} is running the job night.ly since ",
            std::process::id()
        );
        assert!(error.to_string().starts_with(&who), "{error}");
        drop((lock_job(&state, "").unwrap(), lock));
        assert_eq!(std::fs::read_dir(&state).unwrap().count(), 0);
        assert_eq!(
            lock_job(&state, "../x").unwrap_err().kind(),
            ErrorKind::Name
        );
    }
}
