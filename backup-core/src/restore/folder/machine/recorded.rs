//! What the record of a machine says beyond its configuration.
//!
//! The record is as hostile as the configuration: only numbers within bounds and plain words of the right form get
//! into the machine, and what is anything else is left as it is.

use std::collections::{BTreeMap, BTreeSet};

use fleece_guest_config::{DiskRecord, MACHINE_FILE, MachineRecord};

use super::drive::{is_serial, not_restored};
use super::words::{is_plain, is_word};
use super::{Bus, Machine, Scsi, Tpm};

/// SCSI targets and units that all controllers have (`virtio-scsi` has more of both).
const TARGETS: u32 = 256;
const UNITS: u32 = 256;
/// As `hw/i386/pc.c` of QEMU allows.
const MAX_THREADS: u32 = 32;
/// More than any processor has, so that no list is endless.
const MAX_FLAGS: usize = 512;

impl Machine {
    /// Takes what is recorded; `keys` are the drives of the archive's devices.
    pub(in super::super) fn refine(&mut self, record: &MachineRecord, keys: &BTreeMap<&str, &str>) {
        self.version = Some(record.machine.clone()).filter(|name| is_version(name, self.q35));
        if !record.machine.is_empty() && !record.machine.starts_with("pc") {
            self.notes
                .push("machine: it was of another type, and is a pc here".to_owned());
        }
        if record.kernel.is_some() {
            self.notes.push(format!(
                "the kernel that QEMU started is no part of an archive, and is to be given to the script: -kernel FILE, \
                 -initrd FILE, -append WORDS, as {MACHINE_FILE} has them"
            ));
        }
        if (2..=MAX_THREADS).contains(&record.threads) && self.cores.is_multiple_of(record.threads)
        {
            self.threads = record.threads;
            self.cores = self.cores.checked_div(record.threads).unwrap_or(1);
        }
        for flag in record.cpu_flags.iter().take(MAX_FLAGS) {
            match self::flag(flag) {
                Some(flag) => self.cpu.flags.push(flag),
                None => self
                    .notes
                    .push("cpu: not all of its flags are translated".to_owned()),
            }
        }
        self.notes.dedup();
        for disk in &record.disks {
            if let Some(key) = keys.get(disk.device.as_str()) {
                self.refine_drive(key, disk);
            }
        }
        self.forget_shared_places();
        let mut taken = BTreeSet::new();
        let q35 = self.q35;
        let screen = self.screen != "none";
        for (card, recorded) in self.cards.iter_mut().zip(&record.cards) {
            card.place = recorded
                .slot
                .filter(|slot| is_free_slot(*slot, q35, screen) && taken.insert(*slot));
        }
        // Of cards some of which have a place of their own, none may get another's.
        if self.cards.iter().any(|card| card.place.is_some()) {
            let slots: Vec<_> = self.cards.iter().map(|card| card.slot(q35)).collect();
            let unique: BTreeSet<_> = slots.iter().flatten().collect();
            if unique.len() != slots.iter().flatten().count() {
                self.cards.iter_mut().for_each(|card| card.place = None);
            }
        }
    }

    /// A TPM whose state is a file in the folder, if the configuration has none of its own.
    pub(in super::super) fn use_tpm_state(&mut self) {
        // It is there, if not as the drive that the configuration names.
        let is_missing = |note: &String| *note == not_restored("tpmstate0");
        self.notes.retain(|note| !is_missing(note));
        self.tpm.get_or_insert(Tpm {
            image: None,
            is_2: true,
        });
    }

    fn refine_drive(&mut self, key: &str, disk: &DiskRecord) {
        let Some(drive) = self.drives.iter_mut().find(|drive| drive.key == key) else {
            return;
        };
        let serial = disk.serial.as_deref().filter(|serial| is_serial(serial));
        if drive.serial.is_none() {
            drive.serial = serial.map(str::to_owned);
        }
        drive.wwn = drive.wwn.or(disk.wwn);
        drive.ssd |= disk.rotation_rate == Some(1);
        let is_size = |size: &u32| size.is_power_of_two() && (512..=32 << 10).contains(size);
        let logical = disk.logical_block_size.filter(is_size);
        let physical = disk.physical_block_size.filter(is_size).or(logical);
        // What everything has is not said.
        drive.sectors = logical
            .zip(physical)
            .filter(|(logical, physical)| logical <= physical && *physical > 512)
            .filter(|_| matches!(drive.bus, Bus::Virtio | Bus::Scsi));
        let place = disk.target.zip(disk.lun);
        drive.place = place
            .filter(|(target, unit)| *target < TARGETS && *unit < UNITS)
            .filter(|_| drive.bus == Bus::Scsi && self.scsi == Scsi::Virtio);
    }

    /// No two drives are at one place: then all get new ones.
    fn forget_shared_places(&mut self) {
        let scsi = || self.drives.iter().filter(|drive| drive.bus == Bus::Scsi);
        let places: BTreeSet<_> = scsi().filter_map(|drive| drive.place).collect();
        if places.len() != scsi().count() {
            self.drives.iter_mut().for_each(|drive| drive.place = None);
        }
    }
}

/// Whether a slot of the first PCI bus is none that the machine itself needs: its host bridge, its chipset and
/// its graphics card.
fn is_free_slot(slot: u32, q35: bool, screen: bool) -> bool {
    let graphics = if q35 { 1 } else { 2 };
    let last = if q35 { 0x18 } else { 0x1f };
    (2..=last).contains(&slot) && !(screen && slot == graphics)
}

/// A versioned type of the same kind: `pc-q35-10.0`, `pc-i440fx-7.2`.
fn is_version(name: &str, q35: bool) -> bool {
    let prefix = if q35 { "pc-q35-" } else { "pc-i440fx-" };
    let number =
        |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    let numbers = name
        .strip_prefix(prefix)
        .and_then(|version| version.split_once('.'));
    numbers.is_some_and(|(major, minor)| number(major) && number(minor))
}

/// `+aes`, `-pcid`, `aes=on`, `pcid=off`; `None` for what is no switch.
fn flag(text: &str) -> Option<(bool, String)> {
    let (add, name) = match text.split_once('=') {
        Some((name, "on" | "true")) => (true, name),
        Some((name, "off" | "false")) => (false, name),
        Some(_) => return None,
        None => match text.split_at_checked(1)? {
            ("+", name) => (true, name),
            ("-", name) => (false, name),
            _ => (true, text),
        },
    };
    (is_word(name) && name.chars().all(is_plain)).then(|| (add, name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_words_and_numbers_within_bounds_are_taken() {
        for (text, taken) in [
            ("+aes", Some((true, "aes"))),
            ("-pcid", Some((false, "pcid"))),
            ("hv_relaxed=on", Some((true, "hv_relaxed"))),
            ("svm=off", Some((false, "svm"))),
            ("enforce", Some((true, "enforce"))),
            ("hv_spinlocks=0x1fff", None),
            ("", None),
            ("+", None),
            ("+a b", None),
            ("+a,kvm=off", None),
            ("+a'\n", None),
        ] {
            let taken = taken.map(|(add, name): (bool, &str)| (add, name.to_owned()));
            assert_eq!(flag(text), taken, "{text}");
        }
        assert!(is_version("pc-q35-10.0", true) && is_version("pc-i440fx-7.2", false));
        for name in [
            "pc-q35-10.0",
            "",
            "pc-i440fx-7.2,x=y",
            "pc-i440fx-7",
            "microvm",
        ] {
            assert!(!is_version(name, false), "{name}");
        }
        assert!(is_free_slot(9, false, true) && !is_free_slot(2, false, true));
        assert!(!is_free_slot(0x1f, true, false) && !is_free_slot(0x20, false, false));
    }
}
