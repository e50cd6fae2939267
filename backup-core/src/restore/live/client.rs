//! What is asked of the guest's QEMU, and what it means if there is no answer.

use std::time::Duration;

use fleece_qmp_client::commands::{
    BlockJobSetSpeed, BlockStream, Cont, HumanMonitorCommand, Job, JobDismiss, JobFinalize,
    QueryBlockStats, QueryJobs, QueryStatus, Quit,
};
use fleece_qmp_client::{Address, Client, Command, Error, ErrorKind, Interrupt, Options, Sessions};

use super::folder::Folder;
use crate::restore::behind::LiveDisk;
use crate::restore::start::MONITOR;

/// What a guest's writes and flushes have been so far: how many, and how long all of them took.
pub(super) type Writes = (u64, Duration);

/// QEMU's monitor, which others use, too.
#[derive(Debug)]
pub(super) struct Qemu(Client);

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum NoAnswer {
    /// There is no QEMU any more.
    Gone,
    /// Somebody else has the monitor, or QEMU is busy: ask again.
    Later(Error),
    /// QEMU has refused.
    Refused(Error),
}

impl From<Error> for NoAnswer {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::NoSocket | ErrorKind::Refused => Self::Gone,
            ErrorKind::Closed | ErrorKind::Busy | ErrorKind::Deadline | ErrorKind::Interrupted => {
                Self::Later(error)
            }
            _ => Self::Refused(error),
        }
    }
}

impl Qemu {
    pub(super) fn connect(folder: &Folder, interrupt: Interrupt) -> Result<Self, NoAnswer> {
        let mut options = Options::default();
        options.interrupt = interrupt;
        let address = Address::unix(folder.socket(MONITOR));
        Ok(Self(Client::over(Sessions::open(&address, &options)?)))
    }

    fn ask<C: Command>(&self, command: &C) -> Result<C::Reply, NoAnswer> {
        self.0.execute(command).map_err(NoAnswer::from)
    }

    /// The job with this id.
    pub(super) fn job(&self, id: &str) -> Result<Option<Job>, NoAnswer> {
        let mut jobs = self.ask(&QueryJobs {})?.into_iter();
        Ok(jobs.find(|job| job.id == id))
    }

    /// Begins to copy all that lies below a disk into it. The last step waits for [`finalize`](Self::finalize).
    pub(super) fn stream(&self, id: &str, disk: &LiveDisk, speed: u64) -> Result<(), NoAnswer> {
        self.ask(&BlockStream {
            job_id: id.to_owned(),
            device: disk.node.clone(),
            speed: Some(speed),
            auto_finalize: Some(false),
            auto_dismiss: Some(false),
            ..BlockStream::default()
        })
        .map(drop)
    }

    pub(super) fn set_speed(&self, id: &str, speed: u64) -> Result<(), NoAnswer> {
        let device = id.to_owned();
        self.ask(&BlockJobSetSpeed { device, speed }).map(drop)
    }

    /// Lets the job take what lies below the disk away from it, in the image, too.
    pub(super) fn finalize(&self, id: &str) -> Result<(), NoAnswer> {
        self.ask(&JobFinalize { id: id.to_owned() }).map(drop)
    }

    pub(super) fn dismiss(&self, id: &str) -> Result<(), NoAnswer> {
        self.ask(&JobDismiss { id: id.to_owned() }).map(drop)
    }

    /// Writes all that QEMU has in memory of a disk and its tables to stable storage. (Only the monitor for people can
    /// do that without stopping the guest.) Returns what QEMU says against it.
    pub(super) fn flush(&self, disk: &LiveDisk) -> Result<Option<String>, NoAnswer> {
        let command_line = format!("qemu-io {} flush", disk.node);
        let said = self.ask(&HumanMonitorCommand { command_line })?;
        let said = said.trim();
        Ok((!said.is_empty()).then(|| said.to_owned()))
    }

    pub(super) fn writes(&self) -> Result<Writes, NoAnswer> {
        let stats = self.ask(&QueryBlockStats::default())?;
        let all = stats.iter().map(|device| &device.stats);
        Ok(all.fold((0, Duration::ZERO), |(count, time), stats| {
            let writes = stats.wr_operations.saturating_add(stats.flush_operations);
            let took = stats
                .wr_total_time_ns
                .saturating_add(stats.flush_total_time_ns);
            (
                count.saturating_add(writes),
                time.saturating_add(Duration::from_nanos(took)),
            )
        }))
    }

    /// Whether it stands before its first instruction.
    pub(super) fn is_held(&self) -> Result<bool, NoAnswer> {
        Ok(self.ask(&QueryStatus {})?.status == "prelaunch")
    }

    /// Lets the guest run.
    pub(super) fn let_go(&self) -> Result<(), NoAnswer> {
        self.ask(&Cont {}).map(drop)
    }

    pub(super) fn quit(&self) -> Result<(), NoAnswer> {
        self.ask(&Quit {}).map(drop)
    }
}
