//! Drives, their controllers, and what is started from.

use std::collections::BTreeMap;

use fleece_guest_config::{Error, GuestConfig};

use super::words::{is_on, is_plain};
use super::{Image, Machine, Tpm};

/// A disk, or a CD drive without a CD.
#[derive(Debug)]
pub(in super::super) struct Drive {
    /// Its key in the configuration.
    pub(in super::super) key: String,
    pub(in super::super) bus: Bus,
    pub(in super::super) number: u32,
    /// `None` is an empty CD drive.
    pub(in super::super) image: Option<Image>,
    /// Its place in the order of what is started from.
    pub(in super::super) boot: Option<u32>,
    pub(in super::super) discard: bool,
    pub(in super::super) ssd: bool,
    pub(in super::super) read_only: bool,
    pub(in super::super) serial: Option<String>,
    pub(in super::super) wwn: Option<u64>,
    /// Bytes of a sector as the guest sees it, and of one of the medium.
    pub(in super::super) sectors: Option<(u32, u32)>,
    /// Its SCSI target and unit, if they are recorded.
    pub(in super::super) place: Option<(u32, u32)>,
}

/// Where a drive is plugged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) enum Bus {
    Ide,
    Sata,
    Scsi,
    Virtio,
}

/// A SCSI controller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) enum Scsi {
    /// What Proxmox gives a guest that does not say.
    #[default]
    Lsi53c895a,
    Lsi53c810,
    Virtio,
    Megasas,
    Pvscsi,
}

impl Scsi {
    pub(super) fn set(&mut self, name: &str) -> bool {
        *self = match name {
            "lsi" => Self::Lsi53c895a,
            "lsi53c810" => Self::Lsi53c810,
            // Each disk having a controller of its own is about the host's threads.
            "virtio-scsi-pci" | "virtio-scsi-single" => Self::Virtio,
            "megasas" => Self::Megasas,
            "pvscsi" => Self::Pvscsi,
            _ => return false,
        };
        true
    }

    /// How many drives one controller has; older ones have numbers for seven, and one of their own.
    pub(in super::super) fn drives(self) -> u32 {
        match self {
            Self::Lsi53c895a | Self::Lsi53c810 => 7,
            _ => u32::MAX,
        }
    }

    /// Whether a drive's number is that of its target; else all are units of one target.
    pub(in super::super) fn numbers_targets(self) -> bool {
        matches!(self, Self::Lsi53c895a | Self::Lsi53c810 | Self::Pvscsi)
    }
}

/// Options of drives that are about the host, or about Proxmox itself.
const SILENT: [&str; 26] = [
    "aio",
    "backup",
    "cache",
    "detect_zeroes",
    "discard",
    "efitype",
    "file",
    "format",
    "iothread",
    "media",
    "pre-enrolled-keys",
    "queues",
    "replicate",
    "rerror",
    "ro",
    "serial",
    "shared",
    "size",
    "snapshot",
    "ssd",
    "volume",
    "version",
    "werror",
    "wwn",
    "trans",
    "ms-cert",
];

/// The note on a drive that the archive does not have.
pub(super) fn not_restored(key: &str) -> String {
    format!("{key} was not restored")
}

impl Machine {
    pub(super) fn add_drives(
        &mut self,
        config: &GuestConfig,
        mut images: BTreeMap<String, Image>,
    ) -> Result<(), Error> {
        for drive in config.drives()? {
            let image = images.remove(&drive.key);
            if drive.is_cdrom && image.is_none() {
                self.add_cd_drive(&drive);
            } else if let Some(image) = image {
                self.add_disk(&drive.key, image, |name| drive.option(name));
                let odd = |(name, _): &&(String, String)| {
                    !SILENT.contains(&name.as_str())
                        && !["mbps", "iops", "bps"].iter().any(|l| name.starts_with(l))
                };
                if drive.options.iter().any(|option| odd(&option)) {
                    let note = format!("{}: not all of its options are translated", drive.key);
                    self.notes.push(note);
                }
            } else {
                self.notes.push(not_restored(&drive.key));
            }
        }
        // Disks that no line of the configuration tells of.
        for (key, image) in images {
            self.add_disk(&key, image, |_| None);
        }
        self.drives.sort_by_key(|drive| (drive.bus, drive.number));
        self.set_boot_order(config);
        Ok(())
    }

    fn add_cd_drive(&mut self, drive: &fleece_guest_config::Drive) {
        if drive.volume.contains("cloudinit") {
            let note = "{}: cloud-init's drive is no part of an archive";
            self.notes.push(note.replace("{}", &drive.key));
            return;
        }
        if !matches!(drive.volume.as_str(), "none" | "cdrom") {
            let note = format!(
                "{}: the CD is no part of an archive; the drive is empty",
                drive.key
            );
            self.notes.push(note);
        }
        self.push(&drive.key, None, |_| None);
    }

    fn add_disk<'a>(&mut self, key: &str, image: Image, option: impl Fn(&str) -> Option<&'a str>) {
        match key {
            "efidisk0" => {
                self.variables = Some(image);
                self.small_variables = option("efitype") != Some("4m");
            }
            "tpmstate0" => {
                let is_2 = option("version") == Some("v2.0");
                self.tpm = Some(Tpm {
                    image: Some(image),
                    is_2,
                });
            }
            _ => self.push(key, Some(image), option),
        }
    }

    fn push<'a>(
        &mut self,
        key: &str,
        image: Option<Image>,
        option: impl Fn(&str) -> Option<&'a str>,
    ) {
        let name = key.trim_end_matches(|c: char| c.is_ascii_digit());
        let number = key.strip_prefix(name).and_then(|n| n.parse().ok());
        let bus = match name {
            "ide" => Bus::Ide,
            "sata" => Bus::Sata,
            "virtio" => Bus::Virtio,
            _ => Bus::Scsi,
        };
        let serial = option("serial");
        if serial.is_some_and(|serial| !is_serial(serial)) {
            let note = format!(
                "{key}: its serial number has characters that are not allowed, and is left out"
            );
            self.notes.push(note);
        }
        let wwn = option("wwn").and_then(|wwn| wwn.strip_prefix("0x"));
        self.drives.push(Drive {
            key: key.to_owned(),
            bus,
            number: number.unwrap_or(0),
            image,
            boot: None,
            discard: option("discard") == Some("on"),
            ssd: option("ssd").is_some_and(is_on),
            read_only: option("ro").is_some_and(is_on),
            serial: serial.filter(|serial| is_serial(serial)).map(str::to_owned),
            sectors: None,
            place: None,
            wwn: wwn.and_then(|wwn| u64::from_str_radix(wwn, 16).ok()),
        });
    }

    /// `boot: order=scsi0;net0`, or the older `bootdisk`, or the first disk. Nothing is started from the
    /// network: QEMU's own has no server to start from.
    fn set_boot_order(&mut self, config: &GuestConfig) {
        let order = config.main().get("boot").unwrap_or_default();
        let mut order: Vec<&str> = order
            .split(',')
            .find_map(|part| part.strip_prefix("order="))
            .map(|order| order.split(';').collect())
            .unwrap_or_default();
        order.extend(config.main().get("bootdisk").filter(|_| order.is_empty()));
        let mut place = 1_u32;
        for device in order {
            let drive = self.drives.iter_mut().find(|drive| drive.key == device);
            if let Some(drive) = drive.filter(|drive| drive.boot.is_none()) {
                drive.boot = Some(place);
                place = place.saturating_add(1);
            }
        }
        if place == 1
            && let Some(first) = self.drives.iter_mut().find(|drive| drive.image.is_some())
        {
            first.boot = Some(place);
        }
    }
}

/// What QEMU's devices and libvirt's schema take: at most 20 bytes for SCSI and virtio.
pub(super) fn is_serial(text: &str) -> bool {
    (1..=20).contains(&text.len()) && text.chars().all(is_plain)
}
