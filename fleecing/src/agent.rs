//! A guest's agent, however it is reached.

use std::time::Duration;

use fleece_libvirt::DomainAgent;
use fleece_qmp_client::{Agent, Error as QmpError, FileSystem, FreezeStatus, Options};

use crate::address::GuestAddress;

/// A connection to a guest's agent: its socket, or libvirt, which owns that.
#[derive(Debug)]
#[non_exhaustive]
pub enum GuestAgent {
    /// The socket.
    Socket(Agent),
    /// By way of libvirt.
    Domain(DomainAgent),
}

impl GuestAgent {
    /// Connects. Whether an agent runs in the guest shows with the first command.
    ///
    /// # Errors
    /// As [`Agent::connect`] and [`DomainAgent::connect`].
    pub fn connect(address: &GuestAddress, options: &Options) -> Result<Self, QmpError> {
        match address {
            GuestAddress::Socket(address) => Agent::connect(address, options).map(Self::Socket),
            GuestAddress::Domain(domain) => DomainAgent::connect(domain, options).map(Self::Domain),
        }
    }

    /// Whether the agent answers.
    ///
    /// # Errors
    /// As [`Agent::execute`].
    pub fn ping(&mut self, deadline: Duration) -> Result<(), QmpError> {
        match self {
            Self::Socket(agent) => agent.ping(deadline),
            Self::Domain(agent) => agent.ping(deadline),
        }
    }

    /// Whether file systems are frozen.
    ///
    /// # Errors
    /// As [`Agent::execute`].
    pub fn fsfreeze_status(&mut self, deadline: Duration) -> Result<FreezeStatus, QmpError> {
        match self {
            Self::Socket(agent) => agent.fsfreeze_status(deadline),
            Self::Domain(agent) => agent.fsfreeze_status(deadline),
        }
    }

    /// The file systems that are mounted.
    ///
    /// # Errors
    /// As [`Agent::execute`].
    pub fn file_systems(&mut self, deadline: Duration) -> Result<Vec<FileSystem>, QmpError> {
        match self {
            Self::Socket(agent) => agent.file_systems(deadline),
            Self::Domain(agent) => agent.file_systems(deadline),
        }
    }

    /// Flushes and freezes the file systems; returns how many. After any error they may be frozen.
    ///
    /// # Errors
    /// As [`Agent::execute`].
    pub fn fsfreeze_freeze(&mut self, deadline: Duration) -> Result<u64, QmpError> {
        match self {
            Self::Socket(agent) => agent.fsfreeze_freeze(deadline),
            Self::Domain(agent) => agent.fsfreeze_freeze(deadline),
        }
    }

    /// Thaws the file systems; returns how many.
    ///
    /// # Errors
    /// As [`Agent::execute`].
    pub fn fsfreeze_thaw(&mut self, deadline: Duration) -> Result<u64, QmpError> {
        match self {
            Self::Socket(agent) => agent.fsfreeze_thaw(deadline),
            Self::Domain(agent) => agent.fsfreeze_thaw(deadline),
        }
    }
}
