//! A machine that reaches nothing.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

use serde_json::{Value, json};

use super::Machine;
use super::card::Card;
use crate::report::error::{Error, ErrorKind};

/// How a guest is kept from everything but itself.
#[derive(Clone, Debug)]
pub(in super::super::super) struct Isolation {
    /// Ports of the guest, and those of this host's loopback that lead there.
    forwards: Vec<(u16, u16)>,
}

impl Isolation {
    /// With a way in to each of these TCP ports of the guest.
    pub(in super::super::super) fn new(ports: &[u16]) -> Result<Self, Error> {
        let none = |error| {
            let message = "no TCP port of this host is free";
            Error::caused(ErrorKind::Internal, message, error)
        };
        // QEMU takes no port that the system chooses, so one is chosen for it; all at once, so that they differ.
        let free = ports
            .iter()
            .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
        let free = free.collect::<io::Result<Vec<_>>>().map_err(none)?;
        let chosen = free
            .iter()
            .map(|free| Ok(free.local_addr()?.port()))
            .collect::<io::Result<Vec<_>>>()
            .map_err(none)?;
        Ok(Self {
            forwards: ports.iter().copied().zip(chosen).collect(),
        })
    }

    /// The port of this host that leads to one of the guest.
    pub(in super::super::super) fn host_port(&self, port: u16) -> Option<u16> {
        let mut forwards = self.forwards.iter();
        let (_, host) = forwards.find(|(guest, _)| *guest == port)?;
        Some(*host)
    }

    /// QEMU's words for the ways in.
    pub(in super::super) fn rules(&self) -> Vec<Value> {
        let forwards = self.forwards.iter();
        forwards
            .map(|(guest, host)| json!({ "str": format!("tcp:127.0.0.1:{host}-:{guest}") }))
            .collect()
    }
}

impl Machine {
    /// It reaches nothing from now on; it gets a serial port and an agent's, and a network card if it is to be reached.
    pub(in super::super) fn isolate(&mut self, isolation: Isolation) {
        self.agent = true;
        if !self.serial_ports.contains(&0) {
            self.serial_ports.push(0);
        }
        if !isolation.forwards.is_empty() && self.cards.is_empty() {
            self.cards.push(Card::plain());
        }
        self.isolation = Some(isolation);
    }
}
