//! `storage.cfg` on disk: read, and replaced atomically.

use std::fs::{self, File};
use std::io::{Read, Write as _};
use std::path::PathBuf;

use fleece_plain_text::{from_bytes, to_bytes};
use fleece_staged_file::StagedFile;

use super::{MAX_SIZE, StorageConfig};
use crate::error::{Error, ErrorKind};

/// A storage configuration file.
#[derive(Debug, Clone)]
pub struct StorageFile {
    path: PathBuf,
}

impl StorageFile {
    /// The file at `path`, on a Proxmox host `/etc/pve/storage.cfg`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Reads the file.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or is too large. What is odd in it is no error, see
    /// [`StorageConfig::problems`].
    pub fn load(&self) -> Result<StorageConfig, Error> {
        let io = |source| Error::io("read the storage configuration", &self.path, source);
        let limit = u64::try_from(MAX_SIZE)
            .unwrap_or(u64::MAX)
            .saturating_add(1);
        let mut bytes = Vec::new();
        File::open(&self.path)
            .map_err(io)?
            .take(limit)
            .read_to_end(&mut bytes)
            .map_err(io)?;
        StorageConfig::parse(&from_bytes(&bytes))
    }

    /// Reads the file, or takes an empty configuration if there is none, lets `edit` change it
    /// and puts the result in its place. If another process writes the file meanwhile, nothing is
    /// changed.
    ///
    /// # Errors
    ///
    /// Those of [`load`](Self::load) and of `edit`; `Busy` if the file changed meanwhile. `Unsynced`: the
    /// file is in its place, but a power failure may undo that.
    pub fn update<T>(
        &self,
        edit: impl FnOnce(&mut StorageConfig) -> Result<T, Error>,
    ) -> Result<T, Error> {
        // A rename replaces the file and not the link that leads to it.
        match fs::canonicalize(&self.path) {
            Ok(path) => Self::new(path).update_in_place(edit),
            Err(_) => self.update_in_place(edit),
        }
    }

    fn update_in_place<T>(
        &self,
        edit: impl FnOnce(&mut StorageConfig) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let current = || match self.load() {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            config => config.map(Some),
        };
        let old = current()?;
        let mut new = old.clone().unwrap_or_default();
        let result = edit(&mut new)?;
        if old.as_ref() != Some(&new) {
            let io = |source| Error::io("write a new version of", &self.path, source);
            // Nobody of ours can do the same meanwhile.
            let mut staged = StagedFile::create_like(&self.path, 0o640).map_err(io)?;
            staged.write_all(&to_bytes(&new.to_string())).map_err(io)?;
            staged.sync().map_err(io)?;
            if current()? != old {
                let message = "the file was changed by somebody else meanwhile; try again";
                return Err(Error::new(ErrorKind::Busy, self.path.display(), message));
            }
            let replaced = staged.commit_replacing();
            let committed = replaced.map_err(|source| Error::io("replace", &self.path, source))?;
            if let Some(warning) = committed.warning() {
                return Err(Error::new(
                    ErrorKind::Unsynced,
                    self.path.display(),
                    warning,
                ));
            }
        }
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::StorageSection;

    #[test]
    fn storages_are_added_to_and_removed_from_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = StorageFile::new(directory.path().join("storage.cfg"));
        assert_eq!(file.load().unwrap_err().kind(), ErrorKind::NotFound);
        let mut section = StorageSection::new("dir", "local").unwrap();
        section.set("path", "/srv").unwrap();
        file.update(|config| config.add(section.clone())).unwrap();
        assert_eq!(
            file.load().unwrap().section("local").unwrap().get("path"),
            Some("/srv")
        );
        let taken = file.update(|config| config.add(section)).unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
        assert!(file.update(|config| Ok(config.remove("local"))).unwrap());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_somebody_else_changes_meanwhile_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("storage.cfg");
        fs::write(&path, "dir: aa\n\tpath /a\n").unwrap();
        let file = StorageFile::new(&path);
        let error = file.update(|config| {
            config.remove("aa");
            fs::write(&path, "dir: bb\n\tpath /b\n").unwrap();
            Ok(())
        });
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Busy);
        assert_eq!(fs::read_to_string(&path).unwrap(), "dir: bb\n\tpath /b\n");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_to_the_file_stays_one() {
        let directory = tempfile::tempdir().unwrap();
        let (path, link) = (directory.path().join("real"), directory.path().join("link"));
        fs::write(&path, "dir: aa\n\tpath /a\n").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let file = StorageFile::new(&link);
        assert!(file.update(|config| Ok(config.remove("aa"))).unwrap());
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
    }

    #[test]
    fn a_byte_order_mark_and_what_is_no_utf_8_stay() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("storage.cfg");
        let text = b"\xef\xbb\xbfdir: local\n\tpath /srv\n\n# f\xfcr Sicherungen\n\n";
        fs::write(&path, text).unwrap();
        let file = StorageFile::new(&path);
        assert_eq!(file.load().unwrap().sections().count(), 1);
        let mut section = StorageSection::new("dir", "bb").unwrap();
        section.set("path", "/b").unwrap();
        file.update(|config| config.add(section.clone())).unwrap();
        assert!(fs::read(&path).unwrap().starts_with(text));
        file.update(|config| Ok(config.remove("bb"))).unwrap();
        assert_eq!(fs::read(&path).unwrap(), text);
    }
}
