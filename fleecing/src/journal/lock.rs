//! One backup, restore or clean-up of a guest at a time.

use std::path::Path;

use fleece_staged_file::{LockFile, Locking};

use crate::error::{Error, ErrorKind};

/// An exclusive lock on a guest, given up on drop and by the kernel when the process dies.
#[derive(Debug)]
pub(crate) struct GuestLock {
    _file: LockFile,
}

impl GuestLock {
    /// Takes the lock `path`; does not wait.
    pub(crate) fn acquire(path: &Path) -> Result<Self, Error> {
        let locking = LockFile::try_acquire(path).map_err(|error| {
            let message = format!("cannot lock {}", path.display());
            Error::caused(ErrorKind::Record, message, error)
        })?;
        match locking {
            Locking::Held(mut file) => {
                file.note(&std::process::id().to_string());
                Ok(Self { _file: file })
            }
            Locking::Busy(holder) => Err(busy(&holder, path)),
        }
    }
}

fn busy(holder: &str, path: &Path) -> Error {
    let who = match holder {
        "" => "another process".to_owned(),
        holder => format!("process {holder}"),
    };
    Error::new(
        ErrorKind::Busy,
        format!(
            "{who} is backing up, restoring or cleaning up this guest ({} is locked); wait for it, or stop it",
            path.display()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_told_who_is_first_and_gets_it_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("100.lock");
        let first = GuestLock::acquire(&path).unwrap();
        let error = GuestLock::acquire(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy);
        assert!(
            error.to_string().contains(&std::process::id().to_string()),
            "{error}"
        );
        drop(first);
        assert!(!path.exists());
        drop(GuestLock::acquire(&path).unwrap());
    }
}
