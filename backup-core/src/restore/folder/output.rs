//! The folder that a guest is restored to: everything is complete before anything has its final name.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use fleece_staged_file::{create_directories, rename_new, sync_directory};
use rustix::fs::{Access, access, statvfs};
use rustix::process::geteuid;

use crate::report::advice::Advice;
use crate::report::error::{Error, ErrorKind};

/// Where files are until all of them are complete.
const STAGE: &str = ".fleece-restore";

/// In the folder as long as images in it are neither old nor new: their names. The script that starts the guest looks for it.
pub(super) const UNFINISHED: &str = ".fleece-unfinished";

/// In the stage while complete files get their names, as new ones or in the place of others. No file of an
/// archive has a name with such a sign.
const NAMING: &str = "new~";
const REPLACING: &str = "replacing~";

/// Files in the making. Dropped without [`Output::publish`], they are removed, and so is the folder if it
/// was made here.
#[derive(Debug)]
pub(super) struct Output {
    folder: PathBuf,
    stage: PathBuf,
    /// Held as long as we work here; a killed restore holds it no more.
    _lock: File,
    force: bool,
    /// In the order in which they get their names.
    names: Vec<String>,
    /// Folders that were made, the innermost first.
    made: Vec<PathBuf>,
}

impl Output {
    /// Opens the folder for files of these `names`. Without `force`, none of them may be there.
    pub(super) fn create<'a>(
        folder: &Path,
        force: bool,
        names: impl Iterator<Item = &'a str>,
    ) -> Result<Self, Error> {
        settle(folder);
        let names: Vec<String> = names.map(str::to_owned).collect();
        let there = |name: &&String| folder.join(name).symlink_metadata().is_ok();
        if let Some(taken) = names.iter().find(there).filter(|_| !force) {
            return Err(taken_already(&folder.join(taken)));
        }
        let failed = |what: &Path, error| cannot("make", what, error);
        let made = create_directories(folder, 0o777).map_err(|error| failed(folder, error))?;
        let stage = folder.join(STAGE);
        let new = match fs::DirBuilder::new().mode(0o700).create(&stage) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(error) => {
                remove_empty(&made);
                return Err(failed(&stage, error));
            }
        };
        let lock = lock(folder, &stage).inspect_err(|_| {
            if new {
                let _ = fs::remove_dir(&stage);
            }
            remove_empty(&made);
        })?;
        let output = Self {
            folder: folder.to_owned(),
            stage,
            _lock: lock,
            force,
            names,
            made,
        };
        // What a killed restore left.
        output.empty_stage()?;
        Ok(output)
    }

    /// Whether [`create`](Self::create) would open the folder, as far as that can be known without making
    /// anything, and how many bytes are free there.
    pub(super) fn check<'a>(
        folder: &Path,
        force: bool,
        mut names: impl Iterator<Item = &'a str>,
    ) -> Result<Option<u64>, Error> {
        let there = |name: &&str| folder.join(name).symlink_metadata().is_ok();
        if let Some(taken) = names.find(there).filter(|_| !force) {
            return Err(taken_already(&folder.join(taken)));
        }
        let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        let existing = absolute
            .ancestors()
            .find(|path| path.symlink_metadata().is_ok())
            .unwrap_or_else(|| Path::new("/"));
        if !existing.is_dir() {
            let error = io::Error::from(io::ErrorKind::NotADirectory);
            return Err(cannot("make", folder, error));
        }
        access(existing, Access::WRITE_OK | Access::EXEC_OK)
            .map_err(|error| cannot("write to", existing, error.into()))?;
        let stage = folder.join(STAGE);
        if stage.symlink_metadata().is_ok() {
            drop(lock(folder, &stage)?);
        }
        let free = statvfs(existing).ok();
        Ok(free.map(|status| status.f_bavail.saturating_mul(status.f_frsize)))
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where a file is made.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.stage.join(name)
    }

    /// Writes a small file that only its owner can read: configurations hold passwords.
    pub(super) fn write(&self, name: &str, data: &[u8], program: bool) -> Result<(), Error> {
        let path = self.path(name);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        options.mode(if program { 0o700 } else { 0o600 });
        let written = options.open(&path).and_then(|mut file| {
            file.write_all(data)?;
            file.sync_all()
        });
        written.map_err(|error| cannot("write", &path, error))
    }

    /// A file that is not made after all.
    pub(super) fn forget(&mut self, name: &str) {
        self.names.retain(|kept| kept != name);
    }

    /// Puts on record that these images are being written into. Gives what was on record before.
    pub(super) fn begin_overwriting(&self, images: &[&str]) -> Result<BTreeSet<String>, Error> {
        let earlier = self.unfinished();
        let mut all = earlier.clone();
        all.extend(images.iter().map(|image| (*image).to_owned()));
        self.note_unfinished(all)?;
        Ok(earlier)
    }

    /// Takes images off the record.
    fn end_overwriting(&self, images: &[&str]) -> Result<(), Error> {
        let mut left = self.unfinished();
        if left.is_empty() {
            return Ok(());
        }
        left.retain(|name| !images.contains(&name.as_str()));
        self.note_unfinished(left)
    }

    fn unfinished(&self) -> BTreeSet<String> {
        let text = fs::read_to_string(self.folder.join(UNFINISHED)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Replaces what is on record.
    pub(super) fn note_unfinished(&self, names: BTreeSet<String>) -> Result<(), Error> {
        let path = self.folder.join(UNFINISHED);
        let failed = |error| cannot("write", &path, error);
        if names.is_empty() {
            return match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
                _ => Ok(()),
            };
        }
        let mut text = names.into_iter().collect::<Vec<_>>().join("\n");
        text.push('\n');
        self.write(UNFINISHED, text.as_bytes(), false)?;
        fs::rename(self.path(UNFINISHED), &path).map_err(failed)?;
        sync_directory(&self.folder).map_err(failed)
    }

    /// Gives all files their names, or none: what was there comes back then. These `images` are whole now. Returns what is
    /// to be said of them although they are complete.
    pub(super) fn publish(mut self, images: &[&str]) -> Result<Option<String>, Error> {
        // From here on the next restore finishes this one if it is killed.
        self.write(if self.force { REPLACING } else { NAMING }, b"", false)?;
        for (number, name) in self.names.iter().enumerate() {
            if let Err(error) = self.rename(name) {
                for name in self.names.iter().take(number).rev() {
                    self.undo(name);
                }
                return Err(error);
            }
        }
        self.made.clear();
        // All files have their names: it is too late to fail.
        if let Err(error) = self.end_overwriting(images) {
            let record = self.folder.join(UNFINISHED);
            let record = record.display();
            return Ok(Some(format!(
                "all is complete, but {record} still says that it is not; remove that file ({})",
                error.chain()
            )));
        }
        let synced = sync_directory(&self.folder).err();
        Ok(synced.map(|error| {
            let folder = self.folder.display();
            format!("all is complete, but {folder} cannot be synced: a power failure may undo it ({error})")
        }))
    }

    fn rename(&self, name: &str) -> Result<(), Error> {
        let (from, to) = (self.path(name), self.folder.join(name));
        if !self.force {
            return rename_new(&from, &to).map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => taken_already(&to),
                _ => cannot("write", &to, error),
            });
        }
        let failed = |error| cannot("write", &to, error);
        self.keep_old(name).map_err(failed)?;
        fs::rename(&from, &to).map_err(failed).inspect_err(|_| {
            // It may have got no second name but another.
            let _ = rename_new(&self.old(name), &to);
        })
    }

    /// Gives the file that is replaced a second name, if there is one.
    fn keep_old(&self, name: &str) -> io::Result<()> {
        let (old, to) = (self.old(name), self.folder.join(name));
        let there = match to.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            there => there?,
        };
        // No file replaces a directory.
        if there.is_dir() || fs::hard_link(&to, &old).is_ok() {
            return Ok(());
        }
        fs::rename(&to, &old)
    }

    /// Takes a name away again, and puts back what had it before.
    fn undo(&self, name: &str) {
        let to = self.folder.join(name);
        if fs::rename(self.old(name), &to).is_err_and(|e| e.kind() == io::ErrorKind::NotFound) {
            let _ = fs::remove_file(to);
        }
    }

    /// What a replaced file is called until all are: no file of an archive has a name with such a sign.
    fn old(&self, name: &str) -> PathBuf {
        self.stage.join(format!("{name}~"))
    }

    fn empty_stage(&self) -> Result<(), Error> {
        let entries = fs::read_dir(&self.stage);
        let emptied = entries
            .and_then(|mut entries| entries.try_for_each(|entry| fs::remove_file(entry?.path())));
        emptied.map_err(|error| cannot("empty", &self.stage, error))
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // Whatever cannot be removed now is removed by the next restore to this folder.
        let _ = self.empty_stage();
        let _ = fs::remove_dir(&self.stage);
        remove_empty(&self.made);
    }
}

/// In a folder that others can write to as well, the stage may be somebody's trap: a link to where things
/// would be removed.
fn check_own(stage: &Path) -> Result<(), Error> {
    let metadata = stage
        .symlink_metadata()
        .map_err(|error| cannot("examine", stage, error))?;
    if metadata.is_dir() && metadata.uid() == geteuid().as_raw() {
        return Ok(());
    }
    let message = format!(
        "{} is not a directory of this user; remove it, or choose another folder",
        stage.display()
    );
    Err(Error::new(ErrorKind::Target, message))
}

/// Opens and locks the stage, if it is ours.
fn lock(folder: &Path, stage: &Path) -> Result<File, Error> {
    check_own(stage)?;
    let lock = File::open(stage).map_err(|error| cannot("open", stage, error))?;
    lock.try_lock().map_err(|error| {
        let message = format!(
            "another restore writes to {}; wait for it, or choose another folder",
            folder.display()
        );
        Error::caused(ErrorKind::Target, message, error)
    })?;
    Ok(lock)
}

fn remove_empty(folders: &[PathBuf]) {
    for folder in folders {
        // One that somebody else uses meanwhile is not empty.
        let _ = fs::remove_dir(folder);
    }
}

/// Finishes what a killed restore had completed and was giving its names, and removes what else it left. What
/// cannot be done is told when the folder is used.
fn settle(folder: &Path) {
    let stage = folder.join(STAGE);
    if stage.symlink_metadata().is_err() {
        return;
    }
    let Ok(_lock) = lock(folder, &stage) else {
        return;
    };
    let is_there = |name: &str| stage.join(name).symlink_metadata().is_ok();
    let (naming, replacing) = (is_there(NAMING), is_there(REPLACING));
    for entry in fs::read_dir(&stage).into_iter().flatten().flatten() {
        let (from, to) = (entry.path(), folder.join(entry.file_name()));
        let _ = match () {
            () if entry.file_name().to_string_lossy().ends_with('~') => fs::remove_file(&from),
            () if replacing => fs::rename(&from, &to),
            () if naming => rename_new(&from, &to),
            () => fs::remove_file(&from),
        };
    }
    let _ = sync_directory(folder);
    let _ = fs::remove_dir(&stage);
}

fn taken_already(path: &Path) -> Error {
    let message = format!("{} is there already", path.display());
    Error::new(ErrorKind::Target, message).advise(Advice::ReplaceFiles)
}

fn cannot(what: &str, path: &Path, error: io::Error) -> Error {
    let message = format!("cannot {what} {}", path.display());
    Error::caused(ErrorKind::Target, message, error)
}
