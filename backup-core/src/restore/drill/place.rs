//! The temporary directory of a drill.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use fleece_staged_file::create_directories;

use crate::report::error::{Error, ErrorKind};

/// Within the directory of the records.
const DRILLS: &str = "drills";

/// A directory for one drill, locked as long as that goes on, and removed with the value.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    guest: File,
    _lock: File,
}

impl Place {
    pub(super) fn create(state_dir: &Path) -> Result<Self, Error> {
        let all = state_dir.join(DRILLS);
        let path = all.join(format!(
            "drill-{}-{}",
            std::process::id(),
            uuid::Uuid::new_v4().simple()
        ));
        let failed = |error: io::Error| {
            Error::caused(
                ErrorKind::Target,
                format!("cannot make {}", path.display()),
                error,
            )
        };
        create_directories(&all, 0o700).map_err(failed)?;
        let made = |path: &Path| {
            DirBuilder::new()
                .mode(0o700)
                .create(path)
                .and_then(|()| File::open(path))
        };
        let lock = made(&path).map_err(failed)?;
        lock.try_lock().map_err(|error| failed(error.into()))?;
        let guest = made(&path.join("guest")).map_err(failed)?;
        Ok(Self {
            path,
            guest,
            _lock: lock,
        })
    }

    /// Where the guest's images are, and QEMU works.
    pub(super) fn guest(&self) -> PathBuf {
        self.path.join("guest")
    }

    /// Something in there, by a path that is short enough for a socket.
    pub(super) fn socket(&self, name: &str) -> PathBuf {
        format!("/proc/self/fd/{}/{name}", self.guest.as_raw_fd()).into()
    }

    /// For what is made in between.
    pub(super) fn scratch(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes what killed drills have left in the directory of the records, and returns where that was. (Their QEMUs have ended
/// with them.)
///
/// # Errors
/// Kind `Target` for what cannot be removed.
pub fn sweep_drills(state_dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut removed = Vec::new();
    let entries = fs::read_dir(state_dir.join(DRILLS));
    for entry in entries.into_iter().flatten().flatten() {
        let path = entry.path();
        let is_dead = || File::open(&path).is_ok_and(|file| file.try_lock().is_ok());
        let is_ours = entry.file_name().to_string_lossy().starts_with("drill-");
        if !is_ours || !entry.file_type().is_ok_and(|kind| kind.is_dir()) || !is_dead() {
            continue;
        }
        match fs::remove_dir_all(&path) {
            // Another one was quicker.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let message = format!("cannot remove {}", path.display());
                return Err(Error::caused(ErrorKind::Target, message, error));
            }
            Ok(()) => removed.push(path),
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_drill_has_left_is_removed_and_nothing_else() {
        let state = tempfile::tempdir().unwrap();
        let live = Place::create(state.path()).unwrap();
        let drills = state.path().join(DRILLS);
        let dead = drills.join("drill-1-x");
        fs::create_dir_all(dead.join("guest")).unwrap();
        fs::create_dir(drills.join("other")).unwrap();
        assert_eq!(
            sweep_drills(state.path()).unwrap(),
            std::slice::from_ref(&dead)
        );
        assert!(live.guest().exists() && drills.join("other").exists() && !dead.exists());
        drop(live);
        assert_eq!(fs::read_dir(&drills).unwrap().count(), 1);
        assert!(sweep_drills(&state.path().join("none")).unwrap().is_empty());
    }
}
