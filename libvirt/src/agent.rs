//! A domain's guest agent, whose socket libvirt owns.

use std::time::Duration;

use fleece_qmp_client::{
    Error as QmpError, ErrorKind as QmpErrorKind, FileSystem, FreezeStatus, Options, parse_reply,
};

use crate::address::DomainAddress;
use crate::domain::{Domain, State};
use crate::error::{Error, ErrorKind};

/// A domain's agent. It is asked by `virsh qemu-agent-command`; file systems are frozen and thawed by
/// `domfsfreeze` and `domfsthaw`, as libvirt wants it.
#[derive(Debug)]
pub struct DomainAgent {
    domain: Domain,
    peer: String,
}

impl DomainAgent {
    /// The agent of a domain that runs. Whether there is one shows with the first command.
    ///
    /// # Errors
    /// [`QmpErrorKind::NotRunning`] if the domain is off or gone, and what else keeps libvirt from answering.
    pub fn connect(domain: &DomainAddress, options: &Options) -> Result<Self, QmpError> {
        let agent = Self {
            domain: Domain::at(domain, &options.interrupt),
            peer: domain.to_string(),
        };
        let state = agent.domain.state();
        match state.map_err(|error| agent.failed(error, "domstate"))? {
            State::Off => {
                let error = QmpError::new(QmpErrorKind::NotRunning);
                Err(error.at(&agent.peer).during("domstate"))
            }
            State::Running | State::Paused => Ok(agent),
        }
    }

    /// Whether the agent answers.
    ///
    /// # Errors
    /// `Command` if it refuses, `Deadline` if it does not answer in time, `NotRunning`, `Closed`.
    pub fn ping(&self, deadline: Duration) -> Result<(), QmpError> {
        self.ask("guest-ping", deadline).map(drop)
    }

    /// Whether file systems are frozen.
    ///
    /// # Errors
    /// As [`ping`](Self::ping).
    pub fn fsfreeze_status(&self, deadline: Duration) -> Result<FreezeStatus, QmpError> {
        self.decode("guest-fsfreeze-status", deadline)
    }

    /// The file systems that are mounted.
    ///
    /// # Errors
    /// As [`ping`](Self::ping).
    pub fn file_systems(&self, deadline: Duration) -> Result<Vec<FileSystem>, QmpError> {
        self.decode("guest-get-fsinfo", deadline)
    }

    /// Flushes and freezes the file systems; returns how many. After any error they may be frozen.
    ///
    /// # Errors
    /// As [`ping`](Self::ping).
    pub fn fsfreeze_freeze(&self, deadline: Duration) -> Result<u64, QmpError> {
        let frozen = self.domain.freeze(deadline);
        frozen.map_err(|error| self.failed(error, "domfsfreeze"))
    }

    /// Thaws the file systems; returns how many.
    ///
    /// # Errors
    /// As [`ping`](Self::ping).
    pub fn fsfreeze_thaw(&self, deadline: Duration) -> Result<u64, QmpError> {
        let thawed = self.domain.thaw(deadline);
        thawed.map_err(|error| self.failed(error, "domfsthaw"))
    }

    fn decode<R: serde::de::DeserializeOwned>(
        &self,
        command: &str,
        deadline: Duration,
    ) -> Result<R, QmpError> {
        let reply = self.ask(command, deadline)?;
        let reply = parse_reply(reply.trim().as_bytes());
        let reply = reply.and_then(|reply| {
            serde_json::from_str(reply.get())
                .map_err(|error| QmpError::new(QmpErrorKind::UnexpectedReply).with_source(error))
        });
        reply.map_err(|error| error.at(&self.peer).during(command))
    }

    fn ask(&self, command: &str, deadline: Duration) -> Result<String, QmpError> {
        let answer = self.domain.ask_agent(command, deadline);
        answer.map_err(|error| self.failed(error, command))
    }

    fn failed(&self, error: Error, command: &str) -> QmpError {
        let message = error.to_string();
        let has = |text: &str| message.contains(text);
        // What the agent itself refuses, libvirt tells in these words, with the agent's behind.
        let error =
            if error.kind() == ErrorKind::Refused && has("unable to execute QEMU agent command") {
                let class = match has("has not been found") || has("has been disabled") {
                    true => "CommandNotFound",
                    false => "GenericError",
                };
                QmpError::refused(class, message)
            } else if error.has_no_agent()
                || has("agent not available")
                || has("agent is not responding")
            {
                QmpError::new(QmpErrorKind::Deadline).with_detail(message)
            } else {
                error.into_qmp()
            };
        error.at(&self.peer).during(command)
    }
}
