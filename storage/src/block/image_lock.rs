//! The locks by which QEMU keeps two programs from using one image.
//!
//! A program takes a shared lock (an open file description lock, fcntl(2)) on one byte for each
//! permission that it uses and on another for each that it does not grant to others, and then looks
//! whether somebody holds the opposite byte. The bytes are the same in all QEMU programs since 2.10
//! (`block/file-posix.c`); they lie in the image, but nothing is written to them.

use std::fs::File;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use super::{Error, ErrorKind, Operation, Result};

/// First byte of the permissions in use.
const USED: i64 = 100;
/// First byte of the permissions that are not granted to others.
const REFUSED: i64 = 200;

/// QAPI `BlockPermission`, in its order.
#[derive(Clone, Copy)]
enum Permission {
    ConsistentRead = 0,
    Write = 1,
    Resize = 3,
}

/// A lock on an image, held until it is dropped.
#[derive(Debug)]
pub struct ImageLock {
    file: File,
}

impl ImageLock {
    /// Others may read the image, but nobody may write to it.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if somebody does.
    pub fn for_reading(path: &Path) -> Result<Self> {
        Self::acquire(path, &[Permission::ConsistentRead])
    }

    /// The image is written to, and nobody else may.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if somebody does, or relies on it not to change.
    pub fn for_writing(path: &Path) -> Result<Self> {
        Self::acquire(path, &[Permission::ConsistentRead, Permission::Write])
    }

    /// The image, opened for reading: the same one, whatever has its path meanwhile.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    fn acquire(path: &Path, used: &[Permission]) -> Result<Self> {
        let failed = |error| Error::from_io(Operation::Open, error).on(path);
        let file = File::open(path).map_err(failed)?;
        let refused = [Permission::Write, Permission::Resize];
        let bytes = |first: i64, permissions: &[Permission]| -> Vec<i64> {
            permissions
                .iter()
                .map(|&permission| first.saturating_add(permission as i64))
                .collect()
        };
        for byte in bytes(USED, used)
            .into_iter()
            .chain(bytes(REFUSED, &refused))
        {
            let lock = lock(byte, libc::F_RDLCK);
            match fcntl(&file, FcntlArg::F_OFD_SETLK(&lock)) {
                Ok(_) => {}
                // A file system without such locks: QEMU goes without them too.
                Err(Errno::ENOLCK | Errno::EOPNOTSUPP | Errno::EINVAL) => break,
                Err(error) => return Err(failed(error.into())),
            }
        }
        for byte in bytes(REFUSED, used)
            .into_iter()
            .chain(bytes(USED, &refused))
        {
            let mut lock = lock(byte, libc::F_WRLCK);
            // Locks of one open file do not meet, so our own are not found here.
            let asked = fcntl(&file, FcntlArg::F_OFD_GETLK(&mut lock));
            if asked.is_ok() && i32::from(lock.l_type) != libc::F_UNLCK {
                return Err(Error::new(ErrorKind::Busy, Operation::Open).on(path).because(
                    "another program, most likely QEMU, is using the image; stop the guest, or back \
                     it up while it runs",
                ));
            }
        }
        Ok(Self { file })
    }
}

fn lock(byte: i64, kind: i32) -> libc::flock {
    libc::flock {
        l_type: i16::try_from(kind).unwrap_or_default(),
        l_whence: i16::try_from(libc::SEEK_SET).unwrap_or_default(),
        l_start: byte,
        l_len: 1,
        l_pid: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_share_and_a_writer_is_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        std::fs::write(&path, "x").unwrap();
        let one = ImageLock::for_reading(&path).unwrap();
        let two = ImageLock::for_reading(&path).unwrap();
        assert_eq!(
            ImageLock::for_writing(&path).unwrap_err().kind(),
            ErrorKind::Busy
        );
        drop((one, two));
        let writer = ImageLock::for_writing(&path).unwrap();
        assert_eq!(
            ImageLock::for_writing(&path).unwrap_err().kind(),
            ErrorKind::Busy
        );
        assert_eq!(
            ImageLock::for_reading(&path).unwrap_err().kind(),
            ErrorKind::Busy
        );
        drop(writer);
        ImageLock::for_writing(&path).unwrap();
    }
}
