//! Files that others may have put where we look for one.
//!
//! In a directory that somebody else writes to, anything can bear a name that we open: a FIFO, at which
//! one waits for ever, a device, at which opening alone does something, or a symbolic link to a file
//! that is for root's eyes.

use std::fs::{self, File, FileType, OpenOptions};
use std::io;
#[cfg(unix)]
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

#[cfg(unix)]
use rustix::fs::OFlags;

#[cfg(unix)]
use crate::file::flags as bits;

/// Whether a symbolic link will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "yes or no")]
pub enum Links {
    /// People may have laid one there, as to an archive on another disk.
    Follow,
    /// Nobody has a reason to: what we write is a file.
    Refuse,
}

/// Opens a regular file for reading, and never waits for anybody.
///
/// # Errors
///
/// That of `open(2)`; kind [`io::ErrorKind::InvalidInput`], which says what is there, for anything but a
/// regular file.
pub fn open(path: &Path, links: Links) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    open_with(&mut options, path, links)
}

/// The same with other `options`, for a file that is there or that they make. They must not truncate it.
///
/// # Errors
///
/// As [`open`].
pub fn open_with(options: &mut OpenOptions, path: &Path, links: Links) -> io::Result<File> {
    let there = match links {
        Links::Follow => fs::metadata(path),
        Links::Refuse => fs::symlink_metadata(path),
    };
    match there {
        Ok(there) => check(there.file_type())?,
        // Made now, perhaps; if not, opening says so.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    // Another may be there by now.
    let file = without_waiting(options, links).open(path)?;
    check(file.metadata()?.file_type())?;
    Ok(file)
}

#[cfg(unix)]
fn without_waiting(options: &mut OpenOptions, links: Links) -> &mut OpenOptions {
    let no_follow = match links {
        Links::Follow => OFlags::empty(),
        Links::Refuse => OFlags::NOFOLLOW,
    };
    options.custom_flags(bits(OFlags::NONBLOCK | OFlags::NOCTTY | no_follow))
}

/// On Windows, nothing in a directory makes anybody wait.
#[cfg(not(unix))]
fn without_waiting(options: &mut OpenOptions, _links: Links) -> &mut OpenOptions {
    options
}

fn check(kind: FileType) -> io::Result<()> {
    let what = match kind {
        _ if kind.is_file() => return Ok(()),
        _ if kind.is_dir() => "a directory",
        _ if kind.is_symlink() => "a symbolic link",
        #[cfg(unix)]
        _ if kind.is_fifo() => "a FIFO",
        #[cfg(unix)]
        _ if kind.is_socket() => "a socket",
        _ => "a device",
    };
    let message = format!("there is {what} where a regular file should be");
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use rustix::fs::{CWD, Mode, mkfifoat};

    #[test]
    fn what_is_no_regular_file_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        mkfifoat(CWD, at("fifo"), Mode::RWXU).unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();
        fs::write(at("file"), "text").unwrap();
        symlink(at("fifo"), at("link")).unwrap();
        symlink("/dev/zero", at("device")).unwrap();
        symlink(at("loop"), at("loop")).unwrap();
        for links in [Links::Follow, Links::Refuse] {
            for name in ["fifo", "socket", "link", "device", "loop", "."] {
                assert!(open(&at(name), links).is_err(), "{name}, {links:?}");
            }
            assert!(open(&at("file"), links).is_ok());
            assert_eq!(
                open(&at("none"), links).unwrap_err().kind(),
                io::ErrorKind::NotFound
            );
        }
        symlink(at("file"), at("good")).unwrap();
        assert!(open(&at("good"), Links::Follow).is_ok());
        let error = open(&at("good"), Links::Refuse).unwrap_err();
        assert!(error.to_string().contains("a symbolic link"), "{error}");
    }
}
