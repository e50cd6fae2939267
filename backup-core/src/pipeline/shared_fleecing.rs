//! A limit that the fleecing images of several backups share: what one leaves unused, the others have.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The place of one backup among those that share the limit: a file in a directory of such files. It says how much room the
/// backup's images want, in eight bytes, little endian, and is locked while the backup runs. One that was killed has left a file
/// that is not locked, and its images.
#[derive(Debug)]
pub(super) struct SharedFleecing {
    file: File,
    path: PathBuf,
    pub(super) limit: u64,
}

impl SharedFleecing {
    /// The place that this file is, which replaces what an earlier attempt of the same backup has left.
    pub(super) fn open(path: &Path, limit: u64) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.mode(0o600).open(path)?;
        file.lock()?;
        file.write_all_at(&[0; 8], 0)?;
        Ok(Self {
            file,
            path: path.to_owned(),
            limit,
        })
    }

    /// Says that our images want so much room. If all together want more than there is, the one that wants the most has to
    /// end, which is never one that is within its part of the limit: whether that is ours.
    pub(super) fn is_too_much(&self, want: u64) -> io::Result<bool> {
        self.file.write_all_at(&want.to_le_bytes(), 0)?;
        let (mut all, mut is_most) = (u128::from(want), true);
        for entry in fs::read_dir(self.path.parent().unwrap_or_else(|| Path::new(".")))? {
            let path = entry?.path();
            if path == self.path {
                continue;
            }
            let file = match File::open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                file => file?,
            };
            let mut bytes = [0; 8];
            // A new file is empty.
            let read = file.read_at(&mut bytes, 0)?;
            let other = u64::from_le_bytes(bytes);
            if read < bytes.len() {
                continue;
            }
            all = all.saturating_add(other.into());
            let is_running = match file.try_lock_shared() {
                Ok(()) => false,
                Err(TryLockError::WouldBlock) => true,
                Err(TryLockError::Error(error)) => return Err(error),
            };
            is_most &= !is_running || (want, &self.path) > (other, &path);
        }
        Ok(all > self.limit.into() && is_most)
    }
}

impl Drop for SharedFleecing {
    fn drop(&mut self) {
        // In order: the images go, too.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three that share a limit of 100.
    fn three(dir: &Path) -> [SharedFleecing; 3] {
        ["0", "1", "2"].map(|name| SharedFleecing::open(&dir.join(name), 100).unwrap())
    }

    #[test]
    fn one_alone_has_all_and_of_several_the_one_with_the_most_ends() {
        let dir = tempfile::tempdir().unwrap();
        let [one, two, three] = three(dir.path());
        assert!(!one.is_too_much(100).unwrap());
        assert!(one.is_too_much(101).unwrap());
        assert!(!one.is_too_much(60).unwrap());
        assert!(!two.is_too_much(40).unwrap());
        // There is no room for it, but it is within its part.
        assert!(!three.is_too_much(30).unwrap());
        assert!(!two.is_too_much(40).unwrap());
        assert!(one.is_too_much(60).unwrap());
        drop(one);
        assert!(!two.is_too_much(70).unwrap());
        assert!(two.is_too_much(71).unwrap());
    }

    #[test]
    fn of_equals_only_one_ends() {
        let dir = tempfile::tempdir().unwrap();
        let all = three(dir.path());
        let look = || all.each_ref().map(|one| one.is_too_much(40).unwrap());
        // The first look says what each wants.
        look();
        assert_eq!(look(), [false, false, true]);
    }

    #[test]
    fn the_images_of_a_killed_backup_take_room_until_its_next_attempt() {
        let dir = tempfile::tempdir().unwrap();
        let [one, two, _three] = three(dir.path());
        assert!(!one.is_too_much(90).unwrap());
        let path = one.path.clone();
        // As if its process were gone.
        one.file.unlock().unwrap();
        assert!(two.is_too_much(11).unwrap());
        assert!(!two.is_too_much(10).unwrap());
        let again = SharedFleecing::open(&path, 100).unwrap();
        assert!(!two.is_too_much(90).unwrap());
        drop(again);
        assert!(!path.exists());
    }
}
