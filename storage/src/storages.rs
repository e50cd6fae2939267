//! All storages of a host.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::{StorageConfig, StorageSection};
use crate::error::{Error, ErrorKind};
use crate::plugin::Plugin;
use crate::plugin::dir::DirPlugin;
use crate::volume::VolumeId;

/// The storages that a `storage.cfg` names, and any directory besides.
#[derive(Debug, Clone, Default)]
pub struct Storages {
    config: StorageConfig,
}

impl Storages {
    /// No configuration: only directories by their paths.
    pub fn none() -> Self {
        Self::default()
    }

    /// Reads a `storage.cfg`.
    ///
    /// # Errors
    ///
    /// If the file cannot be read. What is odd in it is no error, see
    /// [`StorageConfig::problems`].
    pub fn from_config(path: &Path) -> Result<Self, Error> {
        let text = fs::read(path)
            .map_err(|source| Error::io("read the storage configuration", path, source))?;
        let text = String::from_utf8(text).map_err(|_| {
            Error::new(
                ErrorKind::InvalidConfig,
                path.display(),
                "the file is not UTF-8",
            )
        })?;
        Ok(Self {
            config: StorageConfig::parse(&text)?,
        })
    }

    /// The configuration that was read.
    pub fn config(&self) -> &StorageConfig {
        &self.config
    }

    /// The storage of this id, or the directory at this path.
    ///
    /// # Errors
    ///
    /// `UnknownStorage`; `Unsupported` for a type that there is no plugin for; `NotFound` for a
    /// directory that is not there; `InvalidConfig`.
    pub fn open(&self, name: &str) -> Result<Arc<dyn Plugin>, Error> {
        if name.contains('/') {
            let path = fs::canonicalize(name)
                .map_err(|source| Error::io("open the directory", Path::new(name), source))?;
            return Ok(Arc::new(DirPlugin::plain(&path)?));
        }
        match self.config.section(name) {
            Some(section) => plugin(section),
            None => Err(self.unknown(name)),
        }
    }

    /// The storage that a volume lies on. The volume itself need not be there any more.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open).
    pub fn resolve(&self, id: &VolumeId) -> Result<Arc<dyn Plugin>, Error> {
        match (id.storage(), id.as_path().and_then(Path::parent)) {
            (Some(storage), _) => self.open(storage),
            (None, Some(directory)) => Ok(Arc::new(DirPlugin::plain(directory)?)),
            (None, None) => Err(Error::new(ErrorKind::InvalidName, id, "this is no volume")),
        }
    }

    fn unknown(&self, name: &str) -> Error {
        let known: Vec<_> = self.config.sections().map(StorageSection::id).collect();
        let message = match known.is_empty() {
            true => "no storages are configured; a directory is given by its path".to_owned(),
            false => format!(
                "there is no storage of this name, only {}; a directory is given by its path",
                known.join(", ")
            ),
        };
        Error::new(ErrorKind::UnknownStorage, name, message)
    }
}

fn plugin(section: &StorageSection) -> Result<Arc<dyn Plugin>, Error> {
    match section.kind() {
        "dir" => {
            let path = absolute(section, section.require("path")?)?;
            Ok(Arc::new(DirPlugin::configured(
                section.id(),
                path.join("images"),
                path.join("dump"),
            )))
        }
        kind => {
            let message = format!("storages of type '{kind}' are not supported");
            Err(Error::new(ErrorKind::Unsupported, section.id(), message))
        }
    }
}

fn absolute(section: &StorageSection, path: &str) -> Result<PathBuf, Error> {
    if path.starts_with('/') {
        return Ok(PathBuf::from(path));
    }
    let message = format!("the path {path:?} is not absolute");
    Err(Error::new(ErrorKind::InvalidConfig, section.id(), message))
}
