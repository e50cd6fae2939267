//! What runs on this host: a small file for each backup, which any shell can read.
//!
//! The file is replaced as a whole, so it is never half written. It says which process writes it; one of a process that is
//! gone is what a kill has left.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// How the names of the files end.
const ENDING: &str = ".status";

/// The same while one is written.
const TEMPORARY: &str = ".status-tmp";

/// The longest file that is read, in bytes.
const MAX_SIZE: u64 = 64 << 10;

/// How a backup goes. Times are seconds since 1970, and sizes bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Status {
    /// The guest's number or name.
    pub guest: String,
    /// Of which job it is a part, if of one.
    pub job: Option<String>,
    /// Where the archive goes.
    pub archive: Option<String>,
    /// The process.
    pub pid: u32,
    /// When that process began, in ticks since the boot (`proc_pid_stat(5)`): numbers of processes come again.
    pub pid_began: u64,
    /// When the backup began.
    pub began: u64,
    /// When this was written.
    pub updated: u64,
    /// When it last got on.
    pub moved: u64,
    /// What it said last.
    pub message: String,
    /// How much of the disks is done, of how much.
    pub done: u64,
    /// The size of the disks.
    pub total: u64,
    /// How much is read per second.
    pub rate: f64,
    /// How many seconds are left, as far as that can be told.
    pub eta: Option<f64>,
    /// What the fleecing images hold.
    pub fleecing: Option<u64>,
}

impl Status {
    /// That of a backup of this process which begins now.
    #[must_use]
    pub fn begin(guest: &str) -> Self {
        let pid = std::process::id();
        let now = now();
        Self {
            guest: guest.to_owned(),
            pid,
            pid_began: process_began(pid).unwrap_or_default(),
            began: now,
            updated: now,
            moved: now,
            ..Self::default()
        }
    }

    /// Whether its process is still there.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        process_began(self.pid) == Some(self.pid_began)
    }

    /// For how long it has not got on.
    #[must_use]
    pub fn stands_still(&self) -> Duration {
        Duration::from_secs(now().saturating_sub(self.moved))
    }
}

/// The file of a backup, removed on drop.
#[derive(Debug)]
pub struct StatusFile {
    path: PathBuf,
}

impl StatusFile {
    /// That of a guest in a state directory. It is not written yet.
    #[must_use]
    pub fn new(directory: &Path, guest: &str) -> Self {
        // As the names of a guest's other files: what follows the first dot is what it is.
        let name = format!("{}{ENDING}", guest.replace('.', ","));
        Self {
            path: directory.join(name),
        }
    }

    /// Replaces it.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write(&self, status: &mut Status) -> io::Result<()> {
        status.updated = now();
        let temporary = self.path.with_extension("status-tmp");
        fs::write(&temporary, serde_json::to_vec(status)?)?;
        fs::rename(&temporary, &self.path)
    }
}

impl Drop for StatusFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// All backups that have a file in a state directory, by guest. What cannot be read is left out.
///
/// # Errors
/// Those of reading the directory; a missing one is empty.
pub fn all(directory: &Path) -> io::Result<Vec<Status>> {
    let mut all: Vec<Status> = files(directory, ENDING)?
        .iter()
        .filter_map(|path| read(path))
        .collect();
    all.sort_by(|a, b| a.guest.cmp(&b.guest));
    Ok(all)
}

/// Removes the files of processes that are gone, also those that were being written.
///
/// # Errors
/// Those of reading the directory and of removing files; all others are removed all the same.
pub fn forget_dead(directory: &Path) -> io::Result<()> {
    let is_alive = |path: &Path| read(path).is_some_and(|status| status.is_alive());
    let mut result = Ok(());
    for path in files(directory, ENDING)?
        .into_iter()
        .chain(files(directory, TEMPORARY)?)
    {
        if is_alive(&path.with_extension("status")) {
            continue;
        }
        match fs::remove_file(&path) {
            // Its process has ended meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => result = result.and(removed),
        }
    }
    result
}

fn files(directory: &Path, ending: &str) -> io::Result<Vec<PathBuf>> {
    let entries = match directory.read_dir() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if name.is_some_and(|name| name.ends_with(ending)) {
            paths.push(path);
        }
    }
    Ok(paths)
}

fn read(path: &Path) -> Option<Status> {
    let metadata = fs::symlink_metadata(path).ok()?;
    if !metadata.is_file() || metadata.len() > MAX_SIZE {
        return None;
    }
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// When a process began, in ticks since the boot: the 22nd field, and the second may have blanks and brackets in it.
fn process_began(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after) = stat.rsplit_once(") ")?;
    after.split(' ').nth(19)?.parse().ok()
}

/// Seconds since 1970.
#[must_use]
pub fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_is_seen_and_what_was_killed_is_known_to_be_gone() {
        let dir = tempfile::tempdir().unwrap();
        let file = StatusFile::new(dir.path(), "web.example");
        let mut status = Status::begin("web.example");
        status.done = 7;
        file.write(&mut status).unwrap();
        assert_eq!(all(dir.path()).unwrap(), [status.clone()]);
        assert!(status.is_alive());
        forget_dead(dir.path()).unwrap();
        assert_eq!(all(dir.path()).unwrap().len(), 1);

        // The number of the process is another's now.
        let dead = StatusFile::new(dir.path(), "db");
        let mut other = Status::begin("db");
        other.pid_began += 1;
        dead.write(&mut other).unwrap();
        fs::write(dir.path().join("odd.status"), "{").unwrap();
        fs::write(dir.path().join("100.status-tmp"), "{").unwrap();
        assert!(!other.is_alive());
        forget_dead(dir.path()).unwrap();
        assert_eq!(all(dir.path()).unwrap(), [status]);
        drop((file, dead));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(all(&dir.path().join("none")).unwrap().is_empty());
    }
}
