//! A restore behind a guest that runs already: QEMU starts on new images that lie over the archive, which a process of
//! its own serves, and copies the rest into them while the guest writes to them.
//!
//! What the guest writes is in its images from the first byte on. The images name the archive's server as their backing
//! file until all of them is copied and on stable storage, so that whatever is killed or loses its power in between, no
//! image can be taken for a complete one, and `live.json`, which lies beside them from the beginning, tells how to go on.
//!
//! Three processes take part, and each of them may be killed: QEMU, which does the copying; the server (`server`), which
//! lives as long as the record is there and QEMU has the images open; and whoever follows (`follow`), tells how far it
//! is, and does the last step. QEMU waits for a server that is gone, instead of giving its guest errors.

mod client;
mod folder;
mod follow;
mod server;
mod speed;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fleece_storage::VolumeFormat;

use super::Restored;
use super::anywhere::{anywhere, beside};
use super::behind::{self, LiveRecord, RECORD};
use super::folder::{FolderRestore, restore_folder};
use super::start::{self, Held};
use crate::job::cancel::CancelToken;
use crate::report::advice::Advice;
use crate::report::error::{Error, ErrorKind};
use crate::report::{Counting, Reporter, units};
use folder::Folder;
use follow::{Follower, Stop};

pub use server::{LiveServer, serve_live};

/// A live restore that was begun.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LiveResume {
    /// The folder that it was begun in.
    pub folder: PathBuf,
    /// Start the guest if it does not run.
    pub start: bool,
    /// Bytes per second copied at most.
    pub bwlimit: Option<u64>,
}

impl LiveResume {
    /// What was begun in `folder`, without starting the guest.
    #[must_use]
    pub const fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            start: false,
            bwlimit: None,
        }
    }
}

/// Whether a live restore was begun in this folder and is not complete.
#[must_use]
pub fn is_live(folder: &Path) -> bool {
    folder.join(RECORD).symlink_metadata().is_ok()
}

/// Starts a guest on its archive, and copies its disks behind it into qcow2 images in a folder. Returns when the archive
/// is not needed any more.
///
/// Once the guest runs, it goes on whatever becomes of this call: when that is cancelled, QEMU goes on copying as well,
/// and [`resume_live`] finishes the restore.
///
/// # Errors
/// As [`restore_folder`], before the guest is started, with nothing left; after that kind `Cancelled`; `Guest` for a guest
/// that does not start; `Target` and `Damage` for what cannot be copied. What was begun stays then, and can be resumed.
pub fn restore_live(
    job: &FolderRestore,
    server: &LiveServer,
    reporter: &dyn Reporter,
    cancel: &CancelToken,
) -> Result<Restored, Error> {
    let begun = Instant::now();
    let reporter = Counting::new(reporter);
    check(job)?;
    let mut job = job.clone();
    (job.is_live, job.startable) = (true, true);
    job.archive = std::path::absolute(&job.archive).unwrap_or(job.archive);
    if job.dry_run {
        return restore_folder(&job, &reporter, cancel);
    }
    let copy = copy_for(&job.folder);
    job.archive = anywhere(
        &job.archive,
        &job.identities,
        copy.clone(),
        &reporter,
        cancel,
    )?;
    let mut restored = restore_folder(&job, &reporter, cancel).inspect_err(|_| {
        if job.archive == copy {
            let _ = fs::remove_file(&copy);
        }
    })?;
    let folder = Folder::open(&job.folder)?;
    let record = LiveRecord::load(folder.path())?;
    let mut follower = Follower::new(&folder, &record, server, job.bwlimit, &reporter, cancel);
    follower
        .serve()
        .map_err(|error| error.advise(resume(&folder)))?;
    let started =
        start::live(folder.path(), Held::No).map_err(|error| error.advise(resume(&folder)))?;
    reporter.info(started);
    restored.started = Some(begun.elapsed());
    reporter.info(format!(
        "the guest runs after {}, and its disks are copied behind it; until that is done, {} must stay",
        units::duration(begun.elapsed()),
        record.archive.display()
    ));
    end(&mut follower, &folder, &record, &reporter)?;
    told(restored, &record, &reporter, begun.elapsed())
}

/// Goes on with a live restore: behind the guest, if that runs or is to be started, or else without it.
///
/// # Errors
/// As [`restore_live`], and kind `Request` if there is nothing to go on with.
pub fn resume_live(
    job: &LiveResume,
    server: &LiveServer,
    reporter: &dyn Reporter,
    cancel: &CancelToken,
) -> Result<Restored, Error> {
    let begun = Instant::now();
    let reporter = Counting::new(reporter);
    let folder = Folder::open(&job.folder)?;
    let record = LiveRecord::load(folder.path())?;
    let mut follower = Follower::new(&folder, &record, server, job.bwlimit, &reporter, cancel);
    follower.serve()?;
    let mut restored = Restored::of(folder.path().to_owned());
    match start::is_running(&folder.socket(start::MONITOR)) {
        true => reporter.info("the guest runs, or stands ready".to_owned()),
        false if job.start => {
            follower.await_end_of_guest()?;
            let started = start::live(folder.path(), Held::No);
            reporter.info(started.map_err(|error| error.advise(resume(&folder)))?);
            restored.started = Some(begun.elapsed());
        }
        false => {}
    }
    if job.start {
        follower.let_go()?;
    }
    end(&mut follower, &folder, &record, &reporter)?;
    told(restored, &record, &reporter, begun.elapsed())
}

/// Where a copy of the archive is that goes with the restore to this folder.
fn copy_for(folder: &Path) -> PathBuf {
    let there = folder.canonicalize();
    beside(
        &there
            .or_else(|_| std::path::absolute(folder))
            .unwrap_or_else(|_| folder.to_owned()),
    )
}

/// Copies to the end, behind the guest and, if that ends, without it.
fn end(
    follower: &mut Follower<'_>,
    folder: &Folder,
    record: &LiveRecord,
    reporter: &Counting<'_>,
) -> Result<(), Error> {
    let mut is_held = false;
    loop {
        match follower.copy_all() {
            Ok(()) => break,
            Err(Stop::GuestEnded) if is_held => {
                let message = "QEMU has ended while the disks were copied without the guest";
                return Err(Error::new(ErrorKind::Guest, message).advise(resume(folder)));
            }
            Err(Stop::GuestEnded) => {
                follower.await_end_of_guest()?;
                reporter.info(
                    "the guest does not run: its disks are completed without it, by a QEMU that holds it still"
                        .to_owned(),
                );
                start::live(folder.path(), Held::Yes)
                    .map_err(|error| error.advise(resume(folder)))?;
                is_held = true;
            }
            Err(Stop::Cancelled(reason)) => {
                let goes_on = match follower.quit_held() {
                    true => "the disks are not complete".to_owned(),
                    false => format!(
                        "the guest goes on, and QEMU goes on copying; {} must stay",
                        record.archive.display()
                    ),
                };
                let message = format!("{reason}; {goes_on}");
                return Err(
                    Error::new(ErrorKind::Cancelled(reason), message).advise(resume(folder))
                );
            }
            Err(Stop::Failed(error)) => {
                follower.quit_held();
                return Err(error.advise(resume(folder)));
            }
        }
    }
    follower.quit_held();
    behind::remove(folder.path())?;
    follower.end_server();
    let is_copy = record.archive == copy_for(folder.path());
    if is_copy && let Err(error) = fs::remove_file(&record.archive) {
        let path = record.archive.display();
        reporter.warning(format!("cannot remove {path}: {error}"));
    }
    let of = if is_copy { "the copy " } else { "" };
    reporter.info(format!(
        "all disks are complete; {of}{} is not needed any more",
        record.archive.display()
    ));
    Ok(())
}

fn told(
    mut restored: Restored,
    record: &LiveRecord,
    reporter: &Counting<'_>,
    took: Duration,
) -> Result<Restored, Error> {
    for disk in &record.disks {
        restored.bytes = restored.bytes.saturating_add(disk.size);
        if !restored.disks.iter().any(|(name, _)| *name == disk.device) {
            let path = restored.path.join(&disk.file).display().to_string();
            restored.disks.push((disk.device.clone(), path));
        }
    }
    restored.took = took;
    restored.warnings = reporter.warnings();
    Ok(restored)
}

/// What a live restore cannot be.
fn check(job: &FolderRestore) -> Result<(), Error> {
    let refused = |message: &str| Err(Error::new(ErrorKind::Request, message));
    if job.format == VolumeFormat::Raw {
        return refused(
            "a live restore makes qcow2 images, which alone can lie over an archive; choose that format, or restore \
             without --live",
        );
    }
    if job.archive.as_os_str() == "-" {
        return refused(
            "a live restore needs an archive that can be read anywhere, and a pipe cannot",
        );
    }
    if is_live(&job.folder) {
        let message = format!(
            "{} holds a live restore that is not complete",
            job.folder.display()
        );
        return Err(
            Error::new(ErrorKind::Request, message).advise(Advice::ResumeLive(job.folder.clone()))
        );
    }
    Ok(())
}

fn resume(folder: &Folder) -> Advice {
    Advice::ResumeLive(folder.path().to_owned())
}
