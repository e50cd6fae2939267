//! The archive of a guest that a new one is made on top of.

use std::io;
use std::iter::successors;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fleece_guest_config::GuestId;
use fleece_vma_format::ErrorKind;

use super::{Backup, DumpDirectory};
use crate::job::cancel::CancelToken;
use crate::report::error::Error;
use crate::report::{Counting, Reporter};
use crate::target::base::BaseArchive;
use crate::target::compression::Compression;
use crate::target::deadline::at_target;

/// The endings of archives that can have an index.
const PLAIN: &str = "vma";
const ZSTD: &str = "zst";

/// Those of archives from which data can be taken, whether or not anything of them can be shared.
pub(crate) const ANY: &[&str] = &[PLAIN, ZSTD];

/// How many archives are looked at: who has many damaged ones has another problem.
const MAX_LOOKED_AT: usize = 8;

/// Which archive is looked for: one of `guest`, beside the new one `archive`.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    pub(crate) archive: PathBuf,
    pub(crate) guest: GuestId,
    /// The endings of the names of those that will do.
    pub(crate) endings: &'static [&'static str],
    /// The uuids of the archives that would be best, in hexadecimal digits; without them, the newest is.
    pub(crate) best: Vec<String>,
}

/// The newest complete archive of `guest`, beside the new one `archive`, of which that can share what has not changed if
/// it is compressed like this.
/// Those that are newer and cannot be used are warnings; their number comes second.
///
/// # Errors
/// Kind [`ErrorKind::Target`](crate::ErrorKind::Target) if the directory cannot be read within `limit`.
pub fn find_base(
    archive: &Path,
    compression: Compression,
    guest: &GuestId,
    limit: Duration,
    reporter: &dyn Reporter,
    cancel: &CancelToken,
) -> Result<(Option<BaseArchive>, usize), Error> {
    let search = Search {
        archive: archive.to_owned(),
        guest: guest.clone(),
        endings: match compression {
            Compression::None => &[PLAIN],
            Compression::Zstd(_) => &[ZSTD],
        },
        best: Vec::new(),
    };
    let reporter = Counting::new(reporter);
    let found = search.run(limit, &reporter, cancel)?;
    match &found {
        Some(base) => {
            let is_aligned = base.base().is_known();
            let base = base.path().file_name().unwrap_or_default().to_string_lossy();
            reporter.info(format!("what has not changed is shared with {base}"));
            if !is_aligned {
                reporter.info(format!(
                    "{base} is not aligned, so little of it can be shared; what is written now is"
                ));
            }
        }
        None => reporter.info(
            "there is no earlier archive of this guest, compressed the same way and with an index, to share anything with"
                .into(),
        ),
    }
    Ok((found, reporter.warnings()))
}

/// The archive at `path` as a base, with what is known of it.
///
/// # Errors
/// As [`BaseArchive::open`].
pub(crate) fn open_base(path: &Path) -> Result<BaseArchive, Error> {
    let base = BaseArchive::open(path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let directory = path.parent().filter(|path| !path.as_os_str().is_empty());
    let directory = DumpDirectory::new(directory.unwrap_or_else(|| Path::new(".")));
    // One with a name of its own has nothing beside it that tells.
    Ok(match directory.find(&name) {
        Ok(backup) => base.with(backup.verified()),
        Err(_) => base,
    })
}

impl Search {
    /// The archive, if there is one.
    ///
    /// # Errors
    /// As [`find_base`].
    pub(crate) fn run(
        self,
        limit: Duration,
        reporter: &Counting<'_>,
        cancel: &CancelToken,
    ) -> Result<Option<BaseArchive>, Error> {
        let look = move || self.look();
        let looked = at_target("looking for an earlier archive", limit, cancel, look)?;
        for error in looked.failed {
            reporter.warning(error);
        }
        if let Some(path) = looked.passed_over {
            let path = path.display();
            reporter.info(format!(
                "{path} has no index, or one of an older version, so nothing is taken from it; an aligned copy of it, which \
                 `vma reframe` makes, can be shared with"
            ));
        }
        Ok(looked.found)
    }

    fn look(&self) -> Result<Looked, Error> {
        let directory = self
            .archive
            .parent()
            .filter(|path| !path.as_os_str().is_empty());
        let backups = DumpDirectory::new(directory.unwrap_or_else(|| Path::new("."))).list()?;
        let own = backups
            .iter()
            .rev()
            .filter(|backup| self.is_of_guest(backup));
        let (usable, bare): (Vec<_>, Vec<_>) = own.partition(|backup| may_have_index(backup));
        let mut failed = Vec::new();
        let mut passed_over = None;
        let mut found: Vec<BaseArchive> = Vec::new();
        for backup in usable.into_iter().take(MAX_LOOKED_AT) {
            let opened = BaseArchive::open(backup.path());
            match opened.map(|base| base.with(backup.verified())) {
                Ok(base) if self.best.is_empty() || self.best.first() == Some(&base.uuid()) => {
                    return Ok(Looked {
                        found: Some(base),
                        failed,
                        passed_over,
                    });
                }
                Ok(base) => found.push(base),
                Err(error) if is_older(&error) => {
                    passed_over.get_or_insert_with(|| backup.path().to_owned());
                }
                Err(error) => failed.push(error),
            }
        }
        let rank = |base: &BaseArchive| self.best.iter().position(|best| *best == base.uuid());
        // Of those that are as good, the first is the newest.
        let found = found
            .into_iter()
            .min_by_key(|base| rank(base).unwrap_or(usize::MAX));
        if let (None, [newest, ..]) = (&found, bare.as_slice()) {
            passed_over.get_or_insert_with(|| newest.path().to_owned());
        }
        Ok(Looked {
            found,
            failed,
            passed_over,
        })
    }

    fn is_of_guest(&self, backup: &Backup) -> bool {
        self.endings.contains(&ending(backup))
            && backup.guest() == Some(&self.guest)
            && backup.fault().is_none()
            && backup.path() != self.archive
    }
}

/// What was found among the archives of a guest.
struct Looked {
    found: Option<BaseArchive>,
    /// Those that should have been fine.
    failed: Vec<Error>,
    /// The newest that was not made to be shared with.
    passed_over: Option<PathBuf>,
}

fn ending(backup: &Backup) -> &str {
    let ending = backup.path().extension().unwrap_or_default();
    ending.to_str().unwrap_or_default()
}

/// That of a compressed one is inside, if it was written by us.
fn may_have_index(backup: &Backup) -> bool {
    ending(backup) == ZSTD || backup.is_indexed()
}

/// Whether an archive that cannot be a base may be sound all the same, and made by another program or an older version.
fn is_older(error: &Error) -> bool {
    let mut causes = successors(std::error::Error::source(error), |cause| cause.source());
    causes.any(|cause| {
        let by_system = cause.downcast_ref::<io::Error>();
        let by_format = cause.downcast_ref::<fleece_vma_format::Error>();
        by_system.is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
            || by_format.is_some_and(|error| error.kind() == ErrorKind::Unsupported)
    })
}
