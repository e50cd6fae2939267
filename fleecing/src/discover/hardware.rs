//! The machine that QEMU emulates, as far as another one can be made like it from an archive.
//!
//! A guest of Proxmox has a configuration that says all of this. Of any other guest only QEMU knows, so it is asked,
//! and what it says is written in the same form, which every restore of a VMA archive reads.

mod config;
mod record;

use std::collections::BTreeSet;

use fleece_qmp_client::commands::{
    QueryCpusFast, QueryMemorySizeSummary, QueryName, QueryTarget, QueryUuid,
};
use fleece_qmp_client::{Client, Command};
use serde_json::Value;

use crate::command_line;
use crate::discover::qom;
use crate::error::Error;

/// A machine. What QEMU does not tell is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hardware {
    /// The guest's name, `-name`.
    pub name: Option<String>,
    /// Its uuid in the form of RFC 9562, unless it has none.
    pub uuid: Option<String>,
    /// The processors' kind, such as `x86_64`.
    pub arch: String,
    /// Memory in bytes.
    pub memory: u64,
    /// Sockets that have processors.
    pub sockets: usize,
    /// Processors, all sockets together.
    pub processors: usize,
    /// Processors of one core.
    pub threads: usize,
    /// The processors' model, such as `Haswell`.
    pub cpu: Option<String>,
    /// The machine's type and version, such as `pc-q35-10.0`.
    pub machine: String,
    /// Whether it starts from UEFI firmware.
    pub uefi: bool,
    /// The file of other firmware than QEMU's own.
    pub firmware: Option<String>,
    /// The file of a kernel that QEMU starts itself.
    pub kernel: Option<String>,
    /// The QOM type of the graphics card, if there is one.
    pub screen: Option<String>,
    /// Network cards.
    pub cards: Vec<Card>,
    /// The QOM type of the first SCSI controller.
    pub scsi: Option<String>,
    /// Whether there is a port for the guest agent.
    pub agent: bool,
    /// Serial ports on the ISA bus.
    pub serial_ports: usize,
    /// Whether there is a USB tablet.
    pub tablet: bool,
    /// Whether the clock shows local time, where that can be known.
    pub local_time: bool,
    /// QOM types of devices that are none of the above, and that no configuration tells of.
    pub others: BTreeSet<String>,
    /// The place of each device in the order of starting, by QOM path; lowest first.
    pub(crate) boot: Vec<(i64, String)>,
    /// As far as it can be read.
    pub(crate) command_line: Vec<String>,
}

/// A network card.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Card {
    /// Its model, as QEMU calls the device: `virtio-net-pci`, `e1000`.
    pub model: String,
    /// Its address, `52:54:00:12:34:56`.
    pub mac: String,
    path: String,
    /// Its place on its bus.
    address: String,
}

/// What other devices are, by the start of their QOM type: nothing of the guest's own.
const PLUMBING: [&str; 18] = [
    "virtio-blk",
    "scsi-",
    "ide-",
    "nvme",
    "floppy",
    "virtio-balloon",
    "virtio-rng",
    "pcie-",
    "pci-bridge",
    "virtserialport",
    "virtio-serial",
    "virtconsole",
    "ich9-ahci",
    "ich9-usb-",
    "piix3-usb-",
    "qemu-xhci",
    "tpm-",
    "ahci",
];

impl Hardware {
    /// Asks QEMU; `None` of a storage daemon, which has no machine.
    ///
    /// # Errors
    /// [`ErrorKind::Qemu`](crate::error::ErrorKind::Qemu).
    pub fn of(client: &Client) -> Result<Option<Self>, Error> {
        let schema = client
            .schema()
            .map_err(Error::qemu("cannot read QEMU's schema"))?;
        if !schema.has_command(QueryTarget::NAME) {
            return Ok(None);
        }
        let mut hardware = Self {
            name: ask(client, &QueryName {})?.name,
            arch: ask(client, &QueryTarget {})?.arch,
            uuid: Some(ask(client, &QueryUuid {})?.uuid)
                .filter(|id| id.contains(|c| c != '0' && c != '-')),
            command_line: command_line::of(client),
            ..Self::default()
        };
        hardware.local_time = command_line::values(&hardware.command_line, "rtc")
            .any(|rtc| command_line::key(rtc, "base") == Some("localtime"));
        let memory = ask(client, &QueryMemorySizeSummary {})?;
        hardware.memory = memory
            .base_memory
            .saturating_add(memory.plugged_memory.unwrap_or(0));
        let processors = ask(client, &QueryCpusFast {})?;
        let sockets: BTreeSet<_> = processors.iter().map(|cpu| cpu.props.socket_id).collect();
        (hardware.processors, hardware.sockets) = (processors.len(), sockets.len());
        let threads: BTreeSet<_> = processors.iter().map(|cpu| cpu.props.thread_id).collect();
        hardware.threads = threads.len().max(1);
        if let Some(first) = processors.first() {
            let kind = qom::text(client, &first.qom_path, "type")?.unwrap_or_default();
            let model = kind.strip_suffix(&format!("-{}-cpu", hardware.arch));
            hardware.cpu = model.map(str::to_owned);
        }
        let kind = qom::text(client, "/machine", "type")?.unwrap_or_default();
        hardware.machine = kind.strip_suffix("-machine").unwrap_or(&kind).to_owned();
        let flash = qom::text(client, "/machine", "pflash0")?;
        hardware.uefi = flash.is_some_and(|node| !node.is_empty())
            || qom::get(client, "/machine/system.flash0", "drive")?
                .is_some_and(|drive| drive != Value::String(String::new()));
        let file = |property| -> Result<Option<String>, Error> {
            let file = qom::text(client, "/machine", property)?;
            Ok(file.filter(|file| !file.is_empty()))
        };
        hardware.kernel = file("kernel")?;
        hardware.firmware = file("firmware")?;
        let firmware = hardware.firmware.as_deref().unwrap_or_default();
        hardware.uefi |= is_uefi(firmware);
        // A name alone is of a file that comes with QEMU.
        if is_uefi(firmware) || !firmware.contains('/') {
            hardware.firmware = None;
        }
        for place in ["peripheral", "peripheral-anon", "unattached"] {
            for (path, kind) in qom::children(client, &format!("/machine/{place}"))? {
                hardware.add(client, place, path, kind)?;
            }
        }
        hardware.boot.sort();
        // As the guest finds them.
        hardware
            .cards
            .sort_by(|one, other| one.address.cmp(&other.address));
        Ok(Some(hardware))
    }

    fn add(
        &mut self,
        client: &Client,
        place: &str,
        path: String,
        kind: String,
    ) -> Result<(), Error> {
        if let Some(Value::Number(index)) = qom::get(client, &path, "bootindex")?
            && let Some(index @ 0..) = index.as_i64()
        {
            self.boot.push((index, path.clone()));
        }
        if config::card(&kind).is_some() {
            let mac = qom::text(client, &path, "mac")?.unwrap_or_default();
            let address = qom::get(client, &path, "addr")?.unwrap_or_default();
            self.cards.push(Card {
                model: kind,
                mac,
                path,
                address: format!("{:>8}", address.to_string()),
            });
        } else if config::screen(&kind).is_some() {
            self.screen.get_or_insert(kind);
        } else if config::scsi(&kind).is_some() {
            self.scsi.get_or_insert(kind);
        } else if kind == "virtserialport" {
            let name = qom::text(client, &path, "name")?;
            self.agent |= name.as_deref() == Some("org.qemu.guest_agent.0");
        } else if kind == "usb-tablet" {
            self.tablet = true;
        } else if kind == "isa-serial" {
            self.serial_ports = self.serial_ports.saturating_add(1);
        } else if place != "unattached" && !PLUMBING.iter().any(|start| kind.starts_with(start)) {
            self.others.insert(kind);
        }
        Ok(())
    }
}

/// Whether firmware that is not in flash memory is UEFI's, by the names that distributions give it.
fn is_uefi(file: &str) -> bool {
    let lower = file.to_ascii_lowercase();
    ["ovmf", "edk2", "efi"]
        .iter()
        .any(|word| lower.contains(word))
}

fn ask<C: Command>(client: &Client, command: &C) -> Result<C::Reply, Error> {
    client
        .execute(command)
        .map_err(Error::qemu("cannot examine the guest's machine"))
}

#[cfg(test)]
mod tests;
