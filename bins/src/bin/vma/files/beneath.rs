//! A directory into which somebody else's files are put, and out of which no name of theirs leads.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, fchmod, fchown,
    futimens, linkat, mkdirat, openat, openat2, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use fleece_archive_files::Stat;

/// How long a path given to the system at once is: below `PATH_MAX`.
const MAX_PATH: usize = 2048;

/// The directory.
pub(super) struct Beneath {
    root: OwnedFd,
    /// The directory that was opened last, by its path.
    last: Option<(Vec<u8>, OwnedFd)>,
}

impl Beneath {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = openat(CWD, path, flags, Mode::empty())?;
        Ok(Self { root, last: None })
    }

    /// A directory beneath, of which no part is a symbolic link.
    fn directory(&mut self, path: &[u8]) -> io::Result<&OwnedFd> {
        if self.last.as_ref().is_none_or(|(last, _)| last != path) {
            self.last = None;
            let mut directory = self.root.try_clone()?;
            let mut rest = path;
            while !rest.is_empty() {
                let (now, later) = split(rest);
                directory = beneath(&directory, now)?;
                rest = later;
            }
            self.last = Some((path.to_vec(), directory));
        }
        match &self.last {
            Some((_, directory)) => Ok(directory),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn parent<'p>(&mut self, path: &'p [u8]) -> io::Result<(&OwnedFd, &'p OsStr)> {
        let (parent, name) = parts(path);
        Ok((self.directory(parent)?, OsStr::from_bytes(name)))
    }

    pub(super) fn make_directory(&mut self, path: &[u8]) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        Ok(mkdirat(parent, name, Mode::RWXU)?)
    }

    /// A new file, for its owner only.
    pub(super) fn make_file(&mut self, path: &[u8]) -> io::Result<File> {
        let (parent, name) = self.parent(path)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(parent, name, flags, Mode::RUSR | Mode::WUSR)?;
        Ok(file.into())
    }

    pub(super) fn remove_file(&mut self, path: &[u8]) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        Ok(unlinkat(parent, name, AtFlags::empty())?)
    }

    pub(super) fn make_link(&mut self, path: &[u8], target: &[u8]) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        Ok(symlinkat(OsStr::from_bytes(target), parent, name)?)
    }

    /// Another name for a file that was made here.
    pub(super) fn make_name(&mut self, file: &[u8], path: &[u8]) -> io::Result<()> {
        let (parent, name) = parts(file);
        let from = self.directory(parent)?.try_clone()?;
        let (to, new) = self.parent(path)?;
        Ok(linkat(
            from,
            OsStr::from_bytes(name),
            to,
            new,
            AtFlags::empty(),
        )?)
    }

    /// Gives a link its owner and times.
    pub(super) fn mark_link(&mut self, path: &[u8], stat: &Stat, owners: bool) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        if owners {
            let (uid, gid) = (Uid::from_raw(stat.uid), Gid::from_raw(stat.gid));
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            rustix::fs::chownat(parent, name, Some(uid), Some(gid), flags)?;
        }
        Ok(utimensat(
            parent,
            name,
            &times(stat),
            AtFlags::SYMLINK_NOFOLLOW,
        )?)
    }

    /// Gives a directory its owner, mode and times.
    pub(super) fn mark_directory(
        &mut self,
        path: &[u8],
        stat: &Stat,
        owners: bool,
    ) -> io::Result<()> {
        let directory = self.directory(path)?.try_clone()?;
        mark(&directory.into(), stat, owners)
    }
}

/// Gives what was made its owner, mode and times. Without its owner nothing runs as somebody else.
pub(super) fn mark(file: &File, stat: &Stat, owners: bool) -> io::Result<()> {
    let fd = file.as_fd();
    if owners {
        let (uid, gid) = (Uid::from_raw(stat.uid), Gid::from_raw(stat.gid));
        fchown(fd, Some(uid), Some(gid))?;
    }
    let allowed = if owners { 0o7777 } else { 0o1777 };
    fchmod(fd, Mode::from_raw_mode(stat.permissions & allowed))?;
    Ok(futimens(fd, &times(stat))?)
}

fn times(stat: &Stat) -> Timestamps {
    let time = |time: fleece_archive_files::Time| Timespec {
        tv_sec: time.seconds,
        tv_nsec: time.nanoseconds.into(),
    };
    Timestamps {
        last_access: time(stat.accessed),
        last_modification: time(stat.modified),
    }
}

/// The directory and the name of a path.
fn parts(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        None => (b"", path),
        Some(place) => {
            let (parent, name) = path.split_at_checked(place).unwrap_or((b"", path));
            (parent, name.get(1..).unwrap_or_default())
        }
    }
}

/// As much of a path as may be given to the system, and the rest.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    if path.len() <= MAX_PATH {
        return (path, b"");
    }
    let start = path.get(..MAX_PATH).unwrap_or(path);
    let end = start
        .iter()
        .rposition(|byte| *byte == b'/')
        .unwrap_or(path.len());
    let (now, later) = path.split_at_checked(end).unwrap_or((path, b""));
    (now, later.get(1..).unwrap_or_default())
}

fn beneath(directory: &OwnedFd, path: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match openat2(
        directory,
        OsStr::from_bytes(path),
        flags,
        Mode::empty(),
        resolve,
    ) {
        // Linux before 5.6: part by part, none of which is a link.
        Err(Errno::NOSYS) => {
            let mut at = directory.try_clone()?;
            for part in path.split(|byte| *byte == b'/') {
                if matches!(part, b"" | b"." | b"..") {
                    return Err(io::ErrorKind::InvalidInput.into());
                }
                at = openat(&at, OsStr::from_bytes(part), flags, Mode::empty())?;
            }
            Ok(at)
        }
        opened => Ok(opened?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    #[test]
    fn nothing_leads_out() {
        let outside = TempDir::new().unwrap();
        let target = TempDir::new().unwrap();
        std::os::unix::fs::symlink(outside.path(), target.path().join("link")).unwrap();
        let mut beneath = Beneath::open(target.path()).unwrap();
        for path in ["link/x", "../x", "a/../../x"] {
            assert!(beneath.make_file(path.as_bytes()).is_err(), "{path}");
            assert!(beneath.make_directory(path.as_bytes()).is_err(), "{path}");
        }
        // A link in the place of a file is not followed, either.
        assert!(beneath.make_file(b"link").is_err());
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    }

    #[test]
    fn paths_may_be_longer_than_the_system_takes() {
        let target = TempDir::new().unwrap();
        let mut beneath = Beneath::open(target.path()).unwrap();
        let mut path = b"d".repeat(200);
        for _ in 0..40 {
            beneath.make_directory(&path).unwrap();
            path.push(b'/');
            path.extend(b"d".repeat(200));
        }
        beneath.make_file(&path).unwrap();
        assert!(path.len() > 8000);
    }
}
