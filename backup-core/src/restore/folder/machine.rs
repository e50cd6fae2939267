//! What an archived configuration says of the guest's hardware, as far as QEMU alone can have it.
//!
//! The configuration may have been made to do harm. So all that gets in here is numbers, words from lists,
//! and texts of letters, digits and a few signs that mean nothing to a shell, to QEMU or in XML; they are
//! quoted all the same. What is anything else is named in the notes by its key, which is such a text.

mod card;
mod cpu;
mod drive;
mod isolation;
mod recorded;
mod words;

use std::collections::BTreeMap;

use fleece_guest_config::{Error, GuestConfig, PropertyString};
use fleece_storage::VolumeFormat;
use uuid::Uuid;

use words::{is_on, is_plain};

pub(super) use card::Card;
pub(super) use cpu::{Cpu, Model};
pub(super) use drive::{Bus, Drive, Scsi};
pub(in super::super) use isolation::Isolation;

/// A guest's hardware.
#[derive(Debug, Default)]
pub(super) struct Machine {
    pub(super) name: String,
    pub(super) uuid: Option<Uuid>,
    /// Tells the guest that it was set back in time.
    pub(super) generation: Option<Uuid>,
    /// MiB.
    pub(super) memory: u32,
    pub(super) sockets: u32,
    pub(super) cores: u32,
    pub(super) cpu: Cpu,
    /// Processors of one core.
    pub(super) threads: u32,
    /// Its type and version, as QEMU calls them, if they are recorded.
    pub(super) version: Option<String>,
    /// Whether it is a `q35` machine, or else a `pc`.
    pub(super) q35: bool,
    /// UEFI, or else a BIOS.
    pub(super) ovmf: bool,
    /// UEFI's variables.
    pub(super) variables: Option<Image>,
    /// Of the small size, for firmware of 2 MiB.
    pub(super) small_variables: bool,
    pub(super) tpm: Option<Tpm>,
    pub(super) scsi: Scsi,
    pub(super) drives: Vec<Drive>,
    pub(super) cards: Vec<Card>,
    /// QEMU's word for the graphics card.
    pub(super) screen: &'static str,
    pub(super) serial_ports: Vec<u32>,
    pub(super) agent: bool,
    pub(super) tablet: bool,
    pub(super) local_time: bool,
    /// It reaches nothing, and what it says on its first serial port is kept.
    pub(super) isolation: Option<Isolation>,
    /// What the guest has there and lacks here.
    pub(super) notes: Vec<String>,
}

/// An image in the folder; its name is that of a device of the archive, which is a plain word.
#[derive(Clone, Debug)]
pub(super) struct Image {
    pub(super) file: String,
    pub(super) format: VolumeFormat,
}

/// The state of a TPM.
#[derive(Debug)]
pub(super) struct Tpm {
    /// An image, or else the directory of the script, where `swtpm`'s own file is.
    pub(super) image: Option<Image>,
    /// Of the 2.0 kind, or else 1.2.
    pub(super) is_2: bool,
}

/// The numbers that Proxmox allows, and a little more; a typing error shall not ask for a petabyte.
const MAX_MEMORY: u32 = 16 << 20;
const MAX_SOCKETS: u32 = 4;
const MAX_CORES: u32 = 256;

/// Keys with no meaning for a guest's hardware: they are about its host, or about how it is managed. The
/// keys of cloud-init are told of by its drive, if there is one.
const SILENT: [&str; 34] = [
    "affinity",
    "arch",
    "autostart",
    "balloon",
    "bootdisk",
    "cicustom",
    "cipassword",
    "citype",
    "ciupgrade",
    "ciuser",
    "cpulimit",
    "cpuunits",
    "description",
    "digest",
    "freeze",
    "hookscript",
    "hotplug",
    "keyboard",
    "lock",
    "meta",
    "nameserver",
    "onboot",
    "parent",
    "protection",
    "reboot",
    "searchdomain",
    "shares",
    "sshkeys",
    "startup",
    "tags",
    "template",
    "tdf",
    "vmstatestorage",
    "migrate_downtime",
];

impl Machine {
    /// The machine of `config` with these images in the places of its drives.
    pub(super) fn new(
        config: &GuestConfig,
        images: BTreeMap<String, Image>,
    ) -> Result<Self, Error> {
        let mut machine = Self {
            name: "guest".to_owned(),
            memory: 512,
            sockets: 1,
            cores: 1,
            threads: 1,
            screen: "std",
            tablet: true,
            ..Self::default()
        };
        let mut keys: Vec<&str> = config.main().entries().map(|(key, _)| key).collect();
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            let value = config.main().get(key).unwrap_or_default();
            if !machine.set(key, value) && !is_silent(key) {
                machine.notes.push(format!("{key} has no equivalent"));
            }
        }
        machine.add_drives(config, images)?;
        Ok(machine)
    }

    /// Takes one line; `false` if it is about something that has no equivalent.
    fn set(&mut self, key: &str, value: &str) -> bool {
        let properties = PropertyString::parse(value);
        let first = |name| properties.get(None).or_else(|| properties.get(Some(name)));
        match key {
            "name" => self.set_name(value),
            "memory" => return number(first("current"), 1..=MAX_MEMORY, &mut self.memory),
            "sockets" => return number(Some(value), 1..=MAX_SOCKETS, &mut self.sockets),
            "cores" => return number(Some(value), 1..=MAX_CORES, &mut self.cores),
            "cpu" => self.notes.extend(self.cpu.set(&properties)),
            "machine" => self.set_machine(first("type").unwrap_or_default()),
            "bios" => self.ovmf = value == "ovmf",
            "scsihw" => return self.scsi.set(value),
            "smbios1" => self.set_smbios(&properties),
            "vmgenid" => self.generation = value.parse().ok().filter(|id: &Uuid| !id.is_nil()),
            "agent" => self.agent = is_on(first("enabled").unwrap_or_default()),
            "acpi" | "kvm" => return is_on(value),
            "tablet" => self.tablet = is_on(value),
            "localtime" => self.local_time = is_on(value),
            // As Proxmox: Windows takes the clock to show local time.
            "ostype" => self.local_time |= value.starts_with('w'),
            "vga" => return self.set_screen(first("type").unwrap_or("std")),
            "boot" | "bootdisk" => {}
            _ if fleece_guest_config::is_drive_key(key) => {}
            _ => return self.set_numbered(key, value, &properties),
        }
        true
    }

    fn set_numbered(&mut self, key: &str, value: &str, properties: &PropertyString) -> bool {
        let name = key.trim_end_matches(|c: char| c.is_ascii_digit());
        let number = key.strip_prefix(name).and_then(|n| n.parse().ok());
        match (name, number) {
            ("net", Some(number)) => match Card::new(number, properties) {
                Some(card) => self.cards.push(card),
                None => return false,
            },
            ("serial", Some(port @ 0..=3)) => {
                self.serial_ports.push(port);
                if value != "socket" {
                    let note = format!("{key} is a socket here, not the host's device");
                    self.notes.push(note);
                }
            }
            // They lie on the other host, and are no part of the archive.
            ("unused" | "ipconfig", Some(_)) => {}
            _ => return false,
        }
        true
    }

    fn set_name(&mut self, value: &str) {
        self.name = value
            .chars()
            .map(|c| if is_plain(c) { c } else { '_' })
            .take(63)
            .collect();
        if self.name != value {
            self.notes.push(format!("its name becomes {}", self.name));
        }
    }

    fn set_machine(&mut self, value: &str) {
        self.q35 = value.contains("q35");
        // Stock QEMUs know neither all versions nor Proxmox's own revisions of them.
        if !matches!(value, "q35" | "pc" | "") {
            let newest = if self.q35 { "q35" } else { "pc" };
            self.notes.push(format!(
                "machine: it is QEMU's newest {newest}, not the version that was set"
            ));
        }
    }

    fn set_smbios(&mut self, properties: &PropertyString) {
        self.uuid = properties.get(Some("uuid")).and_then(|id| id.parse().ok());
        let known = |name: &str| matches!(name, "uuid" | "base64");
        if properties.options().any(|(name, _)| !known(name)) {
            let note = "smbios1: of its fields only the uuid is kept";
            self.notes.push(note.to_owned());
        }
    }

    fn set_screen(&mut self, kind: &str) -> bool {
        self.screen = match kind {
            "cirrus" => "cirrus",
            "vmware" => "vmware",
            "qxl" | "qxl2" | "qxl3" | "qxl4" => "qxl",
            "virtio" | "virtio-gl" => "virtio",
            "none" | "serial0" | "serial1" | "serial2" | "serial3" => "none",
            "std" => "std",
            _ => return false,
        };
        true
    }
}

fn is_silent(key: &str) -> bool {
    SILENT.contains(&key)
        // `numa` spreads memory over the host's nodes; `numa0` describes the guest's own.
        || matches!(key, "numa" | "migrate_speed" | "cdrom")
}

/// Sets `field` if `text` is a number within `range`.
fn number(text: Option<&str>, range: std::ops::RangeInclusive<u32>, field: &mut u32) -> bool {
    match text.and_then(|text| text.parse().ok()) {
        Some(number) if range.contains(&number) => {
            *field = number;
            true
        }
        _ => false,
    }
}
