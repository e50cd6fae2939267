//! A directory of backups.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io::{self, ErrorKind as IoKind};
use std::path::{Path, PathBuf};

use fleece_guest_config::GuestId;
use jiff::civil::DateTime;
use jiff::{SignedDuration, Timestamp};

use super::beside::MAX_NOTES;
use super::name::archive_stem;
use super::objects::Prefix;
use super::verified::State;
use super::{
    Backup, BackupName, Boots, Fault, KeepRules, Reason, Verdict, Verified, fault, plan, side_files,
};
use crate::clock;
use crate::report::error::{Error, ErrorKind};
use crate::target::base::BaseArchive;

/// Archives that are removed between two syncs of their directory: of thousands each for itself would take minutes.
const REMOVED_AT_ONCE: usize = 100;

/// A directory that backups lie in.
#[derive(Debug, Clone)]
pub struct DumpDirectory {
    path: PathBuf,
    /// Whether it is a storage's, which has none before its first backup.
    pub(super) of_storage: bool,
    /// Where its records are that it has not taken.
    pub(super) unwritten: Option<PathBuf>,
}

/// What pruning did, or would do, with one backup.
#[derive(Debug)]
#[non_exhaustive]
pub struct Pruned {
    /// The backup.
    pub backup: Backup,
    /// What was to become of it.
    pub verdict: Verdict,
    /// Why that could not be done.
    pub error: Option<Error>,
}

impl DumpDirectory {
    /// The directory at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            of_storage: false,
            unwritten: None,
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All backups of virtual machines, by guest and from the oldest to the newest; archives with
    /// other names come first.
    ///
    /// # Errors
    ///
    /// Kind [`ErrorKind::Target`] if the directory cannot be read. An archive that vanishes
    /// meanwhile is no error.
    pub fn list(&self) -> Result<Vec<Backup>, Error> {
        let mut backups = match Prefix::of(&self.path) {
            Some(prefix) => prefix?.list()?,
            None => self.files()?,
        };
        backups.sort_by(|a, b| {
            let key = |backup: &Backup| {
                backup
                    .name
                    .as_ref()
                    .map(|name| (name.guest().clone(), name.time()))
            };
            key(a)
                .cmp(&key(b))
                .then_with(|| a.file_name.cmp(&b.file_name))
        });
        Ok(backups)
    }

    /// Those in a directory, in any order.
    fn files(&self) -> Result<Vec<Backup>, Error> {
        let mut backups = Vec::new();
        for name in self.names()? {
            let Some(name) = name.to_str().filter(|name| archive_stem(name).is_some()) else {
                continue;
            };
            match self.look(name) {
                Ok(backup) => backups.extend(backup),
                Err(error) if error.kind() == IoKind::NotFound => {}
                Err(error) => return Err(target("read", &self.path.join(name), error)),
            }
        }
        Ok(backups)
    }

    /// The backup whose archive has this file name.
    ///
    /// # Errors
    ///
    /// Kind [`ErrorKind::Request`] if there is none, [`ErrorKind::Target`] if it cannot be read.
    pub fn find(&self, file_name: &str) -> Result<Backup, Error> {
        let none = || {
            let message = format!(
                "there is no backup {file_name:?} in {}",
                self.path.display()
            );
            Error::new(ErrorKind::Request, message)
        };
        if archive_stem(file_name).is_none() || file_name.contains('/') {
            return Err(none());
        }
        if let Some(prefix) = Prefix::of(&self.path) {
            return prefix?.find(file_name)?.ok_or_else(none);
        }
        match self.look(file_name) {
            Ok(Some(backup)) => Ok(backup),
            Ok(None) => {
                let path = self.path.join(file_name);
                let message = format!("{} is not a regular file, so not a backup", path.display());
                Err(Error::new(ErrorKind::Request, message))
            }
            Err(error) if error.kind() == IoKind::NotFound => Err(none()),
            Err(error) => Err(target("read", &self.path.join(file_name), error)),
        }
    }

    /// The name for a new backup of `guest` that begins at `time`: of the first second from then on of which
    /// nothing is there yet, complete or not.
    ///
    /// # Errors
    ///
    /// Kind [`ErrorKind::Target`] if the directory cannot be read or has one of every second of a minute,
    /// and those of [`BackupName::new`].
    pub fn free_name(
        &self,
        guest: &GuestId,
        time: DateTime,
        wrapper: Option<&str>,
    ) -> Result<BackupName, Error> {
        let taken = self.names()?;
        for seconds in 0..60 {
            let time = time.saturating_add(SignedDuration::from_secs(seconds));
            let name = BackupName::new(guest, time, wrapper)?;
            let stem = format!("{}.", name.stem());
            let is_its = |name: &OsString| {
                let name = name.to_string_lossy();
                name.trim_start_matches('.').starts_with(&stem)
            };
            if !taken.iter().any(is_its) {
                return Ok(name);
            }
        }
        let message = format!(
            "{} has backups of guest {guest} of every second from {time} on; check that the clock is right",
            self.path.display()
        );
        Err(Error::new(ErrorKind::Target, message))
    }

    /// The names of all files; none of a storage's directory that is not made yet.
    pub(super) fn names(&self) -> Result<Vec<OsString>, Error> {
        if let Some(prefix) = Prefix::of(&self.path) {
            return Ok(prefix?.names()?.into_iter().map(OsString::from).collect());
        }
        let failed = |error| target("list the backups in", &self.path, error);
        let entries = match fs::read_dir(&self.path) {
            Err(error) if error.kind() == IoKind::NotFound && self.of_storage => {
                return Ok(Vec::new());
            }
            entries => entries.map_err(failed)?,
        };
        let names = entries.map(|entry| entry.map(|entry| entry.file_name()));
        names.collect::<Result<_, _>>().map_err(failed)
    }

    /// Puts notes beside an archive; empty ones remove what was there.
    ///
    /// # Errors
    ///
    /// Kind [`ErrorKind::Target`].
    pub fn set_notes(&self, backup: &Backup, notes: &str) -> Result<(), Error> {
        self.write_beside(
            backup,
            "notes",
            Some(notes).filter(|notes| !notes.trim().is_empty()),
        )
    }

    /// Protects a backup from being removed, or no longer.
    ///
    /// # Errors
    ///
    /// Kind [`ErrorKind::Target`].
    pub fn set_protected(&self, backup: &Backup, protected: bool) -> Result<(), Error> {
        self.write_beside(backup, "protected", protected.then_some(""))
    }

    /// Puts on record what a verification found. It holds until the archive changes.
    ///
    /// # Errors
    ///
    /// Kind [`ErrorKind::Target`].
    pub fn set_verified(&self, backup: &Backup, verified: Verified) -> Result<(), Error> {
        let line = verified.to_line(&*self.state(backup)?);
        match self.write_beside(backup, "verified", line.as_deref()) {
            // What a power failure takes away can be found out again.
            Err(error) if error.kind() == ErrorKind::Unsynced => Ok(()),
            written => written,
        }
    }

    /// Puts on record what a drill found. It holds until the archive changes.
    ///
    /// # Errors
    ///
    /// Kind [`ErrorKind::Target`].
    pub fn set_boots(&self, backup: &Backup, boots: Boots) -> Result<(), Error> {
        let line = boots.to_line(&*self.state(backup)?);
        match self.write_beside(backup, "drilled", line.as_deref()) {
            // As of a verification.
            Err(error) if error.kind() == ErrorKind::Unsynced => Ok(()),
            written => written,
        }
    }

    /// What changes with its archive.
    fn state(&self, backup: &Backup) -> Result<Box<dyn State>, Error> {
        if let Some(prefix) = Prefix::of(&self.path) {
            return Ok(Box::new(prefix?.state(&backup.path)?));
        }
        let archive = fs::metadata(&backup.path);
        Ok(Box::new(
            archive.map_err(|error| target("read", &backup.path, error))?,
        ))
    }

    /// Removes a backup with all that lies beside it. One that is not there is no error.
    ///
    /// # Errors
    ///
    /// Kind [`ErrorKind::Request`] if it is protected, [`ErrorKind::Target`].
    pub fn remove(&self, backup: &Backup) -> Result<(), Error> {
        self.check_unprotected(backup)?;
        side_files::remove_all(&backup.path)
    }

    /// It may have been protected since it was looked at.
    fn check_unprotected(&self, backup: &Backup) -> Result<(), Error> {
        if side_files::exists(&self.beside(backup, "protected")) {
            let message = format!("{} is protected and stays", backup.file_name);
            return Err(Error::new(ErrorKind::Request, message));
        }
        if BaseArchive::is_held(&backup.path) {
            let message = format!(
                "{} stays: a backup that is under way takes from it what has not changed",
                backup.file_name
            );
            return Err(Error::new(ErrorKind::Request, message));
        }
        Ok(())
    }

    /// What pruning would do with each backup, of one guest or of all: [`plan`] now, by names, marks of
    /// verifications, and the headers of archives that nothing is known of.
    ///
    /// # Errors
    ///
    /// Those of [`list`](Self::list).
    pub fn judge(&self, rules: &KeepRules, guest: Option<&GuestId>) -> Result<Vec<Pruned>, Error> {
        let mut backups = self.list()?;
        backups.retain(|backup| guest.is_none() || backup.guest() == guest);
        for backup in &mut backups {
            if backup.name.is_some() && backup.fault.is_none() {
                backup.fault = Fault::of_header(backup.path());
            }
        }
        let mut verdicts = plan(&backups, rules, clock::now().datetime());
        if let Some(prefix) = Prefix::of(&self.path) {
            let prefix = prefix?;
            for (backup, verdict) in backups.iter().zip(&mut verdicts) {
                if matches!(verdict, Verdict::Remove(_))
                    && let Some(until) = prefix.locked(&backup.path)?
                {
                    *verdict = Verdict::Keep(Reason::Locked(until));
                }
            }
        }
        let judged = backups.into_iter().zip(verdicts);
        Ok(judged
            .map(|(backup, verdict)| Pruned {
                backup,
                verdict,
                error: None,
            })
            .collect())
    }

    /// Removes the backups that no rule keeps, of one guest or of all. One that cannot be removed
    /// does not stop the others. With them go the records of runs that left no archive, if they are older than all
    /// that stays. [`judge`](Self::judge) tells beforehand what would happen.
    ///
    /// # Errors
    ///
    /// Those of [`list`](Self::list).
    pub fn prune(&self, rules: &KeepRules, guest: Option<&GuestId>) -> Result<Vec<Pruned>, Error> {
        side_files::sweep(&self.path);
        let mut pruned = self.judge(rules, guest)?;
        let mut removable: Vec<&mut Pruned> = Vec::new();
        for pruned in &mut pruned {
            if !matches!(pruned.verdict, Verdict::Remove(_)) {
                continue;
            }
            match self.check_unprotected(&pruned.backup) {
                Ok(()) => removable.push(pruned),
                Err(error) => pruned.error = Some(error),
            }
        }
        for some in removable.chunks_mut(REMOVED_AT_ONCE) {
            let archives: Vec<&Path> = some.iter().map(|pruned| pruned.backup.path()).collect();
            let removed = side_files::remove_many(&self.path, &archives);
            for (pruned, removed) in some.iter_mut().zip(removed) {
                pruned.error = removed.err();
            }
        }
        // What stays of these goes the next time.
        let _ = self.sweep_runs(guest);
        Ok(pruned)
    }

    /// Reads what there is under a name; `None` if that is no file.
    fn look(&self, file_name: &str) -> io::Result<Option<Backup>> {
        let path = self.path.join(file_name);
        let metadata = match fs::metadata(&path) {
            // A link to what is not there, or to itself, or to where nobody may go: one of them must not be in the
            // way of all others.
            Err(_) if path.is_symlink() => return Ok(None),
            metadata => metadata?,
        };
        if !metadata.is_file() {
            return Ok(None);
        }
        let mut backup = Backup {
            file_name: file_name.to_owned(),
            name: file_name.parse().ok(),
            size: metadata.len(),
            modified: Timestamp::try_from(metadata.modified()?).unwrap_or_default(),
            notes: None,
            protected: false,
            indexed: false,
            verified: Verified::Unknown,
            boots: Boots::Unknown,
            fault: None,
            path,
        };
        backup.notes = read_text(&self.beside(&backup, "notes"));
        backup.protected = self.beside(&backup, "protected").symlink_metadata().is_ok();
        backup.indexed = self.beside(&backup, "idx").is_file();
        backup.verified = self.verification(&backup, &metadata);
        let drilled = read_text(&self.beside(&backup, "drilled"));
        backup.boots = drilled.map_or(Boots::Unknown, |line| Boots::from_line(&line, &metadata));
        backup.fault = Fault::known(backup.size, backup.verified);
        if backup.name.is_none() && backup.size > 0 {
            // The file's own time is that of the end of its writing, or of a copy.
            backup.modified = fault::instant(&backup.path).unwrap_or(backup.modified);
        }
        Ok(Some(backup))
    }

    fn verification(&self, backup: &Backup, archive: &Metadata) -> Verified {
        let line = read_text(&self.beside(backup, "verified"));
        line.map_or(Verified::Unknown, |line| {
            Verified::from_line(&line, archive)
        })
    }

    fn beside(&self, backup: &Backup, kind: &str) -> PathBuf {
        side_files::path(&backup.path, kind)
    }

    /// Replaces a side file at once, or removes it.
    fn write_beside(&self, backup: &Backup, kind: &str, text: Option<&str>) -> Result<(), Error> {
        side_files::write(&self.beside(backup, kind), text)
    }
}

/// The text of a side file, as far as it can be read: what is wrong with it is no reason not to
/// list the backup.
fn read_text(path: &Path) -> Option<String> {
    let bytes = side_files::read(path, MAX_NOTES)?;
    Some(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}

fn target(operation: &str, path: &Path, error: io::Error) -> Error {
    Error::caused(
        ErrorKind::Target,
        format!("cannot {operation} {}", path.display()),
        error,
    )
}

#[cfg(test)]
mod tests;
