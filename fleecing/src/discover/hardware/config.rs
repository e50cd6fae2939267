//! A machine in the form of a Proxmox guest's configuration (`qm.conf(5)`).

use std::collections::BTreeMap;

use fleece_guest_config::{GuestConfig, QmdumpMap, drive_size, is_drive_key};

use super::Hardware;
use crate::disk::Disk;

/// The configuration's word for a network card, by its QOM type.
pub(super) fn card(kind: &str) -> Option<&str> {
    Some(match kind {
        "virtio-net-pci" | "virtio-net-pci-non-transitional" | "virtio-net-pci-transitional" => {
            "virtio"
        }
        "e1000" | "e1000-82544gc" | "e1000-82545em" | "e1000e" | "ne2k_pci" | "pcnet"
        | "rtl8139" | "vmxnet3" | "i82551" | "i82557b" | "i82559er" => kind,
        _ => return None,
    })
}

/// The word for a graphics card.
pub(super) fn screen(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "VGA" | "secondary-vga" | "bochs-display" => "std",
        "cirrus-vga" => "cirrus",
        "qxl-vga" | "qxl" => "qxl",
        "vmware-svga" => "vmware",
        "virtio-vga" | "virtio-vga-gl" | "virtio-gpu-pci" | "virtio-gpu-gl-pci" => "virtio",
        _ => return None,
    })
}

/// The word for a SCSI controller.
pub(super) fn scsi(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "virtio-scsi-pci" | "virtio-scsi-pci-non-transitional" | "virtio-scsi-pci-transitional" => {
            "virtio-scsi-pci"
        }
        "lsi53c895a" | "lsi" => "lsi",
        "lsi53c810" => "lsi53c810",
        "megasas" | "megasas-gen2" => "megasas",
        "pvscsi" => "pvscsi",
        _ => return None,
    })
}

/// The bus of a disk, by the QOM type of its device, on a machine that has SATA or not.
fn bus(kind: &str, sata: bool) -> &'static str {
    match kind {
        _ if kind.starts_with("cfi.pflash") => "efidisk",
        _ if kind.starts_with("virtio-blk") => "virtio",
        _ if kind.starts_with("ide-") && sata => "sata",
        _ if kind.starts_with("ide-") => "ide",
        _ => "scsi",
    }
}

impl Hardware {
    /// The configuration of a guest with this machine and these `disks`; which device of the archive is which drive
    /// of the configuration; and what the configuration does not tell.
    #[must_use]
    pub fn config(&self, disks: &[Disk]) -> (GuestConfig, Vec<QmdumpMap>, Vec<String>) {
        let mut lines: BTreeMap<String, String> = BTreeMap::new();
        let mut maps = Vec::new();
        let mut notes: Vec<String> = Vec::new();
        let mut starts: Vec<(i64, String)> = Vec::new();
        let sata = self.machine.contains("q35");
        for disk in disks {
            let kind = disk.device_type.as_deref().unwrap_or_default();
            let bus = bus(kind, sata);
            if bus == "scsi" && !kind.starts_with("scsi-") {
                notes.push(format!(
                    "{} is a {kind}, and a SCSI disk when restored",
                    disk.name
                ));
            }
            let own = disk.name.strip_prefix("drive-").unwrap_or(&disk.name);
            let own =
                (own.trim_end_matches(|c: char| c.is_ascii_digit()) == bus).then(|| own.to_owned());
            let numbered = (0..)
                .map(|n| format!("{bus}{n}"))
                .take_while(|key| is_drive_key(key));
            let mut keys = own.into_iter().chain(numbered);
            let Some(key) = keys.find(|key| is_drive_key(key) && !lines.contains_key(key)) else {
                notes.push(format!("{} has no slot left on its bus", disk.name));
                continue;
            };
            if let Some(index) = self.boot_index(disk.device_path.as_deref()) {
                starts.push((index, key.clone()));
            }
            let efi = if bus == "efidisk" { ",efitype=4m" } else { "" };
            let size = drive_size(disk.size);
            lines.insert(key.clone(), format!("none:{}{efi},size={size}", disk.name));
            maps.push(QmdumpMap {
                key,
                device: disk.name.clone(),
                storage: String::new(),
                format: "raw".to_owned(),
            });
        }
        for (n, found) in self.cards.iter().enumerate() {
            let model = card(&found.model).unwrap_or("virtio");
            lines.insert(
                format!("net{n}"),
                format!("{model}={},bridge=vmbr0", found.mac.to_uppercase()),
            );
            if let Some(index) = self.boot_index(Some(&found.path)) {
                starts.push((index, format!("net{n}")));
            }
        }
        starts.sort();
        let order: Vec<String> = starts.into_iter().map(|(_, key)| key).collect();
        if !order.is_empty() {
            lines.insert("boot".into(), format!("order={}", order.join(";")));
        }
        for port in 0..self.serial_ports.min(4) {
            lines.insert(format!("serial{port}"), "socket".into());
        }
        self.describe(&mut lines);
        for (what, file) in [("kernel", &self.kernel), ("firmware", &self.firmware)] {
            if let Some(file) = file {
                notes.push(format!(
                    "the guest starts from the {what} {file}, which no archive holds; keep a copy of it"
                ));
            }
        }
        if !self.others.is_empty() {
            let others: Vec<&str> = self.others.iter().map(String::as_str).collect();
            notes.push(format!(
                "devices that a restore cannot recreate: {}",
                others.join(", ")
            ));
        }
        let mut config = GuestConfig::default();
        for (key, value) in lines {
            if config.main_mut().set(&key, &value).is_err() {
                notes.push(format!("{key} cannot be written in a configuration"));
            }
        }
        (config, maps, notes)
    }

    fn describe(&self, lines: &mut BTreeMap<String, String>) {
        let mut add = |key: &str, value: String| lines.insert(key.to_owned(), value);
        let sockets = self.sockets.max(1);
        if self.processors.checked_rem(sockets) == Some(0) {
            add("sockets", sockets.to_string());
            let cores = self.processors.checked_div(sockets).unwrap_or_default();
            add("cores", cores.max(1).to_string());
        } else {
            add("cores", self.processors.max(1).to_string());
        }
        add("memory", (self.memory >> 20).max(1).to_string());
        if self.arch != "x86_64" {
            add("arch", self.arch.clone());
        }
        // The newest of its kind: a version may be unknown where the guest is restored.
        if self.machine.contains("q35") {
            add("machine", "q35".into());
        }
        if self.uefi {
            add("bios", "ovmf".into());
        }
        let cpu = self
            .cpu
            .as_deref()
            .map(|cpu| if cpu == "max" { "host" } else { cpu });
        if let Some(cpu) = cpu {
            add("cpu", cpu.to_owned());
        }
        if let Some(scsi) = self.scsi.as_deref().and_then(scsi) {
            add("scsihw", scsi.into());
        }
        add(
            "vga",
            self.screen
                .as_deref()
                .and_then(screen)
                .unwrap_or("none")
                .into(),
        );
        if self.agent {
            add("agent", "1".into());
        }
        if !self.tablet {
            add("tablet", "0".into());
        }
        if self.local_time {
            add("localtime", "1".into());
        }
        if let Some(uuid) = &self.uuid {
            add("smbios1", format!("uuid={uuid}"));
        }
        let name: Option<String> = self.name.as_ref().map(|name| {
            let word = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
            name.chars().map(word).take(63).collect()
        });
        if let Some(name) = name.filter(|name| !name.trim_matches('-').is_empty()) {
            add("name", name.trim_matches('-').to_owned());
        }
    }

    fn boot_index(&self, path: Option<&str>) -> Option<i64> {
        let path = path?.trim_end_matches("/virtio-backend");
        let found = self.boot.iter().find(|(_, other)| other == path);
        found.map(|(index, _)| *index)
    }
}
