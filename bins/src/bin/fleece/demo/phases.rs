//! The three acts: a guest without a backup, with one, and with one and fleecing.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fleece_backup_core::cbw::{Options, Snapshot, Throttled};
use fleece_backup_core::native::SnapshotSource;
use fleece_backup_core::pace::GuestWrites;
use fleece_backup_core::{
    ArchiveOptions, ArchiveTarget, CancelReason, CancelToken, Compression, Content, Error,
    ErrorKind, Event, FileTarget, GuestWatch, RateLimit, Reporter, Source, ThrottledTarget,
    archive, units,
};
use fleece_storage::block::{BlockDevice, Geometry as _, RawFile};

use super::disks::{self, Disk, failed, go_on};
use super::load::{Load, Measured};
use crate::log::Log;

/// The archive with fleecing.
pub(super) const ARCHIVE: &str = "vzdump-qemu-100-2026_01_01-00_00_00.vma.zst";

/// What is played with.
pub(super) struct Stage<'a> {
    pub(super) directory: &'a Path,
    pub(super) disks: Vec<Disk>,
    /// Bytes per second.
    pub(super) guest_speed: u64,
    pub(super) target_speed: u64,
    pub(super) log: &'a Log,
    pub(super) cancel: &'a CancelToken,
}

/// What an act was like.
#[derive(Debug)]
pub(super) struct Phase {
    pub(super) guest: Measured,
    pub(super) backup: Option<Backup>,
}

/// The backup of an act.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backup {
    pub(super) took: Duration,
    /// How far it came, in percent.
    pub(super) done: u64,
    /// The most that the fleecing images held, in bytes.
    pub(super) fleecing_peak: Option<u64>,
}

impl Stage<'_> {
    /// The guest, for `time`.
    pub(super) fn alone(&self, time: Duration) -> Result<Phase, Error> {
        let load = self.load()?;
        // Ends by the time, or by the token.
        let _ = self.cancel.fired().recv_timeout(time);
        go_on(self.cancel)?;
        let guest = load.stop()?;
        Ok(Phase {
            guest,
            backup: None,
        })
    }

    /// A backup that saves old data where the archive goes; stopped after `time`.
    pub(super) fn straight(&self, time: Duration) -> Result<Phase, Error> {
        let slow = Arc::new(RateLimit::new(self.target_speed));
        let save = self.save_files("saved", |file| {
            Arc::new(Throttled::new(file, Arc::clone(&slow)))
        })?;
        let load = self.load()?;
        let snapshot = self.attach(&save)?;
        load.restart();

        let until = Until {
            to: self.log,
            end: Instant::now().checked_add(time),
            user: self.cancel,
            stop: CancelToken::new(),
            done: Cell::new(0),
        };
        let path = self.directory.join("straight.vma.zst");
        let start = Instant::now();
        let mut watch = Watch(&load, None);
        let result = archive(
            &self.sources(&snapshot),
            &options(path, slow, &until.stop),
            Some(&mut watch),
            &until,
            &until.stop,
        );
        let took = start.elapsed();
        go_on(self.cancel)?;
        let done = match result {
            Ok(_) => 100,
            Err(error) if until.is_stop(&error) => until.done.get(),
            Err(error) => return Err(error),
        };
        snapshot.detach();
        let guest = load.stop()?;
        save.remove()?;
        let backup = Backup {
            took,
            done,
            fleecing_peak: None,
        };
        Ok(Phase {
            guest,
            backup: Some(backup),
        })
    }

    /// A backup that saves old data in fleecing images; its archive and copies of the disks stay.
    pub(super) fn fleeced(&self) -> Result<Phase, Error> {
        let images = self.save_files("fleecing", |file| Arc::new(file))?;
        let load = self.load()?;
        let held = load.hold();
        self.log
            .info("The guest is held for a moment: its disks are copied, to compare later.");
        for disk in &self.disks {
            disks::copy(disk, &self.copy_of(disk), self.cancel)?;
        }
        let snapshot = self.attach(&images)?;
        load.restart();
        drop(held);
        self.log.info("The guest goes on.");

        let start = Instant::now();
        let slow = Arc::new(RateLimit::new(self.target_speed));
        let mut watch = Watch(&load, Some(&snapshot));
        archive(
            &self.sources(&snapshot),
            &options(self.archive(), slow, self.cancel),
            Some(&mut watch),
            self.log,
            self.cancel,
        )?;
        let backup = Backup {
            took: start.elapsed(),
            done: 100,
            fleecing_peak: Some(snapshot.usage().peak),
        };
        snapshot.detach();
        let guest = load.stop()?;
        images.remove()?;
        Ok(Phase {
            guest,
            backup: Some(backup),
        })
    }

    /// The archive with fleecing.
    pub(super) fn archive(&self) -> PathBuf {
        self.directory.join(ARCHIVE)
    }

    /// The disk at the instant of the backup with fleecing.
    pub(super) fn copy_of(&self, disk: &Disk) -> PathBuf {
        self.directory.join(format!("{}.copy", disk.name))
    }

    fn load(&self) -> Result<Load, Error> {
        let disks = self.disks.iter().map(|disk| Arc::clone(&disk.filter));
        Load::start(disks.collect(), self.guest_speed)
    }

    /// A file for each disk's old data.
    fn save_files(
        &self,
        kind: &str,
        device: impl Fn(RawFile) -> Arc<dyn BlockDevice>,
    ) -> Result<SaveFiles, Error> {
        let mut files = SaveFiles::default();
        for disk in &self.disks {
            let path = self.directory.join(format!("{}.{kind}", disk.name));
            let file = RawFile::create(&path, disk.filter.size()).map_err(failed)?;
            files.devices.push(device(file));
            files.paths.push(path);
        }
        Ok(files)
    }

    fn attach(&self, files: &SaveFiles) -> Result<Snapshot, Error> {
        let filters = self.disks.iter().map(|disk| Arc::clone(&disk.filter));
        let disks = filters.zip(files.devices.iter().cloned()).collect();
        Ok(Snapshot::attach(disks, &Options::default())?)
    }

    fn sources(&self, snapshot: &Snapshot) -> Vec<Arc<dyn Source>> {
        let views = snapshot.views().iter().cloned();
        self.disks
            .iter()
            .zip(views)
            .map(|(disk, view)| Arc::new(SnapshotSource::new(disk.name, view)) as Arc<dyn Source>)
            .collect()
    }
}

/// An archive on a target that is as slow as `limit`.
fn options(path: PathBuf, limit: Arc<RateLimit>, cancel: &CancelToken) -> ArchiveOptions {
    let place = ThrottledTarget::new(FileTarget::new(path), limit, cancel);
    let mut target = ArchiveTarget::new(Arc::new(place));
    target.compression = Compression::Zstd(1);
    let mut content = Content::now();
    content
        .configs
        .push(("qemu-server.conf".to_owned(), GUEST.into()));
    ArchiveOptions::new(content, target)
}

/// The configuration of the demo's guest.
const GUEST: &str =
    "name: demo\ncores: 2\nmemory: 512\nscsi0: local:100/demo-0.raw\nscsi1: local:100/demo-1.raw\n";

/// Where old data is saved.
#[derive(Default)]
struct SaveFiles {
    paths: Vec<PathBuf>,
    devices: Vec<Arc<dyn BlockDevice>>,
}

impl SaveFiles {
    /// Make room for the next act.
    fn remove(self) -> Result<(), Error> {
        for path in &self.paths {
            fs::remove_file(path).map_err(|error| {
                Error::caused(
                    ErrorKind::Storage,
                    "cannot remove a file of the demo",
                    error,
                )
            })?;
        }
        Ok(())
    }
}

/// What the guest feels, for the backup's pace, and what is in the fleecing images, if there are any.
struct Watch<'a>(&'a Load, Option<&'a Snapshot>);

impl GuestWatch for Watch<'_> {
    fn writes(&mut self) -> Option<GuestWrites> {
        Some(self.0.writes())
    }

    fn fleecing_used(&mut self) -> Option<u64> {
        let held = self.1.map(|snapshot| snapshot.usage().held);
        if let Some(held) = held {
            self.0.note_held(held);
        }
        held
    }
}

/// Passes progress on, and stops the backup at its end or at the user's wish.
struct Until<'a> {
    to: &'a Log,
    end: Option<Instant>,
    user: &'a CancelToken,
    stop: CancelToken,
    done: Cell<u64>,
}

impl Until<'_> {
    fn is_stop(&self, error: &Error) -> bool {
        self.stop
            .reason()
            .is_some_and(|reason| error.kind() == ErrorKind::Cancelled(reason))
    }
}

impl Reporter for Until<'_> {
    fn report(&self, event: &Event) {
        self.to.report(event);
        let Event::Progress(progress) = event else {
            return;
        };
        self.done.set(units::percent(progress.done, progress.total));
        if let Some(reason) = self.user.reason() {
            self.stop.cancel(reason);
        } else if self.end.is_none_or(|end| Instant::now() >= end) {
            self.stop.cancel(CancelReason::Interrupted);
        }
    }
}
