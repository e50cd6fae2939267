//! What a dry run of a backup tells, whatever is backed up.

use std::path::Path;

use fleece_fleecing::{Place, Record};
use rustix::fs::{Access, access, statvfs};

use crate::report::Counting;
use crate::report::error::{Error, ErrorKind};
use crate::report::units;
use crate::target::compression::Compression;
use crate::target::options::ArchiveTarget;

/// What a dry run found.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Foreseen {
    /// The disks that would be backed up, by their names in the archive, and their sizes in bytes where these are
    /// known.
    pub disks: Vec<(String, Option<u64>)>,
    /// How many warnings were told.
    pub warnings: usize,
}

/// Tells what is on record of the guest, which the backup would remove first. Nothing of it is.
pub(crate) fn left_overs(place: &Place, reporter: &Counting<'_>) -> Result<bool, Error> {
    let record = Record::open(place)?;
    let left = !record.contents()?.is_empty();
    if left {
        reporter.info(
            "an earlier backup or restore was not finished; what it left would be removed first"
                .into(),
        );
    }
    Ok(left)
}

/// Tells where the archive would go, and what room there is for `size` bytes of disks.
pub(crate) fn target(
    target: &ArchiveTarget,
    size: Option<u64>,
    reporter: &Counting<'_>,
) -> Result<(), Error> {
    let Some(path) = target.path() else {
        reporter.info("would write the archive to standard output".into());
        return Ok(());
    };
    if let Some(address) = fleece_object_storage::Address::of(path) {
        let known = fleece_object_storage::open_address(&address)
            .and_then(|store| store.look(address.key()));
        known.map_err(|error| {
            let message = format!("cannot write {}", path.display());
            Error::caused(ErrorKind::Target, message, error)
        })?;
        reporter.info(format!("would create vzdump archive '{}'", path.display()));
        return Ok(());
    }
    let failed = |error: std::io::Error| {
        let message = format!("cannot write {}", path.display());
        Error::caused(ErrorKind::Target, message, error)
    };
    if path.symlink_metadata().is_ok() {
        return Err(failed(std::io::ErrorKind::AlreadyExists.into()));
    }
    // A storage's directory of backups is made with the first one.
    let absolute = std::path::absolute(path).map_err(failed)?;
    let directory = absolute
        .ancestors()
        .skip(1)
        .find(|directory| directory.is_dir())
        .unwrap_or_else(|| Path::new("/"));
    let allowed = access(directory, Access::WRITE_OK | Access::EXEC_OK);
    allowed.map_err(|error| failed(error.into()))?;
    reporter.info(format!("would create vzdump archive '{}'", path.display()));
    if let Ok(status) = statvfs(directory) {
        let free = units::bytes(status.f_bavail.saturating_mul(status.f_frsize));
        let most = size.map_or_else(String::new, |size| {
            let compressed = match target.compression {
                Compression::None => "",
                _ => ", before compression",
            };
            format!(
                "the archive would take {} at most{compressed}; ",
                units::bytes(size)
            )
        });
        reporter.info(format!("{most}{free} are free in {}", directory.display()));
    }
    Ok(())
}
