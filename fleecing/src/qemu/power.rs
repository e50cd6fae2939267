//! A guest that powers down for the instant, and boots again in the same QEMU.
//!
//! By default QEMU ends with its guest. Told to pause instead, it stays, with the disks as the guest's own shutdown
//! has left them, and boots the guest again when it is reset.

use std::thread;
use std::time::{Duration, Instant, SystemTime};

use fleece_qmp_client::Client;
use fleece_qmp_client::commands::{
    Cont, QueryStatus, RebootAction, SetAction, ShutdownAction, SystemPowerdown, SystemReset,
};

use crate::advice::Advice;
use crate::command_line;
use crate::error::{Error, ErrorKind};
use crate::journal::record::Record;
use crate::journal::step::Step;

/// What a guest's QEMU does when it powers down, and when it is reset: nothing that QEMU could be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Actions {
    shutdown: ShutdownAction,
    reboot: RebootAction,
}

impl Actions {
    /// What keeps QEMU when the guest powers down, and boots the guest when QEMU is told to reset.
    const HOLD: Self = Self {
        shutdown: ShutdownAction::Pause,
        reboot: RebootAction::Reset,
    };

    /// What QEMU was told when it was started.
    fn of(arguments: &[String]) -> Self {
        let has = |option: &str| {
            let mut names = arguments.iter().filter(|name| name.starts_with('-'));
            names.any(|name| name.trim_start_matches('-') == option)
        };
        let mut actions = Self::default();
        if has("no-shutdown") {
            actions.shutdown = ShutdownAction::Pause;
        }
        if has("no-reboot") {
            actions.reboot = RebootAction::Shutdown;
        }
        command_line::values(arguments, "action").fold(actions, Self::with)
    }

    /// With what `shutdown=pause,reboot=reset` says; the rest is of no interest here.
    fn with(mut self, options: &str) -> Self {
        match command_line::key(options, "shutdown") {
            Some("pause") => self.shutdown = ShutdownAction::Pause,
            Some("poweroff") => self.shutdown = ShutdownAction::Poweroff,
            _ => {}
        }
        match command_line::key(options, "reboot") {
            Some("shutdown") => self.reboot = RebootAction::Shutdown,
            Some("reset") => self.reboot = RebootAction::Reset,
            _ => {}
        }
        self
    }

    /// As a record has it.
    fn text(self) -> String {
        let shutdown = match self.shutdown {
            ShutdownAction::Pause => "pause",
            ShutdownAction::Poweroff => "poweroff",
        };
        let reboot = match self.reboot {
            RebootAction::Shutdown => "shutdown",
            RebootAction::Reset => "reset",
        };
        format!("shutdown={shutdown},reboot={reboot}")
    }

    fn set(self, client: &Client) -> Result<(), Error> {
        let action = SetAction {
            shutdown: Some(self.shutdown),
            reboot: Some(self.reboot),
        };
        let set = client.execute(&action).map(drop);
        set.map_err(Error::qemu(
            "cannot tell QEMU what to do when the guest powers down",
        ))
    }
}

/// How often QEMU is asked.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a guest that was asked to power down by somebody who is gone is waited for, so that it can be started
/// again.
const LATE: Duration = Duration::from_secs(60);

/// How long a reset may take to begin.
const RESET: Duration = Duration::from_secs(10);

/// Asks the guest to power down, and waits until it has, for at most `limit`. Its QEMU stays. Whether it did: one that
/// stands still stays as it is.
///
/// [`start_again`], or [`undo`] if that is not reached, brings it back.
pub(crate) fn down(client: &Client, record: &Record, limit: Duration) -> Result<bool, Error> {
    if !is(client, "running")? {
        return Ok(false);
    }
    let actions = Actions::of(&command_line::of(client));
    record.note_actions(Some(&actions.text()))?;
    Actions::HOLD.set(client)?;
    record.note_power_down(Some(now().saturating_add(limit)))?;
    client
        .execute(&SystemPowerdown {})
        .map_err(Error::qemu("cannot ask the guest to power down"))?;
    Step::PoweringDown.reached();
    if !until(client, limit, |status| status == "shutdown")? {
        // Unless the time is not what ended it: this fails then.
        status(client)?;
        let message = format!(
            "the guest has not powered down within {} s",
            limit.as_secs()
        );
        return Err(Error::new(ErrorKind::Qemu, message).advise(Advice::WaitLonger));
    }
    Step::PoweredDown.reached();
    Ok(true)
}

/// Boots a guest that has powered down, and lets its QEMU do again what it did.
pub(crate) fn start_again(client: &Client, record: &Record) -> Result<(), Error> {
    if is(client, "shutdown")? {
        client
            .execute(&SystemReset {})
            .map_err(Error::qemu("cannot reset the guest"))?;
        until(client, RESET, |status| status != "shutdown")?;
    }
    // Somebody else may have started it.
    if !is(client, "running")? {
        client.execute(&Cont {}).map_err(Error::qemu(
            "the guest was stopped for the backup and cannot be started again; do it with `system_reset` and `cont`",
        ))?;
    }
    let before = record.contents()?.actions.unwrap_or_default();
    Actions::default().with(&before).set(client)?;
    record.note_power_down(None)?;
    record.note_actions(None)?;
    Step::StartedAgain.reached();
    Ok(())
}

/// The way back from [`down`], whatever it has come to. A guest that may be about to power down is waited for:
/// otherwise it would do so afterwards, and stay off.
pub(crate) fn undo(client: &Client, record: &Record) -> Result<(), Error> {
    let contents = record.contents()?;
    if contents.actions.is_none() {
        return Ok(());
    }
    let left = contents.power_down.unwrap_or_default();
    let left = left.saturating_sub(now()).min(LATE);
    until(client, left, |status| status == "shutdown")?;
    start_again(client, record)
}

/// Waits until the guest's state is one that `wanted` accepts; whether it came to that in time, and uninterrupted.
fn until(client: &Client, limit: Duration, wanted: impl Fn(&str) -> bool) -> Result<bool, Error> {
    let start = Instant::now();
    let waiting = client.interrupt().wait();
    loop {
        // This fails if it is interrupted.
        if wanted(&status(client)?) {
            return Ok(true);
        }
        if start.elapsed() >= limit || waiting.is_interrupted() {
            return Ok(false);
        }
        thread::sleep(PAUSE.min(limit.saturating_sub(start.elapsed())));
    }
}

fn is(client: &Client, wanted: &str) -> Result<bool, Error> {
    Ok(status(client)? == wanted)
}

fn status(client: &Client) -> Result<String, Error> {
    let status = client.execute(&QueryStatus {});
    let status = status.map_err(Error::qemu("cannot query whether the guest is running"))?;
    Ok(status.status)
}

/// Since 1970.
fn now() -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_qemu_was_told_is_what_it_is_told_again() {
        for (line, expected) in [
            ("qemu -m 64", "shutdown=poweroff,reboot=reset"),
            ("qemu -no-shutdown", "shutdown=pause,reboot=reset"),
            (
                "qemu --no-reboot -m 64",
                "shutdown=poweroff,reboot=shutdown",
            ),
            (
                "qemu -no-shutdown -action panic=none,shutdown=poweroff",
                "shutdown=poweroff,reboot=reset",
            ),
            (
                "qemu -action reboot=shutdown",
                "shutdown=poweroff,reboot=shutdown",
            ),
        ] {
            let line: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let actions = Actions::of(&line);
            assert_eq!(actions.text(), expected, "{line:?}");
            assert_eq!(Actions::default().with(&actions.text()), actions);
        }
        // A record may say anything.
        assert_eq!(
            Actions::default().with("shutdown=format,reboot"),
            Actions::default()
        );
    }
}
