//! Giving something a name that nothing else has.

use std::io;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, link, rename, renameat_with, unlink};
use rustix::io::Errno;

/// What file systems say that do not know the flags of `renameat2`: NFS, FUSE, ZFS before 2.2.
const UNKNOWN: [Errno; 3] = [Errno::INVAL, Errno::NOSYS, Errno::NOTSUP];

/// What they say that have no links; directories have none anywhere.
const NO_LINKS: [Errno; 4] = [Errno::PERM, Errno::NOSYS, Errno::NOTSUP, Errno::INVAL];

/// Renames a file or a directory, unless something has the new name already.
///
/// Where the file system cannot do that in one step, a file gets a second name, which is refused if it is
/// taken, and loses the first; where it knows no links either, the new name is looked for right before.
///
/// # Errors
/// Kind `AlreadyExists` if the name is taken; those of the system calls.
pub fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(error) if UNKNOWN.contains(&error) => {}
        result => return Ok(result?),
    }
    match link(from, to) {
        Ok(()) => {
            if let Err(error) = unlink(from) {
                // As if nothing had been done; if that fails as well, there are two names of one whole file.
                let _ = unlink(to);
                return Err(error.into());
            }
            Ok(())
        }
        Err(error) if NO_LINKS.contains(&error) => {
            if to.symlink_metadata().is_ok() {
                return Err(Errno::EXIST.into());
            }
            Ok(rename(from, to)?)
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_name_that_is_taken_is_not_given_again() {
        let dir = tempfile::tempdir().unwrap();
        let [from, to] = ["from", "to"].map(|name| dir.path().join(name));
        fs::write(&from, "new").unwrap();
        fs::write(&to, "old").unwrap();
        let error = rename_new(&from, &to).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&to).unwrap(), b"old");
        fs::remove_file(&to).unwrap();
        rename_new(&from, &to).unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"new");
        assert!(!from.exists());
    }
}
