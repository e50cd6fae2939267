//! What lies beside an archive: it comes after it, each file at once, and goes before it.

use std::fs::{self, File};
use std::io::{self, ErrorKind as IoKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use fleece_staged_file::regular::{self, Links};
use fleece_staged_file::{StagedFile, remove_stale, rename_new, sync_directory, sync_directory_of};

use fleece_vma_format::index;

pub(super) use super::beside::path;
use super::beside::{KINDS, OF_STEM};
use super::name::{BackupName, EXTENSIONS, archive_stem};
use super::objects::{self, Prefix};
use crate::report::error::{Error, ErrorKind};

/// What there may be that is written here.
const WRITTEN: [&str; 8] = [
    index::EXTENSION,
    "sig",
    "verified",
    "drilled",
    "log",
    "stats.json",
    "notes",
    "protected",
];

/// Who may read notes: whoever may list the backups.
const MODE: u32 = 0o644;

/// Replaces a side file at once, or removes it.
pub(super) fn write(path: &Path, text: Option<&str>) -> Result<(), Error> {
    if let Some(written) = objects::write(path, text) {
        return written;
    }
    if let Some(directory) = path.parent() {
        sweep(directory);
    }
    let Some(text) = text else {
        remove(path)?;
        return settle(sync_directory_of(path), path);
    };
    let written = StagedFile::create(path, MODE).and_then(|mut staged| {
        staged.write_all(text.as_bytes())?;
        staged.commit_replacing()
    });
    match written
        .map_err(|error| target("write", path, error))?
        .warning()
    {
        Some(warning) => Err(Error::new(ErrorKind::Unsynced, warning)),
        None => Ok(()),
    }
}

/// The contents of a side file, at most so many bytes of it, as far as it can be read.
pub(super) fn read(path: &Path, most: u64) -> Option<Vec<u8>> {
    if let Some(read) = objects::read(path, most) {
        return read;
    }
    let mut bytes = Vec::new();
    let file = regular::open(path, Links::Refuse).ok()?;
    file.take(most).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Whether there is something under this name.
pub(super) fn exists(path: &Path) -> bool {
    objects::exists(path).unwrap_or_else(|| path.symlink_metadata().is_ok())
}

/// Removes a side file; tells whether it is gone.
pub(super) fn remove_one(path: &Path) -> bool {
    match objects::write(path, None) {
        Some(removed) => removed.is_ok(),
        None => fs::remove_file(path).is_ok(),
    }
}

/// Removes an archive with all that lies beside it: that goes first, and comes back if the archive stays.
pub(super) fn remove_all(archive: &Path) -> Result<(), Error> {
    let directory = archive.parent().unwrap_or_else(|| Path::new("."));
    if let Some(prefix) = Prefix::of(directory) {
        return prefix?.remove(archive);
    }
    sweep(directory);
    let mut removed = remove_many(directory, &[archive]);
    removed.pop().unwrap_or(Ok(()))
}

/// The same of several archives of a directory, which is synced only twice for all of them; what became of each,
/// in their order.
pub(super) fn remove_many(directory: &Path, archives: &[&Path]) -> Vec<Result<(), Error>> {
    if Prefix::of(directory).is_some() {
        return archives.iter().map(|archive| remove_all(archive)).collect();
    }
    let aside = |archive: &&Path| Aside::of(archive, archives);
    let mut asides: Vec<Result<Aside, Error>> = archives.iter().map(aside).collect();
    // After a power failure nothing lies there without its archive.
    if let Err(error) = sync_directory(directory) {
        let kind = error.kind();
        let failed = || target("sync", directory, io::Error::new(kind, error.to_string()));
        return asides
            .into_iter()
            .map(|aside| aside.and_then(|_| Err(failed())))
            .collect();
    }
    for (aside, archive) in asides.iter_mut().zip(archives) {
        if aside.is_ok()
            && let Err(error) = remove(archive)
        {
            *aside = Err(error);
        }
    }
    // What is put aside goes when the archive cannot come back any more.
    let synced = sync_directory(directory);
    let ends = asides.into_iter().zip(archives).map(|(aside, archive)| {
        aside?.remove();
        match &synced {
            Ok(()) => Ok(()),
            Err(error) => settle(
                Err(io::Error::new(error.kind(), error.to_string())),
                archive,
            ),
        }
    });
    ends.collect()
}

/// Side files under other names; they get their own again when dropped before [`Aside::remove`].
#[derive(Default)]
struct Aside(Vec<Moved>);

struct Moved {
    from: PathBuf,
    to: PathBuf,
    /// Tells others that somebody is at it, where files can be locked.
    _lock: Option<File>,
}

impl Aside {
    /// All that lies beside an archive and beside none that stays when those `going` go.
    fn of(archive: &Path, going: &[&Path]) -> Result<Self, Error> {
        let mut aside = Self::default();
        for kind in KINDS {
            if !OF_STEM.contains(&kind) || !has_sibling(archive, going) {
                aside.put(archive, kind)?;
            }
        }
        Ok(aside)
    }

    fn put(&mut self, archive: &Path, kind: &str) -> Result<(), Error> {
        let (from, to) = (path(archive, kind), aside_name(archive, kind));
        // A link is moved like a file, and nothing behind it is opened.
        let is_file = from.symlink_metadata().is_ok_and(|there| there.is_file());
        let lock = is_file.then(|| File::open(&from).ok()).flatten();
        if let Some(file) = &lock {
            let _ = file.try_lock();
        }
        match fs::rename(&from, &to) {
            Ok(()) => self.0.push(Moved {
                from,
                to,
                _lock: lock,
            }),
            Err(error) if error.kind() == IoKind::NotFound => {}
            Err(error) => return Err(target("remove", &from, error)),
        }
        Ok(())
    }

    fn remove(mut self) {
        for moved in self.0.drain(..) {
            // What stays is removed by the next that removes or writes something here.
            let _ = fs::remove_file(&moved.to);
        }
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        for moved in self.0.drain(..) {
            let _ = rename_new(&moved.to, &moved.from);
        }
    }
}

/// Whether there is, and stays, the same archive compressed in another way.
fn has_sibling(archive: &Path, going: &[&Path]) -> bool {
    let name = archive.file_name().unwrap_or_default().to_string_lossy();
    let Some(stem) = archive_stem(&name) else {
        return false;
    };
    EXTENSIONS.iter().any(|extension| {
        let other = archive.with_file_name(format!("{stem}.{extension}"));
        !going.contains(&other.as_path()) && other.symlink_metadata().is_ok()
    })
}

/// What a side file is called while its archive is being removed.
fn aside_name(archive: &Path, kind: &str) -> PathBuf {
    let name = archive.file_name().unwrap_or_default().to_string_lossy();
    archive.with_file_name(format!(".{name}.{kind}.removed"))
}

/// Puts in order what processes that were killed left: what was being written goes, and what was put aside
/// comes back if its archive is still there.
pub(super) fn sweep(directory: &Path) {
    if let Some(prefix) = Prefix::of(directory) {
        // What stays goes the next time.
        let _ = prefix.and_then(|prefix| prefix.sweep());
        return;
    }
    let entries = fs::read_dir(directory).into_iter().flatten();
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        let Some(name) = name.strip_prefix('.') else {
            continue;
        };
        if name.strip_suffix(".tmp").is_some_and(is_written) {
            let _ = remove_stale(&path);
        }
        if let Some((archive, kind)) = name.strip_suffix(".removed").and_then(of_archive) {
            restore(&path, &directory.join(archive), kind);
        }
    }
}

/// Whether a side file that is written here has this name.
fn is_written(name: &str) -> bool {
    WRITTEN.iter().any(|kind| {
        let beside = name
            .strip_suffix(kind)
            .and_then(|rest| rest.strip_suffix('.'));
        beside.is_some_and(|beside| match OF_STEM.contains(kind) {
            true => format!("{beside}.vma").parse::<BackupName>().is_ok(),
            false => archive_stem(beside).is_some(),
        })
    })
}

/// The archive and the kind of a side file that was put aside under this name.
fn of_archive(name: &str) -> Option<(&str, &str)> {
    KINDS.iter().find_map(|kind| {
        let archive = name.strip_suffix(kind)?.strip_suffix('.')?;
        archive_stem(archive).map(|_| (archive, *kind))
    })
}

fn restore(aside: &Path, archive: &Path, kind: &str) {
    let is_file = aside.symlink_metadata().is_ok_and(|there| there.is_file());
    let file = is_file.then(|| File::open(aside).ok()).flatten();
    if let Some(Err(fs::TryLockError::WouldBlock)) = file.as_ref().map(File::try_lock) {
        return;
    }
    let back =
        archive.symlink_metadata().is_ok() && rename_new(aside, &path(archive, kind)).is_ok();
    if !back {
        let _ = fs::remove_file(aside);
    }
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != IoKind::NotFound => Err(target("remove", path, error)),
        _ => Ok(()),
    }
}

/// What was done is done, even if a power failure may undo it.
fn settle(synced: io::Result<()>, path: &Path) -> Result<(), Error> {
    synced.map_err(|error| {
        let message = format!(
            "{} is removed, but its directory cannot be synced: a power failure may bring it back",
            path.display()
        );
        Error::caused(ErrorKind::Unsynced, message, error)
    })
}

fn target(operation: &str, path: &Path, error: io::Error) -> Error {
    let message = format!("cannot {operation} {}", path.display());
    Error::caused(ErrorKind::Target, message, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARCHIVE: &str = "vzdump-qemu-100-2026_01_01-00_00_00.vma.zst";

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    fn with(files: &[String]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            fs::write(dir.path().join(file), "x").unwrap();
        }
        dir
    }

    #[test]
    fn what_killed_processes_left_is_swept_and_nothing_else() {
        let stays = [
            ".other.log.tmp".to_owned(),
            ".other.notes.tmp".to_owned(),
            format!(".{ARCHIVE}.tmp"),
            ARCHIVE.to_owned(),
        ];
        let goes = [
            format!(".{ARCHIVE}.notes.tmp"),
            format!(".{ARCHIVE}.protected.tmp"),
            ".vzdump-qemu-100-2026_01_01-00_00_00.log.tmp".to_owned(),
            ".vzdump-qemu-100-2026_01_01-00_00_00.stats.json.tmp".to_owned(),
            format!(".{}.notes.removed", ARCHIVE.replace("100", "101")),
        ];
        let dir = with(&[&stays[..], &goes[..]].concat());
        write(&dir.path().join(format!("{ARCHIVE}.notes")), Some("text")).unwrap();
        assert_eq!(
            names(dir.path()),
            [&stays[..], &[format!("{ARCHIVE}.notes")]].concat()
        );
    }

    #[test]
    fn side_files_come_back_to_an_archive_that_stayed() {
        let aside = format!(".{ARCHIVE}.notes.removed");
        let log = format!(".{ARCHIVE}.log.removed");
        let stats = format!(".{ARCHIVE}.stats.json.removed");
        let dir = with(&[ARCHIVE.to_owned(), aside, log, stats]);
        sweep(dir.path());
        let expected = [
            "vzdump-qemu-100-2026_01_01-00_00_00.log",
            "vzdump-qemu-100-2026_01_01-00_00_00.stats.json",
            ARCHIVE,
            &format!("{ARCHIVE}.notes"),
        ];
        assert_eq!(names(dir.path()), expected);
    }

    #[test]
    fn an_archive_that_cannot_be_removed_keeps_what_lies_beside_it() {
        let dir = with(&[format!("{ARCHIVE}.notes"), format!("{ARCHIVE}.idx")]);
        // No file, and so nothing that can be unlinked.
        fs::create_dir(dir.path().join(ARCHIVE)).unwrap();
        let before = names(dir.path());
        remove_all(&dir.path().join(ARCHIVE)).unwrap_err();
        assert_eq!(names(dir.path()), before);
        fs::remove_dir(dir.path().join(ARCHIVE)).unwrap();
        remove_all(&dir.path().join(ARCHIVE)).unwrap();
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn a_log_goes_with_the_last_archive_that_it_is_about() {
        let (stem, plain) = (
            "vzdump-qemu-100-2026_01_01-00_00_00",
            ARCHIVE.replace(".zst", ""),
        );
        let log = format!("{stem}.log");
        let dir = with(&[ARCHIVE.to_owned(), plain.clone(), log.clone()]);
        let path = |name: &str| dir.path().join(name);
        remove_all(&path(&plain)).unwrap();
        assert_eq!(names(dir.path()), [log, ARCHIVE.to_owned()]);
        fs::write(path(&plain), "x").unwrap();
        let both = [path(&plain), path(ARCHIVE)];
        for removed in remove_many(dir.path(), &[&both[0], &both[1]]) {
            removed.unwrap();
        }
        assert!(names(dir.path()).is_empty());
    }
}
