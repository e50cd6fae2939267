//! Where the records of guests are, and how their files are called.

use std::path::{Path, PathBuf};

use fleece_guest_config::{ConfigFile, GuestId};

use crate::error::{Error, ErrorKind};

/// Where the records of a guest are kept.
#[derive(Clone, Debug)]
pub struct Place {
    pub(super) directory: PathBuf,
    guest: GuestId,
    pub(super) config: Option<ConfigFile>,
    pub(super) configs: Option<PathBuf>,
}

impl Place {
    /// The records of `guest` in `directory`; `config` is the guest's own configuration file.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>, guest: GuestId, config: Option<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            guest,
            config: config.map(ConfigFile::new),
            configs: None,
        }
    }

    /// The same, where the configurations of all guests are in `directory`: what one of them names is never
    /// freed.
    #[must_use]
    pub fn with_configs(mut self, directory: impl Into<PathBuf>) -> Self {
        self.configs = Some(directory.into());
        self
    }

    /// All guests of which `directory` has a record or a lock, sorted.
    ///
    /// # Errors
    /// When the directory cannot be read; a missing one is empty.
    pub fn guests(directory: &Path) -> Result<Vec<GuestId>, Error> {
        guests_with(directory, &ENDINGS)
    }

    /// All guests that were ever backed up with records in `directory`, sorted.
    ///
    /// # Errors
    /// As [`Place::guests`].
    pub fn known(directory: &Path) -> Result<Vec<GuestId>, Error> {
        let endings: Vec<&str> = ENDINGS.into_iter().chain([CLAIM]).collect();
        guests_with(directory, &endings)
    }

    /// Whether this is one of them, or has a configuration.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.config.is_some()
            || Self::known(&self.directory).is_ok_and(|known| known.contains(&self.guest))
    }

    /// The guest.
    #[must_use]
    pub fn guest(&self) -> &GuestId {
        &self.guest
    }

    /// A socket for this guest beside its records.
    #[must_use]
    pub fn nbd_socket(&self) -> PathBuf {
        self.file("nbd")
    }

    pub(super) fn bitmaps(&self) -> PathBuf {
        self.file("bitmaps")
    }

    pub(super) fn file(&self, ending: &str) -> PathBuf {
        file_of(&self.directory, &self.guest, ending)
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.file("lock")
    }

    /// The directory of the records.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

/// The guests of which `directory` has a file with one of these endings, sorted.
pub(crate) fn guests_with(directory: &Path, endings: &[&str]) -> Result<Vec<GuestId>, Error> {
    let failed = |error| {
        Error::caused(
            ErrorKind::Record,
            format!("cannot list {}", directory.display()),
            error,
        )
    };
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut guests = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        let stem = name.to_str().and_then(|name| {
            // That of a state file that was being replaced is hidden.
            let (stem, ending) = name.trim_start_matches('.').split_once('.')?;
            endings.contains(&ending).then_some(stem)
        });
        // What nobody can have recorded is somebody else's file.
        guests.extend(stem.and_then(guest_of));
    }
    guests.sort();
    guests.dedup();
    Ok(guests)
}

/// One of a guest's files.
pub(crate) fn file_of(directory: &Path, guest: &GuestId, ending: &str) -> PathBuf {
    directory.join(format!("{}.{ending}", stem_of(guest)))
}

/// How the names of a guest's files begin. They end with what follows the first dot, so a dot of the
/// guest's name is a comma there: the files of guests `web` and `web.state` are never the same.
fn stem_of(guest: &GuestId) -> String {
    guest.to_string().replace('.', ",")
}

pub(crate) fn guest_of(stem: &str) -> Option<GuestId> {
    stem.replace(',', ".").parse().ok()
}

/// How the names of a guest's files end. The first two are there for a moment while the state file is
/// replaced, and stay if the process is killed in it.
const ENDINGS: [&str; 4] = ["state.lock", "state.tmp", "state", "lock"];

/// How the names of those files end that tell whose a number or name is.
pub(crate) const CLAIM: &str = "claim";

/// A path as it is found from any working directory.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    // An address in object storage is the same from anywhere.
    let is_address = fleece_object_storage::Address::of(path).is_some();
    let absolute = (!is_address).then(|| std::path::absolute(path).ok());
    absolute.flatten().unwrap_or_else(|| path.to_owned())
}
