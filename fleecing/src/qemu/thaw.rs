//! Lifting a freeze of the guest's file systems: until it is confirmed, it stays on record.

use std::thread;
use std::time::{Duration, Instant};

use fleece_qmp_client::{ErrorKind as QmpErrorKind, FreezeStatus, Interrupt, Options};

use crate::address::GuestAddress;
use crate::advice::Advice;
use crate::agent::GuestAgent;
use crate::error::{Error, ErrorKind};
use crate::journal::record::Record;

/// How a freeze ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Thawed {
    /// The agent says that nothing is frozen. The number of file systems that it has thawed for us is known
    /// if it told.
    Confirmed(Option<u64>),
    /// The guest is gone.
    Gone,
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// How long an agent that is there may take to answer a question.
const ANSWER: Duration = Duration::from_secs(3);

/// How long to wait for one thaw before the connection is made anew.
const ATTEMPT: Duration = Duration::from_secs(10);

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(100);

/// Thaws the guest through `agent`, first by the `connection` to it that there may be, and takes the freeze
/// off the record when that is confirmed.
///
/// It is tried for as long as `timeout` says. `interrupt` ends the trying, but for one more attempt. If nobody
/// listens where the agent should be, `is_alive` tells whether the guest's QEMU runs.
///
/// # Errors
/// [`ErrorKind::Frozen`] with the remedy; the freeze stays on record then.
pub fn thaw(
    record: &Record,
    agent: &GuestAddress,
    mut connection: Option<GuestAgent>,
    is_alive: &dyn Fn() -> bool,
    mut timeout: Duration,
    interrupt: &Interrupt,
) -> Result<Thawed, Error> {
    let mut start = Instant::now();
    let mut is_last = false;
    loop {
        // A signal has ended the waits that it found; this is the way back.
        if interrupt.is_fired() {
            interrupt.hear();
            is_last = true;
            (start, timeout) = (Instant::now(), ANSWER);
        }
        let left = timeout.saturating_sub(start.elapsed());
        match attempt(agent, connection.take(), is_alive, left, interrupt) {
            Ok(thawed) => {
                record.note_frozen(None)?;
                return Ok(thawed);
            }
            Err(error) => {
                let is_over = match interrupt.is_fired() {
                    true => is_last,
                    false => start.elapsed() >= timeout,
                };
                if is_over {
                    let message = "the guest's file systems may still be frozen";
                    return Err(Error::caused(ErrorKind::Frozen, message, error)
                        .advise(Advice::Thaw(record.clean_up())));
                }
            }
        }
        thread::sleep(PAUSE);
    }
}

fn attempt(
    address: &GuestAddress,
    connection: Option<GuestAgent>,
    is_alive: &dyn Fn() -> bool,
    left: Duration,
    interrupt: &Interrupt,
) -> Result<Thawed, Failed> {
    let mut options = Options::default();
    options.deadline = left.clamp(PAUSE, ANSWER);
    options.interrupt = interrupt.clone();
    let mut agent = match connection {
        Some(agent) => agent,
        None => match GuestAgent::connect(address, &options) {
            Ok(agent) => agent,
            Err(error) if error.is_gone() && !is_alive() => return Ok(Thawed::Gone),
            Err(error) => return Err(error.into()),
        },
    };
    let count = match agent.fsfreeze_thaw(left.clamp(PAUSE, ATTEMPT)) {
        Ok(count) => Some(count),
        // It has answered; how things are is asked next.
        Err(error) if matches!(error.kind(), QmpErrorKind::Command(_)) => None,
        Err(error) => return Err(error.into()),
    };
    match agent.fsfreeze_status(ANSWER) {
        Ok(FreezeStatus::Thawed) => Ok(Thawed::Confirmed(count)),
        Ok(_) => Err("the agent says that they are still frozen".into()),
        // An agent that cannot freeze has not frozen anything.
        Err(error) if error.is_command_not_found() => Ok(Thawed::Confirmed(count)),
        Err(error) => Err(error.into()),
    }
}
