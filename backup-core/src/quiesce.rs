//! File systems frozen by the guest's agent while the point in time is fixed.
//!
//! A freeze that is not lifted hangs the guest, so it is on record before it is asked for, and lifted
//! by a guard on every way out; after a SIGKILL by the clean-up.

use std::time::{Duration, Instant};

use fleece_fleecing::{Record, Step};
use fleece_qmp_client::{Address, Agent, FreezeStatus, Options};

use crate::Error;
use crate::report::{Event, Reporter};

/// An agent that does not answer a ping in this time is not there.
const PING: Duration = Duration::from_secs(3);

/// Writing out all dirty data of the guest can take this long.
const FREEZE: Duration = Duration::from_secs(120);

/// How long to go on trying to thaw.
const THAW: Duration = Duration::from_secs(30);

/// Frozen file systems; thawed on drop.
pub(crate) struct Frozen<'a> {
    agent: Agent,
    address: Address,
    record: &'a Record,
    reporter: &'a dyn Reporter,
    since: Instant,
    lifted: bool,
}

impl<'a> Frozen<'a> {
    /// Freezes, if an agent answers. A guest without one is backed up as after a power failure, which
    /// is told but is no error.
    pub(crate) fn freeze(
        address: &Address,
        record: &'a Record,
        reporter: &'a dyn Reporter,
    ) -> Option<Self> {
        let skip = |why: String| {
            reporter.report(&Event::Warning(format!(
                "skipping guest filesystem freeze - {why}"
            )));
            None
        };
        let mut agent = match Agent::connect(address, &Options::default()) {
            Ok(agent) => agent,
            Err(error) => return skip(format!("no agent at {address}: {error}")),
        };
        if let Err(error) = agent.ping(PING) {
            return skip(format!("agent configured but not running? ({error})"));
        }
        match agent.fsfreeze_status(PING) {
            Ok(FreezeStatus::Thawed) => {}
            // Whoever froze it will thaw it; if we did, they would be thawed under them.
            Ok(_) => return skip("already frozen by somebody else".into()),
            Err(error) => return skip(format!("the agent cannot freeze: {error}")),
        }
        if let Err(error) = record.note_frozen(Some(address)) {
            return skip(error.to_string());
        }
        reporter.report(&Event::Info(
            "issuing guest-agent 'fs-freeze' command".into(),
        ));
        let frozen = agent.fsfreeze_freeze(FREEZE);
        // From here on the guard thaws, also when the freeze failed or came too late.
        let guard = Self {
            agent,
            address: address.clone(),
            record,
            reporter,
            since: Instant::now(),
            lifted: false,
        };
        match frozen {
            Ok(_) => {
                Step::Frozen.reached();
                Some(guard)
            }
            Err(error) => skip(format!("freeze failed: {error}")),
        }
    }
}

impl Frozen<'_> {
    /// Thaws, and tells for how long the guest was frozen; `None` if it could not be thawed.
    pub(crate) fn thaw(mut self) -> Option<Duration> {
        self.lift()
    }

    fn lift(&mut self) -> Option<Duration> {
        self.lifted = true;
        self.reporter
            .report(&Event::Info("issuing guest-agent 'fs-thaw' command".into()));
        let start = Instant::now();
        loop {
            match self.agent.fsfreeze_thaw(THAW) {
                Ok(_) => break,
                Err(error) if start.elapsed() >= THAW => {
                    self.reporter.report(&Event::Warning(format!(
                        "the guest's file systems could not be thawed: {error}; run `fleece \
                         cleanup`, or thaw them in the guest with `fsfreeze -u`"
                    )));
                    return None;
                }
                Err(_) => {
                    std::thread::sleep(Duration::from_millis(200));
                    // The connection itself may be what broke.
                    if let Ok(agent) = Agent::connect(&self.address, &Options::default()) {
                        self.agent = agent;
                    }
                }
            }
        }
        Step::Thawed.reached();
        let frozen = self.since.elapsed();
        self.reporter.report(&Event::Info(format!(
            "guest filesystems were frozen for {:.1} ms",
            frozen.as_secs_f64() * 1000.0
        )));
        if let Err(error) = self.record.note_frozen(None) {
            self.reporter
                .report(&Event::Warning(Error::from(error).chain()));
        }
        Some(frozen)
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        if !self.lifted {
            self.lift();
        }
    }
}
