//! The drives of a guest: which there are, and which of them a backup includes.

use std::fmt;

use crate::config::GuestConfig;
use crate::error::{Error, ErrorKind};
use crate::property::PropertyString;
use crate::section::{Section, SectionKind};

/// Drive keys with the number of their places (`qm.conf(5)`): `scsi0` … `scsi30`.
const BUSES: [(&str, u32); 6] = [
    ("ide", 4),
    ("scsi", 31),
    ("virtio", 16),
    ("sata", 6),
    ("efidisk", 1),
    ("tpmstate", 1),
];

/// One drive of a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drive {
    /// The key, for example `scsi0`.
    pub key: String,
    /// The volume id, an absolute path, or `none` and `cdrom` for a drive without a disk.
    pub volume: String,
    /// The other options of the drive, in their order: `size=4G`, `discard=on`, …
    pub options: Vec<(String, String)>,
    /// A CD drive (cloud-init drives are such too); backups never include one.
    pub is_cdrom: bool,
    /// Why a backup leaves this drive out; `None` if it includes it.
    pub exclusion: Option<Exclusion>,
}

/// Why a backup leaves a drive out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Exclusion {
    /// It is a CD drive.
    Cdrom,
    /// The drive says `backup=0`.
    BackupOption,
    /// An EFI disk of a guest that does not boot with OVMF.
    EfiDiskWithoutOvmf,
}

impl Drive {
    /// Whether a backup includes the drive.
    pub fn is_included(&self) -> bool {
        self.exclusion.is_none()
    }

    /// The name of the drive in an archive: `drive-scsi0`, `drive-tpmstate0-backup`.
    pub fn device_name(&self) -> String {
        match self.key.starts_with("tpmstate") {
            true => format!("drive-{}-backup", self.key),
            false => format!("drive-{}", self.key),
        }
    }

    /// The value of one option.
    pub fn option(&self, key: &str) -> Option<&str> {
        self.options
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, value)| value.as_str())
    }

    fn parse(key: &str, value: &str, ovmf: bool) -> Result<Self, Error> {
        let malformed =
            |what: String| Error::new(ErrorKind::MalformedDrive, format!("drive '{key}': {what}"));
        let properties = PropertyString::parse(value);
        let mut volume = properties.get(None);
        let mut options: Vec<(String, String)> = Vec::new();
        for (name, value) in properties.options() {
            if matches!(name, "file" | "volume") && volume.is_none() {
                volume = Some(value);
            } else if options.iter().any(|(known, _)| known == name) {
                return Err(malformed(format!("the option '{name}' appears twice")));
            } else {
                options.push((name.to_owned(), value.to_owned()));
            }
        }
        let volume = volume.ok_or_else(|| malformed("it names no volume".to_owned()))?;
        let option = |key: &str| {
            options
                .iter()
                .find(|(k, _)| k == key)
                .map(|(_, v)| v.as_str())
        };

        let is_cdrom = option("media") == Some("cdrom") || matches!(volume, "none" | "cdrom");
        let backup = match option("backup") {
            Some(text) => parse_bool(text)
                .ok_or_else(|| malformed(format!("backup={text:?} is neither yes nor no")))?,
            None => true,
        };
        let exclusion = match () {
            () if is_cdrom => Some(Exclusion::Cdrom),
            () if key.starts_with("efidisk") && !ovmf => Some(Exclusion::EfiDiskWithoutOvmf),
            () if !backup => Some(Exclusion::BackupOption),
            () => None,
        };
        Ok(Self {
            key: key.to_owned(),
            volume: volume.to_owned(),
            options,
            is_cdrom,
            exclusion,
        })
    }
}

impl fmt::Display for Exclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cdrom => "CD drive",
            Self::BackupOption => "backup=no",
            Self::EfiDiskWithoutOvmf => "efidisk but no OVMF BIOS",
        })
    }
}

impl GuestConfig {
    /// The drives of the guest, sorted by key: the order in which Proxmox lists the devices of an
    /// archive. Unused disks are none.
    ///
    /// # Errors
    ///
    /// `MalformedDrive` names the first drive that cannot be understood: a backup that silently
    /// left it out would be worse.
    pub fn drives(&self) -> Result<Vec<Drive>, Error> {
        let ovmf = self.main().get("bios") == Some("ovmf");
        let mut keys: Vec<&str> = self.main().entries().map(|(key, _)| key).collect();
        keys.retain(|key| drive_key(key).is_some());
        // `cdrom` is the old name of `ide2`.
        keys.sort_unstable_by_key(|key| drive_key(key));
        keys.dedup_by_key(|key| drive_key(key));
        let drives = keys.into_iter().filter_map(|key| {
            let value = self.main().get(key)?;
            Some(Drive::parse(drive_key(key)?, value, ovmf))
        });
        drives.collect()
    }

    /// Whether a line of any section, a snapshot's as well, names this volume: a drive, an unused
    /// disk, the state of a suspended guest.
    pub fn uses_volume(&self, volume: &str) -> bool {
        let mut entries = self
            .main()
            .entries()
            .chain(self.sections().flat_map(Section::entries));
        entries.any(|(_, value)| {
            let properties = PropertyString::parse(value);
            let places = [None, Some("file"), Some("volume")];
            places
                .into_iter()
                .any(|place| properties.get(place) == Some(volume))
        })
    }

    /// Every text in a value of any section that could be a volume's id or path, wherever it stands: in
    /// `args`, too. The record of fleecing images is left out.
    pub fn mentions(&self) -> impl Iterator<Item = &str> {
        let is_record = |section: &&Section| section.kind() == SectionKind::Special("fleecing");
        let sections = self.sections().filter(move |section| !is_record(section));
        let entries = self
            .main()
            .entries()
            .chain(sections.flat_map(Section::entries));
        let ends = |c: char| c.is_whitespace() || matches!(c, ',' | ';' | '=' | '"' | '\'');
        let words = entries.flat_map(move |(_, value)| value.split(ends));
        words.filter(|word| word.contains([':', '/']))
    }
}

/// Whether a key is that of a drive's place: `scsi0`, `efidisk0`, but not `scsi31`, `unused0` or `net0`.
pub fn is_drive_key(key: &str) -> bool {
    drive_key(key).is_some()
}

/// The key as a drive's, if it is one.
pub(crate) fn drive_key(key: &str) -> Option<&str> {
    if key == "cdrom" {
        return Some("ide2");
    }
    let bus = key.trim_end_matches(|c: char| c.is_ascii_digit());
    let number: u32 = key.strip_prefix(bus)?.parse().ok()?;
    let canonical = format!("{bus}{number}") == key;
    let known = BUSES
        .iter()
        .any(|(name, places)| *name == bus && number < *places);
    (canonical && known).then_some(key)
}

/// Proxmox's spellings of yes and no.
fn parse_bool(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "on" | "yes" | "true" => Some(true),
        "0" | "off" | "no" | "false" => Some(false),
        _ => None,
    }
}

/// The `size` of a drive, of so many bytes, as Proxmox writes it: in the largest unit that is exact.
#[must_use]
pub fn drive_size(bytes: u64) -> String {
    let units = [(30, "G"), (20, "M"), (10, "K")];
    let exact = units
        .into_iter()
        .find(|(shift, _)| bytes.trailing_zeros() >= *shift);
    exact.map_or_else(
        || bytes.to_string(),
        |(shift, unit)| format!("{}{unit}", bytes >> shift),
    )
}

#[cfg(test)]
mod tests;
