//! An archive's file, which appears only when it is complete.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use fleece_staged_file::{Committed, StagedFile, temporary_name};

use crate::report::error::{Error, ErrorKind};
use crate::target::cache::{Cache, Writing};
use crate::target::share::{can_share, share};

/// An archive file under a temporary name in the directory of its final name.
///
/// Dropped without [`ArchiveFile::commit`], the temporary file is removed, or kept under a name that
/// tells what it is.
#[derive(Debug)]
pub struct ArchiveFile {
    /// Until it has its final name, or is given up.
    staged: Option<StagedFile>,
    path: PathBuf,
    written: u64,
    writing: Writing,
    /// Whether what was written is worth keeping when it does not become an archive.
    keep_partial: bool,
}

/// Who may read an archive: it holds all of a guest.
const MODE: u32 = 0o640;

/// How an archive's file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileOptions {
    /// The permissions of the file, whatever the umask.
    pub mode: u32,
    /// What happens to data that was written.
    pub cache: Cache,
}

impl Default for FileOptions {
    fn default() -> Self {
        Self {
            mode: MODE,
            cache: Cache::Drop,
        }
    }
}

impl ArchiveFile {
    /// The temporary name for an archive: hidden, and not mistaken for an archive by anyone who
    /// looks for `*.vma*`.
    #[must_use]
    pub fn temporary_name(path: &Path) -> PathBuf {
        temporary_name(path)
    }

    /// Creates the temporary file.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Target`] when the directory cannot be written, or the final name is taken.
    pub fn create(path: &Path) -> Result<Self, Error> {
        Self::create_with(path, &FileOptions::default())
    }

    /// The same with options.
    ///
    /// # Errors
    /// As [`ArchiveFile::create`].
    pub fn create_with(path: &Path, options: &FileOptions) -> Result<Self, Error> {
        if path.symlink_metadata().is_ok() {
            return Err(Error::new(
                ErrorKind::Target,
                format!(
                    "cannot create {}: it exists already; remove it or choose another name",
                    path.display()
                ),
            ));
        }
        let failed = |error: io::Error| {
            let advice = match error.kind() {
                io::ErrorKind::NotFound => "; does the directory exist?",
                _ => "",
            };
            Error::caused(
                ErrorKind::Target,
                format!("cannot create {}{advice}", path.display()),
                error,
            )
        };
        let mut staged = StagedFile::create(path, options.mode).map_err(failed)?;
        if options.cache == Cache::NotDurable {
            staged.not_durable();
        }
        let writing = Writing::begin(staged.file(), options.cache).map_err(failed)?;
        Ok(Self {
            staged: Some(staged),
            path: path.to_owned(),
            written: 0,
            writing,
            keep_partial: false,
        })
    }

    /// The name of an archive that was not finished and is kept; nobody takes it for a whole one.
    #[must_use]
    pub fn partial_name(path: &Path) -> PathBuf {
        let mut name = path.as_os_str().to_owned();
        name.push(".partial");
        name.into()
    }

    /// From now on, what was written is kept as [`ArchiveFile::partial_name`] if the archive is not
    /// finished.
    pub fn keep_partial(&mut self) {
        self.keep_partial = true;
    }

    /// Its final name.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes written so far.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Whether it can share blocks with `from`.
    #[must_use]
    pub fn can_share(&self, from: &File) -> bool {
        let directory = self
            .path
            .parent()
            .filter(|path| !path.as_os_str().is_empty());
        can_share(directory.unwrap_or_else(|| Path::new(".")), from)
    }

    /// Puts up to `length` bytes of `from` at the end of what was written, as blocks that both share where that can
    /// be; says how many.
    ///
    /// # Errors
    /// Whatever the system says; nothing is put there then.
    pub fn share(&mut self, from: &File, offset: u64, length: u64) -> io::Result<u64> {
        let staged = self.staged.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        let count = share((from, offset), (staged.file(), self.written), length)?;
        self.written = self.written.saturating_add(count);
        self.writing.wrote(staged.file(), self.written);
        Ok(count)
    }

    /// Syncs the file and checks its length against the bytes written. A failed sync is final: a
    /// second one could succeed without the data being on disk.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Target`].
    pub fn sync(&mut self) -> Result<(), Error> {
        let written = self.written;
        let path = self.staged()?.temporary().to_owned();
        let failed = |what, error| failed(what, &path, error);
        self.writing
            .finish()
            .map_err(|error| failed("sync", error))?;
        let staged = self.staged()?;
        staged.sync().map_err(|error| failed("sync", error))?;
        let length = staged
            .file()
            .metadata()
            .map_err(|error| failed("examine", error))?
            .len();
        if length != written {
            return Err(Error::new(
                ErrorKind::Target,
                format!(
                    "{} holds {length} bytes after {written} were written; the target storage lost data",
                    path.display(),
                ),
            ));
        }
        Ok(())
    }

    /// Syncs the file if that was not done, gives it its final name and syncs the directory.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Target`]; the temporary file is removed then.
    pub fn commit(mut self) -> Result<Committed, Error> {
        self.sync()?;
        let staged = self.staged.take().ok_or_else(gone)?;
        staged
            .commit_new()
            .map_err(|error| failed("rename to", &self.path, error))
    }

    fn staged(&mut self) -> Result<&mut StagedFile, Error> {
        self.staged.as_mut().ok_or_else(gone)
    }
}

impl Write for ArchiveFile {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let staged = self.staged.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        let count = staged.file().write_at(buffer, self.written)?;
        self.written = self
            .written
            .saturating_add(u64::try_from(count).unwrap_or(0));
        self.writing.wrote(staged.file(), self.written);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for ArchiveFile {
    fn drop(&mut self) {
        let Some(staged) = self.staged.take() else {
            return;
        };
        if self.keep_partial && self.written > 0 {
            let partial = Self::partial_name(&self.path);
            if let Err(error) = staged.keep_as(&partial) {
                tracing::warn!(path = %partial.display(), %error, "cannot keep");
            }
        }
    }
}

fn failed(what: &str, path: &Path, error: io::Error) -> Error {
    Error::caused(
        ErrorKind::Target,
        format!("cannot {what} {}", path.display()),
        error,
    )
}

/// Nobody commits twice.
fn gone() -> Error {
    Error::new(ErrorKind::Internal, "the archive's file is closed already")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_appears_only_on_commit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.vma");
        let mut archive = ArchiveFile::create(&path).unwrap();
        archive.write_all(b"payload").unwrap();
        assert!(!path.exists());
        assert!(archive.commit().unwrap().warning().is_none());
        assert_eq!(std::fs::read(&path).unwrap(), b"payload");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_dropped_archive_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut archive = ArchiveFile::create(&dir.path().join("a.vma")).unwrap();
        archive.write_all(b"payload").unwrap();
        drop(archive);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_was_written_of_a_dropped_archive_can_be_kept_under_another_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.vma.zst");
        let mut archive = ArchiveFile::create(&path).unwrap();
        archive.keep_partial();
        archive.write_all(b"payload").unwrap();
        drop(archive);
        let partial = ArchiveFile::partial_name(&path);
        assert_eq!(partial, dir.path().join("a.vma.zst.partial"));
        assert_eq!(std::fs::read(&partial).unwrap(), b"payload");
        // Nothing is worth keeping of an archive that was never begun.
        let mut archive = ArchiveFile::create(&path).unwrap();
        archive.keep_partial();
        drop(archive);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_taken_name_is_refused_before_and_at_commit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.vma");
        let mut archive = ArchiveFile::create(&path).unwrap();
        archive.write_all(b"new").unwrap();
        assert_eq!(
            ArchiveFile::create(&path).unwrap_err().kind(),
            ErrorKind::Target
        );
        std::fs::write(&path, b"somebody else's").unwrap();
        assert_eq!(archive.commit().unwrap_err().kind(), ErrorKind::Target);
        assert_eq!(std::fs::read(&path).unwrap(), b"somebody else's");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(
            ArchiveFile::create(&path)
                .unwrap_err()
                .to_string()
                .contains("exists already")
        );
    }

    #[test]
    fn bytes_lost_by_the_storage_are_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.vma");
        let mut archive = ArchiveFile::create(&path).unwrap();
        archive.write_all(b"payload").unwrap();
        let temporary = ArchiveFile::temporary_name(&path);
        File::options()
            .write(true)
            .open(temporary)
            .unwrap()
            .set_len(3)
            .unwrap();
        let error = archive.commit().unwrap_err();
        assert!(
            error.to_string().contains("holds 3 bytes after 7"),
            "{error}"
        );
        assert!(!path.exists());
    }

    #[test]
    fn a_missing_directory_is_named() {
        let error = ArchiveFile::create(Path::new("/nonexistent/a.vma")).unwrap_err();
        assert!(
            error.to_string().contains("does the directory exist"),
            "{error}"
        );
    }
}
