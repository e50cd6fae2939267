//! The archive of a guest that a new one is made on top of.

use std::path::Path;
use std::time::Duration;

use fleece_guest_config::GuestId;

use super::{Backup, DumpDirectory};
use crate::cancel::CancelToken;
use crate::error::Error;
use crate::report::{Counting, Reporter};
use crate::target::base::BaseArchive;
use crate::target::deadline::at_target;

/// How many archives are tried: who has many damaged ones has another problem.
const MAX_TRIED: usize = 3;

/// The newest complete archive of `guest`, beside the new one `archive`, of which that can share what has not changed.
/// Those that are newer and cannot be used are warnings; their number comes second.
///
/// # Errors
/// Kind [`ErrorKind::Target`](crate::ErrorKind::Target) if the directory cannot be read within `limit`.
pub fn find_base(
    archive: &Path,
    guest: &GuestId,
    limit: Duration,
    reporter: &dyn Reporter,
    cancel: &CancelToken,
) -> Result<(Option<BaseArchive>, usize), Error> {
    let (archive, guest) = (archive.to_owned(), guest.clone());
    let look = move || newest(&archive, &guest);
    let (found, failed) = at_target("looking for an earlier archive", limit, cancel, look)?;
    let reporter = Counting::new(reporter);
    for error in failed {
        reporter.warning(error);
    }
    match &found {
        Some(base) => {
            let base = base.path().file_name().unwrap_or_default().to_string_lossy();
            reporter.info(format!("what has not changed is shared with {base}"));
        }
        None => reporter.info(
            "there is no earlier archive of this guest, not compressed and with an index, to share anything with"
                .into(),
        ),
    }
    Ok((found, reporter.warnings()))
}

fn newest(archive: &Path, guest: &GuestId) -> Result<(Option<BaseArchive>, Vec<Error>), Error> {
    let directory = archive.parent().filter(|path| !path.as_os_str().is_empty());
    let backups = DumpDirectory::new(directory.unwrap_or_else(|| Path::new("."))).list()?;
    let usable = |backup: &&Backup| {
        let plain = backup
            .path()
            .extension()
            .is_some_and(|ending| ending == "vma");
        backup.guest() == Some(guest)
            && plain
            && backup.is_indexed()
            && backup.fault().is_none()
            && backup.path() != archive
    };
    let mut failed = Vec::new();
    for backup in backups.iter().rev().filter(usable).take(MAX_TRIED) {
        match BaseArchive::open(backup.path()) {
            Ok(base) => return Ok((Some(base), failed)),
            Err(error) => failed.push(error),
        }
    }
    Ok((None, failed))
}
