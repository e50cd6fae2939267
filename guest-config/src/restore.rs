//! An archived configuration as the restored guest gets it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use fleece_plain_text::to_bytes;

use crate::archive::goes_into_an_archive;
use crate::config::GuestConfig;
use crate::drive::{Exclusion, drive_key, drive_size};
use crate::error::{Error, ErrorKind};
use crate::line::{Content, Line};
use crate::property::PropertyString;

/// What becomes of the drives and of the identity of a restored guest.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Restoration {
    drives: BTreeMap<String, Option<Volume>>,
    unique: Option<[u8; 3]>,
}

#[derive(Debug, Clone)]
struct Volume {
    id: String,
    size: u64,
}

impl Restoration {
    /// All drives as they are, and the guest's own identity.
    pub fn new() -> Self {
        Self::default()
    }

    /// The drive `key` gets a new volume of `size` bytes, whatever its line says of its size.
    #[must_use]
    pub fn with_volume(mut self, key: &str, volume: &str, size: u64) -> Self {
        let id = volume.to_owned();
        self.drives
            .insert(key.to_owned(), Some(Volume { id, size }));
        self
    }

    /// The drive `key` is not restored: its line becomes a comment.
    #[must_use]
    pub fn without_drive(mut self, key: &str) -> Self {
        self.drives.insert(key.to_owned(), None);
        self
    }

    /// The guest lives beside the one that was backed up: it gets new MAC addresses, which begin
    /// with `mac_prefix` (Proxmox's is `BC:24:11`), and a new machine uuid.
    #[must_use]
    pub fn unique(mut self, mac_prefix: [u8; 3]) -> Self {
        self.unique = Some(mac_prefix);
        self
    }
}

impl GuestConfig {
    /// The configuration of the guest restored from this archived one.
    ///
    /// Map lines and what belonged to the other host are dropped. A drive with `backup=0` is not
    /// in the archive, so that its line becomes a comment. `vmgenid` is always renewed: it tells
    /// the guest that it was set back in time. All other lines keep their bytes. `random` gives
    /// random bytes.
    ///
    /// # Errors
    ///
    /// `MalformedDrive`; `InvalidValue` for a volume that cannot stand on a line.
    pub fn restored(
        &self,
        restoration: &Restoration,
        mut random: impl FnMut() -> [u8; 16],
    ) -> Result<Self, Error> {
        if let Some(volume) = restoration
            .drives
            .values()
            .flatten()
            .find(|volume| volume.id.contains(','))
        {
            let message = format!(
                "the volume {:?} cannot precede a drive's options",
                volume.id
            );
            return Err(Error::new(ErrorKind::InvalidValue, message));
        }
        let left_out: Vec<String> = self
            .drives()?
            .into_iter()
            .filter(|drive| drive.exclusion == Some(Exclusion::BackupOption))
            .map(|drive| drive.key)
            .collect();
        let mut text = String::new();
        for line in self
            .main()
            .lines()
            .filter(|line| goes_into_an_archive(line.content()))
        {
            let Content::Entry(key, value) = line.content() else {
                text.push_str(line.as_str());
                continue;
            };
            let new = match drive_key(key).map(|key| (key, restoration.drives.get(key))) {
                Some((_, Some(Some(volume)))) => Some(with_volume(value, volume)),
                Some((_, Some(None))) => None,
                Some((key, None)) if left_out.iter().any(|left| left == key) => None,
                Some((_, None)) => Some(value.to_owned()),
                None => Some(restoration.renewed(key, value, &mut random)),
            };
            match new {
                Some(new) if new == value => text.push_str(line.as_str()),
                Some(new) => text.push_str(Line::entry(key, &new)?.as_str()),
                None => {
                    text.push('#');
                    text.push_str(line.as_str());
                }
            }
        }
        Self::parse(to_bytes(&text))
    }
}

impl Restoration {
    /// A value that is no drive's, with its identity renewed where it has one.
    fn renewed(&self, key: &str, value: &str, random: &mut impl FnMut() -> [u8; 16]) -> String {
        let is_net = key
            .strip_prefix("net")
            .is_some_and(|n| n.parse::<u8>().is_ok());
        match (key, self.unique) {
            ("vmgenid", _) if value != "0" => uuid(random()),
            ("smbios1", Some(_)) => {
                let mut properties = PropertyString::parse(value);
                properties.set(Some("uuid"), &uuid(random()));
                properties.to_string()
            }
            (_, Some(prefix)) if is_net => with_new_macs(value, prefix, random),
            _ => value.to_owned(),
        }
    }
}

/// The drive's options stay, but for the size, which may be wrong in an archive, and the format, which the new
/// volume tells by itself.
fn with_volume(value: &str, volume: &Volume) -> String {
    let mut properties = PropertyString::parse(value);
    let place = [None, Some("file"), Some("volume")];
    let place = place
        .into_iter()
        .find(|key| properties.get(*key).is_some())
        .flatten();
    properties.set(place, &volume.id);
    properties.set(Some("size"), &drive_size(volume.size));
    properties.remove(Some("format"));
    properties.to_string()
}

/// A network card's address is the value of its model: `virtio=BC:24:11:…,bridge=vmbr0`.
fn with_new_macs(value: &str, prefix: [u8; 3], random: &mut impl FnMut() -> [u8; 16]) -> String {
    let mut properties = PropertyString::parse(value);
    let cards: Vec<String> = properties
        .options()
        .filter(|(_, value)| is_mac(value))
        .map(|(key, _)| key.to_owned())
        .collect();
    for card in cards {
        let [a, b, c] = prefix;
        let [d, e, f, ..] = random();
        let mac = format!("{a:02X}:{b:02X}:{c:02X}:{d:02X}:{e:02X}:{f:02X}");
        properties.set(Some(&card), &mac);
    }
    properties.to_string()
}

fn is_mac(text: &str) -> bool {
    let mut parts = text.split(':');
    let bytes = parts.all(|part| part.len() == 2 && u8::from_str_radix(part, 16).is_ok());
    bytes && text.len() == 17
}

/// A random uuid (RFC 9562, version 4).
fn uuid(random: [u8; 16]) -> String {
    let version = u128::from_be_bytes(random) & !(0xf << 76) & !(0x3 << 62);
    let bytes = (version | (0x4 << 76) | (0x2 << 62)).to_be_bytes();
    let mut text = String::with_capacity(36);
    for (n, byte) in bytes.iter().enumerate() {
        if matches!(n, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        // Writing to a string never fails.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "#a note\nboot: order=scsi0\nlock: backup\n\
        net0: virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1\nnet1: model=e1000,macaddr=00:11:22:33:44:55\n\
        scsi0: old:vm-1-disk-0,format=qcow2,size=4G,discard=on\nscsi1: file=old:vm-1-disk-1,size=1G\n\
        scsi2: old:vm-1-disk-2,backup=0\nide2: none,media=cdrom\n\
        smbios1: uuid=11111111-2222-4333-8444-555555555555,base64=1\n\
        vmgenid: 11111111-2222-4333-8444-555555555555\nodd line\n\
        #qmdump#map:scsi0:drive-scsi0:old:raw:\n";

    const NEW_UUID: &str = "ffffffff-ffff-4fff-bfff-ffffffffffff";

    fn restore(text: &str, restoration: &Restoration) -> String {
        let config = GuestConfig::parse(text).unwrap();
        config
            .restored(restoration, || [0xff; 16])
            .unwrap()
            .to_string()
    }

    #[test]
    fn volumes_are_replaced_and_everything_else_stays() {
        let restoration = Restoration::new()
            .with_volume("scsi0", "new:vm-9-disk-0", 5 << 30)
            .with_volume("scsi1", "/d/x.raw", 513);
        let expected = TEXT
            .replace("lock: backup\n", "")
            .replace(
                "old:vm-1-disk-0,format=qcow2,size=4G",
                "new:vm-9-disk-0,size=5G",
            )
            .replace("file=old:vm-1-disk-1,size=1G", "file=/d/x.raw,size=513")
            .replace("scsi2", "#scsi2")
            .replace(
                "vmgenid: 11111111-2222-4333-8444-555555555555",
                &format!("vmgenid: {NEW_UUID}"),
            )
            .replace("#qmdump#map:scsi0:drive-scsi0:old:raw:\n", "");
        assert_eq!(restore(TEXT, &restoration), expected);
    }

    #[test]
    fn drives_that_are_not_restored_become_comments() {
        let restored = restore(TEXT, &Restoration::new().without_drive("scsi0"));
        assert!(
            restored.contains("\n#scsi0: old:vm-1-disk-0,format=qcow2"),
            "{restored}"
        );
        assert_eq!(
            GuestConfig::parse(&restored).unwrap().main().get("scsi0"),
            None
        );
    }

    #[test]
    fn a_unique_guest_has_its_own_addresses_and_uuid() {
        let restored = restore(TEXT, &Restoration::new().unique([0xbc, 0x24, 0x11]));
        for line in [
            "net0: virtio=BC:24:11:FF:FF:FF,bridge=vmbr0,firewall=1\n".to_owned(),
            "net1: model=e1000,macaddr=BC:24:11:FF:FF:FF\n".to_owned(),
            format!("smbios1: uuid={NEW_UUID},base64=1\n"),
        ] {
            assert!(restored.contains(&line), "{line} in {restored}");
        }
    }

    #[test]
    fn a_unique_guest_gets_a_uuid_where_its_firmware_has_none_of_its_own() {
        let unique = Restoration::new().unique([0xbc, 0x24, 0x11]);
        assert_eq!(
            restore("smbios1: base64=1\n", &unique),
            format!("smbios1: base64=1,uuid={NEW_UUID}\n")
        );
    }

    #[test]
    fn a_guest_without_a_generation_id_gets_none() {
        assert_eq!(restore("vmgenid: 0\n", &Restoration::new()), "vmgenid: 0\n");
        assert_eq!(restore("name: a\n", &Restoration::new()), "name: a\n");
    }

    #[test]
    fn a_volume_that_would_forge_lines_is_refused() {
        let config = GuestConfig::parse(TEXT).unwrap();
        for volume in ["a\nargs: b", "a,cache=unsafe"] {
            let restoration = Restoration::new().with_volume("scsi0", volume, 1);
            let error = config.restored(&restoration, || [0; 16]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidValue, "{volume:?}");
        }
    }
}
