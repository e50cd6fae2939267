//! File systems frozen by the guest's agent while the point in time is fixed.
//!
//! A freeze that is not lifted hangs the guest, so it is on record before it is asked for, lifted by a guard
//! on every way out, and stays on record until the agent says that it is lifted. An agent may do so late, or
//! never: it is asked again, and who is left frozen is told, with the way out.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use fleece_fleecing::{
    ErrorKind as FleecingErrorKind, GuestAddress, GuestAgent, Record, Step, Thawed,
};
use fleece_qmp_client::{FreezeStatus, Options};

use crate::job::cancel::CancelToken;
use crate::report::error::Error;
use crate::report::{Event, Reporter};

/// How long an agent may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// One that does not answer a question in this time is not there.
    pub(crate) answer: Duration,
    /// Writing out all dirty data of the guest can take this long.
    pub(crate) freeze: Duration,
    /// How long to go on trying to thaw.
    pub(crate) thaw: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(3),
            freeze: Duration::from_secs(120),
            thaw: Duration::from_secs(20),
        }
    }
}

/// A guest's agent, and who hears of what it does.
#[derive(Clone, Copy)]
pub(crate) struct Quiesce<'a> {
    pub(crate) agent: &'a GuestAddress,
    pub(crate) record: &'a Record,
    pub(crate) reporter: &'a dyn Reporter,
    pub(crate) cancel: &'a CancelToken,
    /// Whether the guest's QEMU runs.
    pub(crate) is_alive: &'a dyn Fn() -> bool,
    pub(crate) timeouts: Timeouts,
}

/// Frozen file systems; thawed on drop.
pub(crate) struct Frozen<'a> {
    quiesce: Quiesce<'a>,
    agent: Option<GuestAgent>,
    count: u64,
    since: Instant,
    lifted: bool,
}

impl<'a> Quiesce<'a> {
    /// Freezes, if an agent answers. A guest without one is backed up as after a power failure, which
    /// is told but is no error.
    ///
    /// # Errors
    /// If the guest may be left frozen, or the job was cancelled.
    pub(crate) fn freeze(self) -> Result<Option<Frozen<'a>>, Error> {
        let mut agent = match self.find() {
            Ok(agent) => agent,
            Err(why) => return self.skip(&why),
        };
        let expected = self.freezable(&mut agent);
        if let Err(error) = self.record.note_frozen(Some(self.agent)) {
            return self.skip(&Error::from(error).chain());
        }
        self.info("issuing guest-agent 'fs-freeze' command");
        match agent.fsfreeze_freeze(self.timeouts.freeze) {
            Ok(count) => {
                Step::Frozen.reached();
                let frozen = Frozen {
                    quiesce: self,
                    agent: Some(agent),
                    count,
                    since: Instant::now(),
                    lifted: false,
                };
                let expected = expected.unwrap_or(count).max(1);
                if count < expected {
                    self.warn(&format!(
                        "the guest's agent has frozen {count} of {expected} file systems; the others are as \
                         after a power failure"
                    ));
                }
                Ok(Some(frozen))
            }
            Err(error) => {
                // It may have frozen all the same, or do so later.
                self.lift(Some(agent))?;
                self.skip(&format!("freeze failed: {error}"))
            }
        }
    }

    /// An agent that could freeze.
    fn find(&self) -> Result<GuestAgent, String> {
        let mut options = Options::default();
        options.deadline = self.timeouts.answer;
        options.interrupt = self.cancel.interrupt().clone();
        let mut agent = GuestAgent::connect(self.agent, &options)
            .map_err(|error| format!("no agent at {}: {error}", self.agent))?;
        agent
            .ping(self.timeouts.answer)
            .map_err(|error| format!("agent configured but not running? ({error})"))?;
        match agent.fsfreeze_status(self.timeouts.answer) {
            Ok(FreezeStatus::Thawed) => Ok(agent),
            // Whoever froze it will thaw it; if we did, they would be thawed under them.
            Ok(_) => Err("already frozen by somebody else".into()),
            Err(error) => Err(format!("the agent cannot freeze: {error}")),
        }
    }

    /// How many file systems there are that a Linux guest can freeze; `None` if the agent does not tell.
    fn freezable(&self, agent: &mut GuestAgent) -> Option<u64> {
        const KINDS: [&str; 6] = ["ext3", "ext4", "xfs", "btrfs", "f2fs", "bcachefs"];
        let mounted = agent.file_systems(self.timeouts.answer).ok()?;
        let names = mounted
            .into_iter()
            .filter(|mounted| KINDS.contains(&mounted.kind.as_str()))
            .map(|mounted| mounted.name);
        // One that is mounted twice is frozen once.
        u64::try_from(names.collect::<HashSet<_>>().len()).ok()
    }

    /// Thaws.
    fn lift(&self, connection: Option<GuestAgent>) -> Result<Thawed, Error> {
        self.info("issuing guest-agent 'fs-thaw' command");
        let thawed = fleece_fleecing::thaw(
            self.record,
            self.agent,
            connection,
            self.is_alive,
            self.timeouts.thaw,
            self.cancel.interrupt(),
        );
        match thawed {
            Ok(thawed) => {
                Step::Thawed.reached();
                Ok(thawed)
            }
            Err(error) if error.kind() == FleecingErrorKind::Frozen => Err(error.into()),
            // Thawed, and still on record: the next clean-up asks once more.
            Err(error) => {
                self.reporter.report(&Event::Warning(error.into()));
                Ok(Thawed::Confirmed(None))
            }
        }
    }

    fn skip<T>(&self, why: &str) -> Result<Option<T>, Error> {
        if let Some(reason) = self.cancel.reason() {
            return Err(Error::cancelled(reason));
        }
        self.warn(&format!("skipping guest filesystem freeze - {why}"));
        Ok(None)
    }

    fn info(&self, message: &str) {
        self.reporter.report(&Event::Info(message.into()));
    }

    fn warn(&self, message: &str) {
        self.reporter
            .report(&Event::Warning(message.to_owned().into()));
    }
}

impl Frozen<'_> {
    /// Thaws, and tells for how long the guest was frozen; `None` if it was not, all of that time.
    ///
    /// # Errors
    /// If it may still be frozen.
    pub(crate) fn thaw(mut self) -> Result<Option<Duration>, Error> {
        self.lifted = true;
        let thawed = self.quiesce.lift(self.agent.take())?;
        match thawed {
            _ if self.count == 0 => Ok(None),
            Thawed::Confirmed(Some(0)) => {
                self.quiesce.warn(
                    "somebody else has thawed the guest's file systems, perhaps before the instant of the \
                     backup: they are as after a power failure",
                );
                Ok(None)
            }
            Thawed::Confirmed(_) => {
                let frozen = self.since.elapsed();
                let millis = frozen.as_secs_f64() * 1000.0;
                let message = format!("guest filesystems were frozen for {millis:.1} ms");
                self.quiesce.info(&message);
                Ok(Some(frozen))
            }
            _ => Ok(None),
        }
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        if !self.lifted
            && let Err(error) = self.quiesce.lift(self.agent.take())
        {
            let warning = Event::Warning(error.into());
            self.quiesce.reporter.report(&warning);
        }
    }
}

#[cfg(test)]
mod tests;
