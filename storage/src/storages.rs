//! All storages of a host.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::{StorageConfig, StorageFile, StorageSection};
use crate::error::{Error, ErrorKind};
use crate::plugin::dir::DirPlugin;
use crate::plugin::{Plugin, factory};
use crate::volume::VolumeId;

/// Where executables for further types of storage lie, see `docs/PLUGINS.md`.
const PLUGIN_DIRECTORY: &str = "/usr/lib/fleece/storage";

/// A storage that every Proxmox host has, whether its configuration says so or not.
const PROXMOX_LOCAL: (&str, &str, &str) = ("dir", "local", "/var/lib/vz");

/// The storages that a `storage.cfg` names, and any directory besides.
#[derive(Debug, Clone)]
pub struct Storages {
    config: StorageConfig,
    plugins: PathBuf,
}

impl Storages {
    /// No configuration: only directories by their paths.
    pub fn none() -> Self {
        Self::new(StorageConfig::default())
    }

    /// The storages of a configuration.
    pub fn new(config: StorageConfig) -> Self {
        Self {
            config,
            plugins: PathBuf::from(PLUGIN_DIRECTORY),
        }
    }

    /// Looks for executables for further types of storage in `directory` instead of
    /// `/usr/lib/fleece/storage`.
    #[must_use]
    pub fn with_plugin_directory(mut self, directory: &Path) -> Self {
        directory.clone_into(&mut self.plugins);
        self
    }

    /// Reads a `storage.cfg`.
    ///
    /// # Errors
    ///
    /// If the file cannot be read. What is odd in it is no error, see
    /// [`StorageConfig::problems`].
    pub fn from_config(path: &Path) -> Result<Self, Error> {
        let mut config = StorageFile::new(path).load()?;
        if path.starts_with("/etc/pve") && config.section(PROXMOX_LOCAL.1).is_none() {
            let (kind, id, root) = PROXMOX_LOCAL;
            let mut local = StorageSection::new(kind, id)?;
            local.set("path", root)?;
            config.add(local)?;
        }
        Ok(Self::new(config))
    }

    /// Whether there is a plugin for the type of a storage, and the section says what that needs; what else may be
    /// wrong with it shows when it is used.
    ///
    /// # Errors
    ///
    /// `Unsupported` if there is none; `InvalidConfig` and `InvalidName` for what it says.
    pub fn knows(section: &StorageSection) -> Result<(), Error> {
        factory::build(section, Path::new(PLUGIN_DIRECTORY)).map(drop)
    }

    /// Whether the configuration means a storage to be used, and on this host: it is not disabled, and not on other
    /// nodes only.
    #[must_use]
    pub fn is_in_use(section: &StorageSection) -> bool {
        factory::check_use(section).is_ok()
    }

    /// The configuration that was read.
    pub fn config(&self) -> &StorageConfig {
        &self.config
    }

    /// The storage of this id, or the directory at this path. What could be both is a storage, unless it has a slash.
    ///
    /// # Errors
    ///
    /// `UnknownStorage`; `Unsupported` for a type that there is no plugin for; `NotFound` for a
    /// directory that is not there; `InvalidConfig`.
    pub fn open(&self, name: &str) -> Result<Arc<dyn Plugin>, Error> {
        // Without a slash a storage of that name wins.
        let is_directory = || self.config.section(name).is_none() && Path::new(name).is_dir();
        if name.contains('/') || is_directory() {
            let path = fs::canonicalize(name)
                .map_err(|source| Error::io("open the directory", Path::new(name), source))?;
            return Ok(Arc::new(DirPlugin::plain(&path)?));
        }
        match self.config.section(name) {
            Some(section) => factory::plugin(section, &self.plugins),
            None => Err(self.unknown(name)),
        }
    }

    /// Whether the configuration lets a storage hold such content: `images`, `backup`, … A directory by its
    /// path holds anything, and so does a storage that does not say.
    pub fn may_hold(&self, name: &str, content: &str) -> bool {
        let section = self.config.section(name);
        let list = section.and_then(|section| section.get("content"));
        // Lists in Proxmox's configurations have any of these between their items.
        let is_separator = |c: char| c.is_whitespace() || matches!(c, ',' | ';');
        list.is_none_or(|list| list.split(is_separator).any(|item| item == content))
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
            (None, None) => Err(Error::new(ErrorKind::InvalidName, id, "not a volume")),
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
