//! Records that a directory of backups has not taken, since it was full, read-only, or did not answer: kept in the state
//! directory until it takes them.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use fleece_guest_config::GuestId;
use fleece_object_storage::Address;
use fleece_staged_file::create_directories;
use fleece_storage::Storages;

use super::name::archive_stem;
use super::runs::Failure;
use super::stats::Stats;
use super::{BackupName, DumpDirectory, Run, side_files, storage_id};
use crate::report::error::{Error, ErrorKind};

/// The directory in the state directory, in which there is one for each of backups, under its path.
const DIRECTORY: &str = "unwritten";

const MODE: u32 = 0o700;

impl DumpDirectory {
    /// The same directory, with what this state directory has of runs that it did not take.
    #[must_use]
    pub fn with_unwritten(mut self, state_dir: &Path) -> Self {
        self.unwritten = of(state_dir, self.path());
        self
    }

    /// Keeps the record of a run.
    pub(super) fn keep_record(
        &self,
        name: &BackupName,
        log: &str,
        stats: Stats,
    ) -> Result<(), Error> {
        self.kept(|kept| kept.write_record(name, log, stats))
    }

    /// Keeps the record of a run that came to no archive.
    pub(super) fn keep_failure(&self, guest: &GuestId, failure: Failure) -> Result<(), Error> {
        self.kept(|kept| kept.write_failure(guest, failure))
    }

    fn kept(&self, write: impl FnOnce(&Self) -> Result<(), Error>) -> Result<(), Error> {
        let Some(kept) = self.keeper() else {
            return Ok(());
        };
        create_directories(kept.path(), MODE).map_err(|error| {
            let message = format!("cannot create {}", kept.path().display());
            Error::caused(ErrorKind::Target, message, error)
        })?;
        // What is too old goes, if its directory never comes back.
        let done = write(&kept).and_then(|()| kept.sweep_runs(None));
        self.remove_empty(&kept);
        done
    }

    /// Removes the directories, up to and with [`DIRECTORY`], in which nothing is kept any more.
    fn remove_empty(&self, kept: &Self) {
        let ours = of(Path::new(""), self.path());
        let depth = ours.map_or(0, |ours| ours.components().count());
        for directory in kept.path().ancestors().take(depth) {
            match fs::remove_dir(directory) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return,
                _ => {}
            }
        }
    }

    /// What is kept, as a directory of runs without archives.
    fn keeper(&self) -> Option<Self> {
        let mut kept = Self::new(self.unwritten.as_deref()?);
        // Before the first there is none.
        kept.of_storage = true;
        Some(kept)
    }

    /// The runs that are kept.
    pub(super) fn kept_runs(&self) -> Vec<Run> {
        let kept = self.keeper();
        // Whose state directory it is not does not know.
        kept.and_then(|kept| kept.own_runs().ok())
            .unwrap_or_default()
    }

    /// Writes what is kept: the directory takes records again. What it does not take stays.
    pub(super) fn catch_up(&self) {
        let Some(kept) = self.keeper() else {
            return;
        };
        let runs = self.kept_runs();
        if runs.is_empty() {
            // Another process may have made the directory for what it is about to keep.
            return;
        }
        for Run { guest, time, stats } in runs {
            let Ok(name) = BackupName::new(&guest, time, None) else {
                continue;
            };
            let [ours, there] = [&kept, self].map(|one| one.path().join(name.to_string()));
            let is_there = side_files::exists(&side_files::path(&there, "stats.json"));
            let log = fs::read_to_string(side_files::path(&ours, "log")).unwrap_or_default();
            if is_there || self.write_record(&name, &log, stats).is_ok() {
                for kind in ["log", "stats.json"] {
                    // What stays is found to be written the next time.
                    let _ = fs::remove_file(side_files::path(&ours, kind));
                }
            }
        }
        self.remove_empty(&kept);
    }

    /// The directory that `place` means, without a look at it; `None` if it means none.
    pub(super) fn unseen(place: &Path, storages: &Storages) -> Option<Self> {
        let name = place.file_name().and_then(|name| name.to_str());
        match storage_id(place, storages) {
            Some(id) => storages.open(id).ok()?.dump_directory().map(Self::new),
            None if name.is_some_and(|name| archive_stem(name).is_some()) => None,
            None => Some(Self::new(place)),
        }
    }
}

/// Where records of that directory are kept; nowhere if it has no absolute path.
fn of(state_dir: &Path, directory: &Path) -> Option<PathBuf> {
    let mut kept = PathBuf::new();
    // An address in object storage is the same from anywhere.
    let absolute = match Address::of(directory) {
        Some(address) => address.to_path(),
        None => std::path::absolute(directory).ok()?,
    };
    for part in absolute.components() {
        match part {
            Component::Normal(name) => kept.push(name),
            Component::ParentDir => drop(kept.pop()),
            _ => {}
        }
    }
    Some(state_dir.join(DIRECTORY).join(kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_kept_under_the_path_of_their_directory_and_nowhere_else() {
        let of = |directory: &str| of(Path::new("/state"), Path::new(directory)).unwrap();
        assert_eq!(of("/mnt/backup/"), Path::new("/state/unwritten/mnt/backup"));
        assert_eq!(of("/../a/./../../etc"), Path::new("/state/unwritten/etc"));
        assert_eq!(of("/"), Path::new("/state/unwritten"));
        assert_eq!(of("s3:off/a"), Path::new("/state/unwritten/s3:off/a"));
    }

    #[test]
    fn what_names_an_archive_is_no_directory() {
        let unseen = |place: &str| DumpDirectory::unseen(Path::new(place), &Storages::none());
        assert!(unseen("mine.vma.zst").is_none());
        assert_eq!(unseen("/nowhere").unwrap().path(), Path::new("/nowhere"));
    }
}
