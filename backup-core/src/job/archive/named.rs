//! Files that go into an archive under names of their own.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use fleece_vma_format::MAX_BLOB_SIZE;

use crate::report::error::{Error, ErrorKind};

/// A file and its name in an archive: `[NAME=]FILE`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NamedFile {
    /// Its name in the archive.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
}

/// What a restore can make a file of on every file system.
const MAX_NAME: usize = 128;

impl NamedFile {
    /// The file under its own name.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let name = path.file_name().unwrap_or_default();
        Self {
            name: name.to_string_lossy().into_owned(),
            path,
        }
    }

    /// What is in it.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Request`] if it cannot be read, or is more than an archive holds.
    pub fn read(&self) -> Result<Vec<u8>, Error> {
        let path = self.path.display();
        let most = u64::try_from(MAX_BLOB_SIZE).unwrap_or(u64::MAX);
        let mut data = Vec::new();
        let read = File::open(&self.path)
            .and_then(|file| file.take(most.saturating_add(1)).read_to_end(&mut data));
        read.map_err(|error| {
            let message = format!("cannot read the configuration {path}");
            Error::caused(ErrorKind::Request, message, error)
        })?;
        if data.len() <= MAX_BLOB_SIZE {
            return Ok(data);
        }
        let message = format!(
            "{path} is too large: an archive holds at most {MAX_BLOB_SIZE} bytes of each configuration"
        );
        Err(Error::new(ErrorKind::Request, message))
    }
}

impl FromStr for NamedFile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let file = match text.split_once('=') {
            // A path may have such a sign, too.
            Some((name, path)) if !name.contains('/') && !Path::new(text).exists() => Self {
                name: name.to_owned(),
                path: path.into(),
            },
            _ => Self::new(text),
        };
        if file.path.as_os_str().is_empty() {
            return Err("expected FILE or NAME=FILE".to_owned());
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let name = &file.name;
        let fine = !name.is_empty() && name.len() <= MAX_NAME && !name.starts_with(['.', '-']);
        match fine && name.chars().all(plain) {
            true => Ok(file),
            false => Err(format!(
                "'{name}' is no name for a file in an archive: expected up to {MAX_NAME} letters, digits, '.', '_' \
                 and '-', as in NAME=FILE"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_its_own_name_or_another_plain_one() {
        for (text, name, path) in [
            ("/etc/web.xml", "web.xml", "/etc/web.xml"),
            ("domain.xml=/etc/web.xml", "domain.xml", "/etc/web.xml"),
            ("/a=b/c", "c", "/a=b/c"),
        ] {
            let file: NamedFile = text.parse().unwrap();
            assert_eq!((&*file.name, &*file.path), (name, Path::new(path)));
        }
        for text in [
            "", "a=", "=f", "../=f", ".x=f", "-x=f", "a b=f", "a\n=f", "/", "/a b",
        ] {
            assert!(text.parse::<NamedFile>().is_err(), "{text}");
        }
    }

    #[test]
    fn no_more_is_read_than_an_archive_holds() {
        let error = NamedFile::new("/dev/zero").read().unwrap_err();
        assert!(error.to_string().contains("65535"), "{error}");
        let error = NamedFile::new("/nowhere").read().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Request);
    }
}
