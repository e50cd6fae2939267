//! Which directory of backups is meant, and which archive is to come.

use std::path::{Path, PathBuf};
use std::time::Duration;

use fleece_guest_config::GuestId;
use fleece_object_storage::Address;
use fleece_staged_file::create_directories;
use fleece_storage::Storages;
use jiff::civil::DateTime;

use super::backup::Backup;
use super::directory::DumpDirectory;
use super::name::archive_stem;
use super::objects;
use crate::job::cancel::CancelToken;
use crate::report::error::{Error, ErrorKind};
use crate::target::deadline::at_target;

/// As Proxmox makes directories of storages.
const DIRECTORY_MODE: u32 = 0o755;

impl DumpDirectory {
    /// The backups of `place`: the id of a storage, or a directory. What is both is a storage, unless it has a slash.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Target`] if it is neither, [`ErrorKind::Storage`] if the storage cannot be used,
    /// [`ErrorKind::Request`] if it holds no backups.
    pub fn open(place: &Path, storages: &Storages) -> Result<Self, Error> {
        let directory = directory(place, storages, false)?.ok_or_else(|| {
            let known: Vec<&str> = storages
                .config()
                .sections()
                .map(|section| section.id())
                .collect();
            let storages = if known.is_empty() {
                "no storages are configured".to_owned()
            } else {
                format!("the storages are {}", known.join(", "))
            };
            Error::new(
                ErrorKind::Target,
                format!(
                    "{} is neither a directory nor a storage; {storages}",
                    place.display()
                ),
            )
        })?;
        Ok(directory)
    }

    /// The backup whose archive is at this path, and its directory.
    ///
    /// # Errors
    /// Those of [`find`](Self::find).
    pub fn find_archive(archive: &Path) -> Result<(Self, Backup), Error> {
        let (Some(directory), Some(name)) = (
            archive.parent(),
            archive.file_name().and_then(|name| name.to_str()),
        ) else {
            return Err(Error::new(
                ErrorKind::Request,
                format!("{} is no archive", archive.display()),
            ));
        };
        let directory = match directory.as_os_str().is_empty() {
            true => Path::new("."),
            false => directory,
        };
        let directory = Self::new(directory);
        let backup = directory.find(name)?;
        Ok((directory, backup))
    }
}

/// Where a new archive of `guest` goes: under a free name in `place`, if that is a directory or a storage, else
/// `place` itself. `wrapper` is what follows `.vma.` in its name. A place that does
/// not answer is given up after `timeout`. A dry run makes no directory.
///
/// # Errors
/// Those of [`DumpDirectory::open`] and [`DumpDirectory::free_name`]; kind [`ErrorKind::Target`] if `place` is no
/// name of an archive either.
pub fn new_archive(
    place: &Path,
    storages: &Storages,
    (guest, time): (&GuestId, DateTime),
    wrapper: Option<&str>,
    timeout: Duration,
    dry_run: bool,
    cancel: &CancelToken,
) -> Result<PathBuf, Error> {
    let (to, storages, guest) = (place.to_owned(), storages.clone(), guest.clone());
    let wrapper = wrapper.map(str::to_owned);
    let look = move || {
        let found = directory(&to, &storages, dry_run)?;
        let path = found.map(|found| {
            if found.of_storage && !dry_run {
                create_directories(found.path(), DIRECTORY_MODE).map_err(|error| {
                    let message = format!("cannot create {}", found.path().display());
                    Error::caused(ErrorKind::Target, message, error)
                })?;
            }
            let name = found.free_name(&guest, time, wrapper.as_deref())?;
            Ok(found.path().join(name.to_string()))
        });
        path.transpose()
    };
    if let Some(path) = at_target("a first look", timeout, cancel, look)? {
        return Ok(path);
    }
    if place.extension().is_some() {
        return Ok(place.to_owned());
    }
    let message = format!(
        "{} is neither a directory, nor a storage, nor the name of an archive",
        place.display()
    );
    Err(Error::new(ErrorKind::Target, message))
}

/// Whether `place` is an archive, and no directory or storage: a file, or an object of an archive's name.
#[must_use]
pub fn is_archive(place: &Path) -> bool {
    let object = Address::of(place);
    object.map_or_else(
        || place.is_file(),
        |object| archive_stem(object.name()).is_some(),
    )
}

/// The storage that `place` means, which is not one by a path that somebody has written.
#[must_use]
pub fn storage_id<'p>(place: &'p Path, storages: &Storages) -> Option<&'p str> {
    place
        .to_str()
        .filter(|id| storages.config().section(id).is_some())
}

/// The directory of backups that `place` means; `None` if it is neither a directory nor a storage.
fn directory(
    place: &Path,
    storages: &Storages,
    dry_run: bool,
) -> Result<Option<DumpDirectory>, Error> {
    if let Some(prefix) = objects::prefix(place) {
        return Ok(Some(DumpDirectory::new(prefix)));
    }
    let Some(id) = storage_id(place, storages) else {
        return Ok(place.is_dir().then(|| DumpDirectory::new(place)));
    };
    let failed = |error| {
        let message = format!("cannot use storage {id}");
        Error::caused(ErrorKind::Storage, message, error)
    };
    let storage = storages.open(id).map_err(failed)?;
    if !storages.may_hold(id, "backup") {
        let message = format!(
            "the storage {id} is not for backups; choose another, or add backup to its content in storage.cfg"
        );
        return Err(Error::new(ErrorKind::Storage, message));
    }
    match dry_run {
        true => storage.status().map(drop),
        false => storage.activate(),
    }
    .map_err(failed)?;
    let directory = storage.dump_directory().ok_or_else(|| {
        Error::new(
            ErrorKind::Request,
            format!("storage {id} cannot hold backups"),
        )
    })?;
    let mut directory = DumpDirectory::new(directory);
    directory.of_storage = true;
    Ok(Some(directory))
}
