//! A domain shut down and started.

use std::time::Duration;

use super::{ANSWERS, Domain, LOCK};
use crate::error::Error;

/// How long a start may take: devices, networks, a TPM.
const START: Duration = Duration::from_secs(120);

impl Domain {
    /// Asks the guest to shut down, as its XML says that it is asked; returns at once.
    ///
    /// # Errors
    /// As [`state`](Self::state).
    pub fn shut_down(&self) -> Result<(), Error> {
        self.run("shutdown", &[], LOCK).map(drop)
    }

    /// Starts a domain that is off; with `paused` it stands still before its first instruction.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`](crate::ErrorKind::Refused) with libvirt's words, and as [`state`](Self::state).
    pub fn start(&self, paused: bool) -> Result<(), Error> {
        let options: &[&str] = if paused { &["--paused"] } else { &[] };
        self.run("start", options, START).map(drop)
    }

    /// Continues a domain that stands still.
    ///
    /// # Errors
    /// As [`state`](Self::state).
    pub fn resume(&self) -> Result<(), Error> {
        self.run("resume", &[], LOCK).map(drop)
    }

    /// Whether libvirt knows the domain when it is off. A transient one is forgotten then.
    ///
    /// # Errors
    /// As [`state`](Self::state).
    pub fn is_persistent(&self) -> Result<bool, Error> {
        let info = self.run("dominfo", &[], ANSWERS)?;
        let mut lines = info.lines().filter_map(|line| line.split_once(':'));
        let persistent = lines.find(|(key, _)| key.trim() == "Persistent");
        Ok(persistent.is_some_and(|(_, value)| value.trim() == "yes"))
    }
}
