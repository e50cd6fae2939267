//! Backups in object storage: the same names as in a directory, below a prefix.
//!
//! A store has no renames and no locks of files. Small objects are replaced at once by themselves; an archive goes before what
//! lies beside it, since what is locked stays, and then all of it does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fleece_object_storage::{Address, ErrorKind as Kind, Listed, Store, open_address};
use jiff::Timestamp;

use super::beside::{self, KINDS, MAX_NOTES, OF_STEM};
use super::name::archive_stem;

use super::verified::State;
use super::{Backup, Boots, Fault, Verified};
use crate::report::error::{Error, ErrorKind};

/// A prefix in a store.
#[derive(Debug)]
pub(super) struct Prefix {
    address: Address,
    store: Arc<Store>,
}

/// An object's size and tag: `SIZE ETAG`.
pub(super) struct Tag(u64, String);

impl State for Tag {
    fn words(&self) -> Vec<String> {
        vec![self.0.to_string(), self.1.clone()]
    }
}

impl Prefix {
    /// The prefix that a path is; `None` if it is a directory.
    pub(super) fn of(directory: &Path) -> Option<Result<Self, Error>> {
        let address = Address::of(directory)?;
        let store = open_address(&address).map_err(|error| failed("use", directory, error));
        Some(store.map(|store| Self { address, store }))
    }

    /// The prefix in which the object at this path lies, and its key.
    pub(super) fn with(path: &Path) -> Option<Result<(Self, String), Error>> {
        let key = Address::of(path)?.key().to_owned();
        let prefix = Self::of(path.parent().unwrap_or(path))?;
        Some(prefix.map(|prefix| (prefix, key)))
    }

    fn key(&self, name: &str) -> String {
        match self.address.key() {
            "" => name.to_owned(),
            prefix => format!("{prefix}/{name}"),
        }
    }

    fn objects(&self) -> Result<BTreeMap<String, Listed>, Error> {
        let prefix = self.key("");
        let listed = self.store.list(&prefix);
        let listed = listed
            .map_err(|error| failed("list the backups in", &self.address.to_path(), error))?;
        let named = listed.into_iter().filter_map(|object| {
            let name = object.key.strip_prefix(&prefix)?.to_owned();
            (!name.is_empty()).then_some((name, object))
        });
        Ok(named.collect())
    }

    /// The names of all objects.
    pub(super) fn names(&self) -> Result<Vec<String>, Error> {
        Ok(self.objects()?.into_keys().collect())
    }

    /// All backups, in the order of their names: one request, and one for each note and each verification.
    pub(super) fn list(&self) -> Result<Vec<Backup>, Error> {
        let objects = self.objects()?;
        let archives = objects
            .iter()
            .filter(|(name, _)| archive_stem(name).is_some());
        archives
            .map(|(name, object)| self.backup(name, object, &|name| objects.contains_key(name)))
            .collect()
    }

    /// The backup of this name, if there is one.
    pub(super) fn find(&self, name: &str) -> Result<Option<Backup>, Error> {
        let objects = self.objects()?;
        let found = objects.get(name);
        let backup =
            found.map(|object| self.backup(name, object, &|name| objects.contains_key(name)));
        backup.transpose()
    }

    fn backup(
        &self,
        name: &str,
        object: &Listed,
        has: &dyn Fn(&str) -> bool,
    ) -> Result<Backup, Error> {
        let path = self.address.to_path().join(name);
        let beside = |kind| beside::path(&path, kind);
        let is_there = |kind| {
            let beside = beside(kind);
            let name = beside.file_name().and_then(|name| name.to_str());
            name.is_some_and(has)
        };
        let text = |kind| match is_there(kind) {
            true => self.read(&beside(kind), MAX_NOTES),
            false => Ok(None),
        };
        let text = |kind| -> Result<Option<String>, Error> {
            let bytes = text(kind)?;
            Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).trim_end().to_owned()))
        };
        let tag = Tag(object.size, object.etag.clone());
        let verified = text("verified")?.map(|line| Verified::from_line(&line, &tag));
        let verified = verified.unwrap_or(Verified::Unknown);
        let boots = text("drilled")?.map(|line| Boots::from_line(&line, &tag));
        Ok(Backup {
            file_name: name.to_owned(),
            name: name.parse().ok(),
            size: object.size,
            modified: object.modified,
            notes: text("notes")?,
            protected: is_there("protected"),
            indexed: is_there("idx"),
            fault: Fault::known(object.size, verified),
            verified,
            boots: boots.unwrap_or(Boots::Unknown),
            path,
        })
    }

    /// A small object; `None` if there is none.
    fn read(&self, path: &Path, most: u64) -> Result<Option<Vec<u8>>, Error> {
        let address = Address::of(path).unwrap_or_else(|| self.address.clone());
        let got = self.store.get(address.key(), most);
        got.map_err(|error| failed("read", path, error))
    }

    /// What changes with an archive.
    pub(super) fn state(&self, archive: &Path) -> Result<Tag, Error> {
        let address = Address::of(archive).unwrap_or_else(|| self.address.clone());
        let object = self.store.look(address.key());
        let object = object.map_err(|error| failed("look at", archive, error))?;
        object
            .map(|object| Tag(object.size, object.etag))
            .ok_or_else(|| {
                let message = format!("{} is not there any more", archive.display());
                Error::new(ErrorKind::Target, message)
            })
    }

    /// Until when an archive is locked, if it is.
    pub(super) fn locked(&self, archive: &Path) -> Result<Option<Timestamp>, Error> {
        let address = Address::of(archive).unwrap_or_else(|| self.address.clone());
        let object = self.store.look(address.key());
        let object = object.map_err(|error| failed("look at", archive, error))?;
        Ok(object.and_then(|object| object.lock).map(|lock| lock.until))
    }

    /// Removes an archive and then what lies beside it.
    pub(super) fn remove(&self, archive: &Path) -> Result<(), Error> {
        self.delete(archive)?;
        let name = archive
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let stem = archive_stem(name).unwrap_or_default();
        let names = self.names()?;
        let has_sibling = names.iter().any(|other| archive_stem(other) == Some(stem));
        for kind in KINDS {
            let beside = beside::path(archive, kind);
            if has_sibling && OF_STEM.contains(&kind) {
                continue;
            }
            let name = beside
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            if names.iter().any(|there| there == name) {
                self.delete(&beside)?;
            }
        }
        Ok(())
    }

    fn delete(&self, path: &Path) -> Result<(), Error> {
        let address = Address::of(path).unwrap_or_else(|| self.address.clone());
        self.store
            .delete(address.key())
            .map_err(|error| failed("remove", path, error))
    }

    /// Removes what lies beside archives that are gone: a process was killed when it removed them.
    pub(super) fn sweep(&self) -> Result<(), Error> {
        let names = self.names()?;
        for name in &names {
            let of = KINDS.iter().filter(|kind| !OF_STEM.contains(kind));
            let mut archives = of.filter_map(|kind| name.strip_suffix(kind)?.strip_suffix('.'));
            if let Some(archive) = archives.find(|name| archive_stem(name).is_some())
                && !names.iter().any(|there| there == archive)
            {
                self.delete(&self.address.to_path().join(name))?;
            }
        }
        Ok(())
    }
}

/// Replaces a small object, or removes it; `None` if the path is a file's.
pub(super) fn write(path: &Path, text: Option<&str>) -> Option<Result<(), Error>> {
    let (prefix, key) = match Prefix::with(path)? {
        Ok(found) => found,
        Err(error) => return Some(Err(error)),
    };
    let written = match text {
        Some(text) => prefix.store.put(&key, text.as_bytes(), false, None),
        None => prefix.store.delete(&key),
    };
    Some(written.map_err(|error| failed("write", path, error)))
}

/// The contents of a small object; `None` if the path is a file's.
pub(super) fn read(path: &Path, most: u64) -> Option<Option<Vec<u8>>> {
    let Ok((prefix, _)) = Prefix::with(path)? else {
        return Some(None);
    };
    Some(prefix.read(path, most).ok().flatten())
}

/// Whether there is such an object; `None` if the path is a file's. What cannot be looked at is taken to be there.
pub(super) fn exists(path: &Path) -> Option<bool> {
    let Ok((prefix, key)) = Prefix::with(path)? else {
        return Some(true);
    };
    Some(!matches!(prefix.store.look(&key), Ok(None)))
}

/// Whether a place is a prefix, and not an archive, in a store; the prefix.
pub(super) fn prefix(place: &Path) -> Option<PathBuf> {
    let address = Address::of(place)?;
    archive_stem(address.name())
        .is_none()
        .then(|| address.to_path())
}

fn failed(what: &str, path: &Path, error: fleece_object_storage::Error) -> Error {
    let kind = match error.kind() {
        Kind::Locked | Kind::Config => ErrorKind::Request,
        _ => ErrorKind::Target,
    };
    Error::caused(kind, format!("cannot {what} {}", path.display()), error)
}
