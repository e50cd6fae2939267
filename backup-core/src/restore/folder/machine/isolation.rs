//! A machine that reaches nothing.

use std::net::{Ipv4Addr, TcpListener};

use super::Machine;
use super::card::Card;
use crate::report::error::{Error, ErrorKind};

/// How a guest is kept from everything but itself.
#[derive(Clone, Copy, Debug)]
pub(in super::super::super) struct Isolation {
    /// A port of the guest, and the one of this host's loopback that leads there.
    forward: Option<(u16, u16)>,
}

impl Isolation {
    /// With one way in, to a TCP port of the guest.
    pub(in super::super::super) fn new(port: Option<u16>) -> Result<Self, Error> {
        let Some(port) = port else {
            return Ok(Self { forward: None });
        };
        // QEMU takes no port that the system chooses, so one is chosen for it.
        let chosen = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|free| free.local_addr());
        let chosen = chosen.map_err(|error| {
            Error::caused(
                ErrorKind::Internal,
                "no TCP port of this host is free",
                error,
            )
        })?;
        Ok(Self {
            forward: Some((port, chosen.port())),
        })
    }

    /// The port of this host that leads to the guest's.
    pub(in super::super::super) const fn host_port(self) -> Option<u16> {
        match self.forward {
            Some((_, host)) => Some(host),
            None => None,
        }
    }

    /// QEMU's words for the way in.
    pub(in super::super) fn rule(self) -> Option<String> {
        let (guest, host) = self.forward?;
        Some(format!("tcp:127.0.0.1:{host}-:{guest}"))
    }
}

impl Machine {
    /// It reaches nothing from now on; it gets a serial port and an agent's, and a network card if it is to be reached.
    pub(in super::super) fn isolate(&mut self, isolation: Isolation) {
        self.isolation = Some(isolation);
        self.agent = true;
        if !self.serial_ports.contains(&0) {
            self.serial_ports.push(0);
        }
        if isolation.forward.is_some() && self.cards.is_empty() {
            self.cards.push(Card::plain());
        }
    }
}
