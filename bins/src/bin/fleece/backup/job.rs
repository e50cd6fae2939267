//! What all kinds of backups need.

use std::path::{Path, PathBuf};

use fleece_backup_core::{
    ArchiveOptions, CancelToken, Error, ErrorKind, Guest, Incrementally, Places, Storages,
};
use fleece_staged_file::create_directories;

use crate::cli::backup::Backup;
use crate::log::Log;
use crate::script::Script;

/// What all kinds of backups need.
pub(super) struct Job<'a> {
    pub(super) arguments: &'a Backup,
    pub(super) places: &'a Places,
    /// Where fleecing images go if nothing is said.
    pub(super) images: PathBuf,
    pub(super) storages: Storages,
    pub(super) guest: &'a Guest,
    pub(super) archive: ArchiveOptions,
    pub(super) script: Script<'a>,
    pub(super) log: &'a Log,
    pub(super) cancel: CancelToken,
}

impl Job<'_> {
    /// How only what has changed is read, and how far the earlier archive is trusted.
    pub(super) fn incrementally(&self) -> Incrementally {
        let mut how = Incrementally::default();
        how.full_every = self.arguments.full_every;
        how.check_unchanged = self.arguments.check_unchanged;
        how.verify_base_after = self.arguments.verify_base_after;
        how
    }

    /// Where old data is saved: a storage's id, or a directory.
    pub(super) fn fleecing_place(&self) -> Result<String, Error> {
        let Job {
            arguments,
            images: directory,
            ..
        } = self;
        let archive = self.archive.target.path();
        match (&arguments.fleecing, arguments.no_fleecing) {
            (Some(storage), _) => Ok(storage.clone()),
            (None, false) if arguments.dry_run => {
                // It would be made there.
                let there = directory.ancestors().find(|path| path.is_dir());
                let there = there.unwrap_or_else(|| Path::new("/"));
                Ok(format!("{}/", there.display()))
            }
            (None, false) => {
                create_directories(directory, 0o755).map_err(|error| {
                    let message = format!("cannot create {}; name another", directory.display());
                    Error::caused(
                        ErrorKind::Storage,
                        format!("{message} with --fleecing"),
                        error,
                    )
                })?;
                Ok(directory.to_string_lossy().into_owned())
            }
            (None, true) => {
                let archive = archive.ok_or_else(|| {
                    Error::new(
                        ErrorKind::Request,
                        "--no-fleecing saves old data beside the archive, and standard output has no \
                         place beside it",
                    )
                })?;
                // A name alone is of a file here, and not of one in the root.
                let archive = std::path::absolute(archive).unwrap_or_else(|_| archive.to_owned());
                let beside = archive.parent().unwrap_or(&archive);
                Ok(format!("{}/", beside.display()))
            }
        }
    }
}
