//! A domain that shuts down for the instant. libvirt ends QEMU with its guest, so it starts a new one, which stands still
//! until the filters are in.

use std::thread;
use std::time::{Duration, Instant, SystemTime};

use fleece_libvirt::{Domain, DomainAddress, ErrorKind as LibvirtErrorKind, State};
use fleece_qmp_client::Interrupt;

use super::{failed, left};
use crate::advice::Advice;
use crate::error::{Error, ErrorKind};
use crate::journal::record::{Record, ShutDown};
use crate::journal::step::Step;

/// How often libvirt is asked.
const PAUSE: Duration = Duration::from_millis(200);

/// How long a guest that was asked to shut down by somebody who is gone is waited for, so that it can be started again.
const LATE: Duration = Duration::from_secs(60);

/// Shuts the domain down, waits for that for at most `limit`, and starts it again, standing still. Returns when it was
/// off.
///
/// [`undo`] brings it back, whatever this has come to.
///
/// # Errors
/// What libvirt refused, or that the guest does not shut down.
pub fn off_and_on(
    address: &DomainAddress,
    record: &Record,
    limit: Duration,
    interrupt: &Interrupt,
) -> Result<Instant, Error> {
    let domain = Domain::at(address, interrupt);
    record.note_shut_down(Some((now().saturating_add(limit), address)))?;
    Step::StopRecorded.reached();
    let asked = domain.shut_down();
    asked.map_err(failed("cannot ask the domain to shut down"))?;
    Step::PoweringDown.reached();
    if !is_off_within(&domain, limit, interrupt)? {
        // Unless the time is not what ended it: this fails then.
        let state = domain.state();
        state.map_err(failed("cannot ask whether the domain is off"))?;
        let message = format!(
            "the domain has not shut down within {} s; if it does so later, it stays off",
            limit.as_secs()
        );
        return Err(Error::new(ErrorKind::Qemu, message).advise(Advice::WaitLonger));
    }
    let since = Instant::now();
    Step::PoweredDown.reached();
    let started = domain.start(true);
    started.map_err(left("the domain is shut down, and cannot be started again"))?;
    record.note_shut_down(Some((Duration::ZERO, address)))?;
    Ok(since)
}

/// Continues a domain that [`off_and_on`] has left standing still.
pub(crate) fn go_on(
    shut_down: &ShutDown,
    record: &Record,
    interrupt: &Interrupt,
) -> Result<(), Error> {
    let resumed = Domain::at(&shut_down.domain, interrupt).resume();
    resumed.map_err(left(
        "the domain was shut down for the backup and started again, and cannot be continued",
    ))?;
    record.note_shut_down(None)?;
    Step::StartedAgain.reached();
    Ok(())
}

/// The way back from [`off_and_on`], if it is on record: the domain runs afterwards. One that may be about to shut down
/// is waited for: otherwise it would do so afterwards, and stay off. Whether there was something to undo.
///
/// # Errors
/// What libvirt refused; it stays on record.
pub fn undo(record: &Record, interrupt: &Interrupt) -> Result<bool, Error> {
    let Some(ShutDown { until, domain }) = record.contents()?.shut_down else {
        return Ok(false);
    };
    let domain = Domain::at(&domain, interrupt);
    let start = Instant::now();
    let waiting = interrupt.wait();
    let may_come = until.saturating_sub(now()).min(LATE);
    loop {
        let done = match domain.state() {
            Ok(State::Running) if start.elapsed() >= may_come => Ok(true),
            Ok(State::Running) => Ok(false),
            Ok(State::Off) => domain.start(false).map(|()| true),
            Ok(_) => domain.resume().map(|()| true),
            // Somebody has undefined it.
            Err(error) if error.kind() == LibvirtErrorKind::NoDomain => Ok(true),
            Err(error) => Err(error),
        };
        match done {
            Ok(true) => break,
            Ok(false) => {}
            // A libvirt that is being restarted, or a guest that is just shutting down.
            Err(error) if start.elapsed() >= may_come.max(PAUSE.saturating_mul(50)) => {
                return Err(left(
                    "the domain was shut down for a backup, and does not run again",
                )(error));
            }
            Err(_) => {}
        }
        if waiting.is_interrupted() {
            let message =
                "the domain was shut down for a backup; whether it runs again is not known";
            return Err(Error::new(ErrorKind::Qemu, message));
        }
        thread::sleep(PAUSE);
    }
    record.note_shut_down(None)?;
    Ok(true)
}

fn is_off_within(domain: &Domain, limit: Duration, interrupt: &Interrupt) -> Result<bool, Error> {
    let start = Instant::now();
    let waiting = interrupt.wait();
    loop {
        // This fails if it is interrupted.
        let state = domain.state();
        if state.map_err(failed("cannot ask whether the domain is off"))? == State::Off {
            return Ok(true);
        }
        if start.elapsed() >= limit || waiting.is_interrupted() {
            return Ok(false);
        }
        thread::sleep(PAUSE.min(limit.saturating_sub(start.elapsed())));
    }
}

/// Since 1970.
fn now() -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap_or_default()
}
