//! The instant: what the guest does for it, and the switch of the filters.

use std::time::{Duration, Instant};

use fleece_fleecing::{Method, Record, Session, Switched};

use super::job::{GuestBackup, Mode};
use crate::job::cancel::CancelToken;
use crate::job::left_frozen;
use crate::qemu::quiesce::{Frozen, Quiesce, Timeouts};
use crate::report::error::Error;
use crate::report::units;
use crate::report::{Counting, Phase, Reporter as _};

/// How it was fixed.
pub(super) struct Fixed {
    pub(super) switched: Switched,
    /// How long the guest's file systems were frozen.
    pub(super) frozen: Option<Duration>,
    /// How long the guest was down.
    pub(super) down: Option<Duration>,
}

/// Fixes the instant, with the guest in the state that the job's mode wants; `off` since then it is down already.
pub(super) fn fix(
    job: &GuestBackup,
    session: &Session<'_>,
    off: Option<Instant>,
    reporter: &Counting<'_>,
    cancel: &CancelToken,
) -> Result<Fixed, Error> {
    reporter.enter(Phase::PreStop)?;
    let down = match job.mode {
        Mode::Stop if off.is_none() => power_down(job, session, reporter)?,
        _ => off,
    };
    let is_alive = || session.client().closed().is_none();
    let (switched, frozen) = match down {
        // What is down has no agent, and nothing to freeze.
        Some(_) => (session.switch()?, None),
        None => quiesced(job, session.record(), &is_alive, reporter, cancel, || {
            session.switch()
        })?,
    };
    let entered = reporter.enter(Phase::PreRestart);
    // It comes up again, whatever there is to say against it.
    if down.is_some() {
        session.start_again()?;
    }
    entered?;
    reporter.enter(Phase::PostRestart)?;
    let down = down.map(|since| since.elapsed());
    if let Some(reason) = cancel.reason() {
        return Err(Error::cancelled(reason));
    }
    tell(&switched, down, reporter);
    Ok(Fixed {
        switched,
        frozen,
        down,
    })
}

/// Since when the guest is down, if it ran.
fn power_down(
    job: &GuestBackup,
    session: &Session<'_>,
    reporter: &Counting<'_>,
) -> Result<Option<Instant>, Error> {
    let limit = units::duration(job.stop_wait);
    reporter.info(format!(
        "asking the guest to power down, and waiting for at most {limit}"
    ));
    if session.power_down(job.stop_wait)? {
        return Ok(Some(Instant::now()));
    }
    reporter.info("the guest stands still already, and stays so".into());
    Ok(None)
}

/// Has `act` fix the instant with the guest's file systems frozen, if there is an agent; and for how long they were.
pub(super) fn quiesced<T>(
    job: &GuestBackup,
    record: &Record,
    is_alive: &dyn Fn() -> bool,
    reporter: &Counting<'_>,
    cancel: &CancelToken,
    act: impl FnOnce() -> Result<T, fleece_fleecing::Error>,
) -> Result<(T, Option<Duration>), Error> {
    let frozen = job.agent.as_ref().map(|agent| {
        let quiesce = Quiesce {
            agent,
            record,
            reporter,
            cancel,
            is_alive,
            timeouts: Timeouts::default(),
        };
        quiesce.freeze()
    });
    let frozen = frozen.transpose();
    let frozen = frozen.map_err(|error| left_frozen(error, reporter, cancel))?;
    let acted = act();
    let frozen = match frozen.flatten().map(Frozen::thaw).transpose() {
        Ok(frozen) => frozen.flatten(),
        Err(error) => {
            if let Err(error) = acted {
                reporter.warning(error);
            }
            return Err(left_frozen(error, reporter, cancel));
        }
    };
    Ok((acted?, frozen))
}

fn tell(switched: &Switched, down: Option<Duration>, reporter: &Counting<'_>) {
    let pause = match (switched.paused, down) {
        (Some(paused), _) => format!("the guest was paused for {}", units::millis(paused)),
        (None, Some(_)) => "the guest was down".to_owned(),
        (None, None) => "the guest was not stopped".to_owned(),
    };
    reporter.info(format!(
        "copy-before-write is active ({}, {}; {pause})",
        switched.method,
        units::millis(switched.took)
    ));
    if let Some(down) = down {
        reporter.info(format!(
            "the guest boots again after {}",
            units::duration(down)
        ));
    }
    if switched.method == Method::Job {
        reporter.info(
            "until the end of the backup, what the guest discards frees no space: QEMU's jobs swallow it"
                .into(),
        );
    }
}
