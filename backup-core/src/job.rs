//! A backup or a restore on record: what it makes is written down before it is made, so that whoever comes
//! next, or a clean-up, removes what a killed one has left.

pub(crate) mod archive;
pub(crate) mod cancel;
pub(crate) mod earlier;
pub(crate) mod incremental;
pub(crate) mod places;
pub(crate) mod stopped;
pub(crate) mod who;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fleece_fleecing::ErrorKind as Kind;
use fleece_fleecing::{Cleaned, GuestAddress, Place, Record, Step, Switched};
use fleece_storage::Storages;

use crate::job::archive::{ArchiveOptions, Archived};
use crate::job::cancel::CancelToken;
use crate::pipeline::source::Source;
use crate::pipeline::transfer::{GuestWatch, Settings};
use crate::report::error::Error;
use crate::report::{Counting, Reporter, Warning};
use crate::target::deadline;
use crate::target::options::{ArchiveTarget, Unfinished};
use crate::target::output::Destination;

/// The record of one guest, which nobody else works on until this is dropped.
///
/// Dropping it removes nothing: what is still on record then is removed by the next job of this guest, or by
/// [`fleece_fleecing::cleanup`].
#[derive(Debug)]
pub struct Job {
    record: Record,
}

impl Job {
    /// Locks the record of a guest and removes what an earlier, killed job of it left. What cannot be removed
    /// stays on record, and is a warning.
    ///
    /// # Errors
    /// Kind [`Busy`](crate::ErrorKind::Busy) while another process works on the guest,
    /// [`Storage`](crate::ErrorKind::Storage) when the record cannot be used.
    pub fn open(
        place: &Place,
        storages: &Storages,
        reporter: &dyn Reporter,
        cancel: &CancelToken,
    ) -> Result<Self, Error> {
        Self::open_record(place, Purpose::Backup, storages, reporter, cancel)
    }

    /// The same for a restore of the guest: disks that an earlier one has left half written are what it is for.
    pub(crate) fn open_for_restore(
        place: &Place,
        storages: &Storages,
        reporter: &dyn Reporter,
        cancel: &CancelToken,
    ) -> Result<Self, Error> {
        Self::open_record(place, Purpose::Restore, storages, reporter, cancel)
    }

    /// The same for a job that works inside the QEMU behind `qmp`: there a guest that an earlier one has left
    /// frozen, or an image that does not answer, is in the way.
    pub(crate) fn open_for_qemu(
        place: &Place,
        qmp: &GuestAddress,
        storages: &Storages,
        reporter: &dyn Reporter,
        cancel: &CancelToken,
    ) -> Result<Self, Error> {
        Self::open_record(place, Purpose::BackupIn(qmp), storages, reporter, cancel)
    }

    fn open_record(
        place: &Place,
        purpose: Purpose<'_>,
        storages: &Storages,
        reporter: &dyn Reporter,
        cancel: &CancelToken,
    ) -> Result<Self, Error> {
        let qmp = match purpose {
            Purpose::BackupIn(qmp) => Some(qmp),
            Purpose::Backup | Purpose::Restore => None,
        };
        let reporter = &Counting::new(reporter);
        let record = Record::open(place)?;
        if record.contents()?.is_empty() {
            return Ok(Self { record });
        }
        reporter
            .info("an earlier backup or restore was not finished; removing what it left".into());
        let mut cleaned = Cleaned::default();
        let interrupt = cancel.interrupt();
        fleece_fleecing::clean(&record, qmp, storages, interrupt, &mut cleaned)?;
        for done in cleaned.done {
            reporter.info(format!("removed {done}"));
        }
        let mut in_the_way = None;
        for failed in cleaned.failed {
            let kind = failed.kind();
            match kind {
                Kind::Frozen if qmp.is_some() => {
                    in_the_way = Some(left_frozen(failed.into(), reporter, cancel));
                }
                // We would wait for that storage, too, and the guest perhaps with us.
                Kind::Hangs if qmp.is_some() && in_the_way.is_none() => {
                    in_the_way = Some(failed.into());
                }
                Kind::HalfRestored if matches!(purpose, Purpose::Restore) => {}
                _ => reporter.warning(failed),
            }
        }
        in_the_way.map_or(Ok(Self { record }), Err)
    }

    /// What is made is written down here.
    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    /// Writes an archive of `disks`, as [`crate::archive`] does, on record.
    ///
    /// # Errors
    /// The first cause; there is no archive then. What could not be removed of it is told as a warning, and
    /// stays on record.
    pub fn archive(
        &self,
        disks: &[Arc<dyn Source>],
        options: &ArchiveOptions,
        watch: Option<&mut dyn GuestWatch>,
        reporter: &dyn Reporter,
        cancel: &CancelToken,
    ) -> Result<Archived, Error> {
        let settings = Settings::new(&options.pacing, &options.target);
        self.archive_with(disks, options, settings, watch, reporter, cancel)
    }

    /// The same with other settings than those for a guest of whom nothing is known.
    pub(crate) fn archive_with(
        &self,
        disks: &[Arc<dyn Source>],
        options: &ArchiveOptions,
        settings: Settings,
        watch: Option<&mut dyn GuestWatch>,
        reporter: &dyn Reporter,
        cancel: &CancelToken,
    ) -> Result<Archived, Error> {
        let mut target = options.target.clone();
        target.bound = disks.iter().map(|disk| disk.size()).sum();
        let (destination, begun) = self.begin(&target, cancel)?;
        let content = &options.content;
        let archived = archive::write(
            destination,
            disks,
            content,
            settings,
            watch,
            reporter,
            cancel,
        );
        begun.end(archived.is_ok(), &Counting::new(reporter));
        archived
    }

    /// Begins an archive, with its temporary files on record.
    pub(crate) fn begin<'r>(
        &'r self,
        target: &'r ArchiveTarget,
        cancel: &CancelToken,
    ) -> Result<(Destination, Begun<'r>), Error> {
        let mut files = target.temporary_files();
        // What is there already is somebody else's; the archive will be refused.
        let look = move || {
            files.retain(|file| file.symlink_metadata().is_err());
            Ok(files)
        };
        let files = deadline::at_target("a first look", target.timeout, cancel, look)?;
        self.record.add_files(&files)?;
        let begun = Begun {
            record: &self.record,
            target,
            files,
        };
        let destination = Destination::create(target, cancel).inspect_err(|_| {
            if let Err(error) = begun.forget() {
                tracing::warn!(%error, "record");
            }
        })?;
        Step::ArchiveCreated.reached();
        Ok((destination, begun))
    }
}

/// What a record is opened for.
#[derive(Clone, Copy)]
enum Purpose<'a> {
    Backup,
    /// A backup that works inside the QEMU with this monitor.
    BackupIn(&'a GuestAddress),
    Restore,
}

/// An archive that is under way, on record.
#[derive(Debug)]
pub(crate) struct Begun<'r> {
    record: &'r Record,
    target: &'r ArchiveTarget,
    files: Vec<PathBuf>,
}

impl Begun<'_> {
    /// Takes the temporary files off the record, when the archive is complete or given up. A target that
    /// hangs may keep them: then they stay on record.
    pub(crate) fn end(self, complete: bool, reporter: &Counting<'_>) {
        if !complete {
            let unfinished = self.target.unfinished();
            if let Some((message, advice)) = unfinished.message() {
                reporter.warning(Warning::advised(message, advice));
            }
            if matches!(unfinished, Unfinished::Left(_)) {
                return;
            }
        }
        if let Err(error) = self.forget() {
            reporter.warning(error);
        }
    }

    fn forget(&self) -> Result<(), fleece_fleecing::Error> {
        self.record.remove_files(&self.files)
    }
}

/// A guest that stands still is told of whatever else there is to tell.
pub(crate) fn left_frozen(error: Error, reporter: &Counting<'_>, cancel: &CancelToken) -> Error {
    match cancel.reason() {
        Some(reason) => {
            reporter.warning(error);
            Error::cancelled(reason)
        }
        None => error,
    }
}

/// Where the contents of an archive came from, if its guest was not read in full.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tracked {
    /// Bytes read of the guest, of those disks that were not read in full.
    pub from_guest: u64,
    /// Bytes of these disks taken from the earlier archive.
    pub from_archive: u64,
    /// How many disks that were.
    pub disks: usize,
    /// Of each disk whose bitmap is in a QEMU, whether what it said could be believed; one that is new cannot.
    pub bitmaps: BTreeMap<String, bool>,
}

/// What a finished backup was.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// The archive.
    pub archived: Archived,
    /// How the filters got into QEMU, and how long that took; `None` for disks that QEMU does not run.
    pub switched: Option<Switched>,
    /// How long the guest's file systems were frozen, if they were.
    pub frozen: Option<Duration>,
    /// How long the guest was down between powering down and booting again, if it was asked to.
    pub down: Option<Duration>,
    /// Most bytes that the fleecing images held at once, as far as it was seen.
    pub fleecing_peak: Option<u64>,
    /// What came from an earlier archive, if that was asked for.
    pub tracked: Option<Tracked>,
    /// Things that were not as they should be.
    pub warnings: usize,
}
