//! Following QEMU while it copies, and the last step of each disk.

use std::fs::File;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use fleece_plain_text::message;
use fleece_qmp_client::Interrupt;
use fleece_qmp_client::commands::Job;
use fleece_storage::block::Qcow2;

use super::client::{NoAnswer, Qemu, Writes};
use super::folder::Folder;
use super::server::{Keeper, LiveServer, is_used};
use super::speed::Speed;
use crate::job::cancel::{CancelReason, CancelToken};
use crate::report::error::{Error, ErrorKind};
use crate::report::meter::Meter;
use crate::report::{Counters, Counting, Event, Reporter as _};
use crate::restore::behind::{LiveDisk, LiveRecord};
use crate::restore::failure::target_error;

/// How often QEMU is asked.
const LOOK: Duration = Duration::from_millis(200);

/// How often progress is reported, and the rate set.
const REPORT: Duration = Duration::from_secs(1);

/// So often in a row it must have given no answer before that is told.
const LATE: u32 = 3;

/// How long QEMU may need from the end of its monitor to its own.
const LAST_MOMENTS: Duration = Duration::from_secs(30);

/// Why the copying cannot be followed to its end.
#[derive(Debug)]
pub(super) enum Stop {
    GuestEnded,
    Cancelled(CancelReason),
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Why a look at a job has failed.
enum Problem {
    NoAnswer(NoAnswer),
    Failed(Error),
}

impl From<NoAnswer> for Problem {
    fn from(no_answer: NoAnswer) -> Self {
        Self::NoAnswer(no_answer)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Follows the copying of all disks, one after the other.
pub(super) struct Follower<'a> {
    folder: &'a Folder,
    record: &'a LiveRecord,
    server: Keeper<'a>,
    reporter: &'a Counting<'a>,
    cancel: &'a CancelToken,
    speed: Speed,
    counters: Counters,
    meter: Meter,
    reported: Instant,
    /// The guest's writes at the last look.
    writes: Option<Writes>,
    /// How often in a row there was no answer.
    late: u32,
}

impl<'a> Follower<'a> {
    pub(super) fn new(
        folder: &'a Folder,
        record: &'a LiveRecord,
        server: &'a LiveServer,
        bwlimit: Option<u64>,
        reporter: &'a Counting<'a>,
        cancel: &'a CancelToken,
    ) -> Self {
        let sizes = record.disks.iter().map(|disk| disk.size);
        let now = Instant::now();
        Self {
            folder,
            record,
            server: Keeper::new(folder, server),
            reporter,
            cancel,
            speed: Speed::new(bwlimit),
            counters: Counters::default(),
            meter: Meter::new(sizes.fold(0, u64::saturating_add), now),
            reported: now,
            writes: None,
            late: 0,
        }
    }

    /// Sees to it that the archive is served.
    pub(super) fn serve(&mut self) -> Result<(), Error> {
        match self.server.is_there() {
            true => Ok(()),
            false => self.server.start(),
        }
    }

    /// Copies what is not copied yet.
    pub(super) fn copy_all(&mut self) -> Result<(), Stop> {
        let record = self.record;
        let mut done = 0_u64;
        let mut left = Vec::new();
        for disk in &record.disks {
            match self.is_complete(disk)? {
                true => done = done.saturating_add(disk.size),
                false => left.push(disk),
            }
        }
        let mut qemu = None;
        for disk in left {
            self.copy(disk, done, &mut qemu)?;
            done = done.saturating_add(disk.size);
            self.report(done, true);
        }
        Ok(())
    }

    fn is_complete(&self, disk: &LiveDisk) -> Result<bool, Error> {
        let has = Qcow2::has_backing_file(&self.folder.join(&disk.file));
        has.map(|has| !has).map_err(target_error)
    }

    /// Copies a disk, with so many bytes of others done before.
    fn copy(&mut self, disk: &LiveDisk, done: u64, qemu: &mut Option<Qemu>) -> Result<(), Stop> {
        let id = format!("fleece-live-{}", disk.device);
        loop {
            if let Some(reason) = self.cancel.reason() {
                return Err(Stop::Cancelled(reason));
            }
            if !self.server.is_there() {
                self.server.start()?;
                self.reporter.warning(
                    "the server of the archive had ended, and was started again; the guest waited for it"
                        .to_owned(),
                );
            }
            match self.step(disk, &id, done, qemu) {
                Ok(true) => return self.settle(disk, qemu.as_ref()),
                Ok(false) => self.late = 0,
                Err(Problem::Failed(error)) => return Err(error.into()),
                Err(Problem::NoAnswer(NoAnswer::Gone)) => return Err(Stop::GuestEnded),
                Err(Problem::NoAnswer(NoAnswer::Later(error))) => self.tell_late(&error),
                Err(Problem::NoAnswer(NoAnswer::Refused(error))) => {
                    let message = format!("QEMU does not copy {}", disk.device);
                    return Err(Error::caused(ErrorKind::Guest, message, error).into());
                }
            }
            let _ = self.cancel.fired().recv_timeout(LOOK);
        }
    }

    /// A monitor that is silent for a moment is no news: somebody else has it, or QEMU is just ending.
    fn tell_late(&mut self, error: &fleece_qmp_client::Error) {
        self.late = self.late.saturating_add(1);
        if self.late == LATE && self.cancel.reason().is_none() {
            self.reporter.warning(format!(
                "the guest's monitor does not answer now, and is asked again: {error}"
            ));
        }
    }

    /// One look at the job, and what is to be done then; `true` when it is done.
    fn step(
        &mut self,
        disk: &LiveDisk,
        id: &str,
        done: u64,
        qemu: &mut Option<Qemu>,
    ) -> Result<bool, Problem> {
        let qemu = match qemu {
            Some(qemu) => qemu,
            None => qemu.insert(Qemu::connect(self.folder, self.cancel.interrupt().clone())?),
        };
        let Some(job) = qemu.job(id)? else {
            if self.is_complete(disk)? {
                return Ok(true);
            }
            qemu.stream(id, disk, self.speed.now())?;
            return Ok(false);
        };
        match job.status.as_str() {
            "pending" => {
                // Before the image loses its reference to the archive, all that was copied is on stable storage.
                if let Some(said) = qemu.flush(disk)? {
                    return Err(unflushed(disk, &said).into());
                }
                qemu.finalize(id)?;
            }
            "concluded" => {
                qemu.dismiss(id)?;
                return match job.error {
                    Some(said) => Err(failed(disk, &said).into()),
                    None => Ok(true),
                };
            }
            _ => {
                let copied = share(&job, disk.size);
                if self.report(done.saturating_add(copied), false) {
                    self.pace(id, qemu)?;
                }
            }
        }
        Ok(false)
    }

    /// Sets the rate to what the guest's writes allow.
    fn pace(&mut self, id: &str, qemu: &Qemu) -> Result<(), NoAnswer> {
        let now = qemu.writes()?;
        if let Some((count, time)) = self.writes.replace(now) {
            let before = self.speed.now();
            let speed = self
                .speed
                .after(now.0.saturating_sub(count), now.1.saturating_sub(time));
            if speed != before {
                qemu.set_speed(id, speed)?;
            }
        }
        Ok(())
    }

    /// After the last step: the image has no reference any more, and that is on stable storage.
    fn settle(&self, disk: &LiveDisk, qemu: Option<&Qemu>) -> Result<(), Stop> {
        if !self.is_complete(disk)? {
            let message = format!(
                "QEMU has copied {}, but {} still names the archive",
                disk.device, disk.file
            );
            return Err(Error::new(ErrorKind::Guest, message).into());
        }
        // What cannot be asked any more has closed the image, and written all of it before.
        if let Some(Ok(Some(said))) = qemu.map(|qemu| qemu.flush(disk)) {
            return Err(unflushed(disk, &said).into());
        }
        let path = self.folder.join(&disk.file);
        let synced = File::open(&path).and_then(|file| file.sync_all());
        synced.map_err(|error| {
            let message = format!("cannot sync {}", path.display());
            Stop::Failed(Error::caused(ErrorKind::Target, message, error))
        })?;
        self.reporter.info(format!("{} is complete", disk.device));
        Ok(())
    }

    /// Reports how far it is, once a second.
    fn report(&mut self, done: u64, is_due: bool) -> bool {
        let now = Instant::now();
        if !is_due && now.saturating_duration_since(self.reported) < REPORT {
            return false;
        }
        self.reported = now;
        for counter in [
            &self.counters.done,
            &self.counters.read,
            &self.counters.written,
        ] {
            counter.store(done, Ordering::Relaxed);
        }
        let progress = self.meter.read(&self.counters, now);
        self.reporter.report(&Event::Progress(progress));
        true
    }

    /// Lets a guest run that a QEMU holds.
    pub(super) fn let_go(&self) -> Result<(), Error> {
        let let_go = || -> Result<(), NoAnswer> {
            let qemu = Qemu::connect(self.folder, self.cancel.interrupt().clone())?;
            match qemu.is_held()? {
                true => qemu.let_go(),
                false => Ok(()),
            }
        };
        let_go().map_err(|no_answer| {
            let message = "the guest cannot be started by its monitor";
            match no_answer {
                NoAnswer::Gone => Error::new(ErrorKind::Guest, message),
                NoAnswer::Later(error) | NoAnswer::Refused(error) => {
                    Error::caused(ErrorKind::Guest, message, error)
                }
            }
        })
    }

    /// Ends a QEMU that only holds the guest; `false` for one whose guest runs, or has run.
    pub(super) fn quit_held(&self) -> bool {
        // The job may have been cancelled, but this is to be done all the same.
        let quit = || -> Result<bool, NoAnswer> {
            let qemu = Qemu::connect(self.folder, Interrupt::default())?;
            let is_held = qemu.is_held()?;
            if is_held {
                qemu.quit()?;
            }
            Ok(is_held)
        };
        let is_held = quit().unwrap_or(false);
        if is_held {
            let _ = self.await_end_of_guest();
        }
        is_held
    }

    /// Waits until a QEMU that has closed its monitor has closed its images, too.
    pub(super) fn await_end_of_guest(&self) -> Result<(), Error> {
        let end = Instant::now().checked_add(LAST_MOMENTS);
        while is_used(self.folder.path(), self.record) {
            if end.is_none_or(|end| Instant::now() > end) {
                let message = "the guest's monitor is gone, but a program, most likely its QEMU, still has its disks open";
                return Err(Error::new(ErrorKind::Guest, message));
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// The server ends when the record is gone.
    pub(super) fn end_server(&mut self) {
        self.server.end();
    }
}

/// How much of a disk a job has copied; its own unit need not be the byte.
fn share(job: &Job, size: u64) -> u64 {
    let part = u128::from(job.current_progress).saturating_mul(u128::from(size));
    let done = part
        .checked_div(u128::from(job.total_progress))
        .unwrap_or(0);
    u64::try_from(done).unwrap_or(size).min(size)
}

fn unflushed(disk: &LiveDisk, said: &str) -> Error {
    let said = message(said);
    let message = format!("QEMU cannot write {} to stable storage: {said}", disk.file);
    Error::new(ErrorKind::Target, message)
}

/// A job that QEMU ended. Its words are those of the system: the image's file system is full, or the archive cannot be
/// read.
fn failed(disk: &LiveDisk, said: &str) -> Error {
    let is_full = said.contains("No space left");
    let kind = if is_full {
        ErrorKind::Target
    } else {
        ErrorKind::Damage
    };
    let why = match is_full {
        true => "there is no space left for its image",
        false => "the archive cannot be read there, or the image cannot be written",
    };
    let said = message(said);
    let message = format!("QEMU has stopped copying {}: {why} ({said})", disk.device);
    Error::new(kind, message)
}
