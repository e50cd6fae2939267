//! Other names for disks, as they are written on a command line.

use std::str::FromStr;

use fleece_guest_config::is_drive_key;

/// `OLD=NEW`: a disk and the name that it gets.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rename {
    /// The disk's name, with or without its `drive-`.
    pub from: String,
    /// Its new one; that of a Proxmox drive has a `drive-` in front.
    pub to: String,
}

/// As long as the names that QEMU's nodes give.
const MAX_NAME: usize = 128;

impl Rename {
    /// Whether this is about the disk of that name.
    pub(crate) fn is_of(&self, disk: &str) -> bool {
        disk == self.from || disk.strip_prefix("drive-") == Some(&*self.from)
    }

    /// The new name, if it is that of a Proxmox drive: `scsi0`.
    pub(crate) fn key(&self) -> Option<&str> {
        self.to
            .strip_prefix("drive-")
            .filter(|key| is_drive_key(key))
    }
}

impl FromStr for Rename {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (from, to) = text
            .split_once('=')
            .filter(|(from, to)| !from.is_empty() && !to.is_empty())
            .ok_or("expected OLD=NEW, for example d0=scsi0")?;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if to.len() > MAX_NAME || to.starts_with(['.', '-']) || !to.chars().all(plain) {
            return Err(format!(
                "'{to}' is no name of a disk: expected up to {MAX_NAME} letters, digits, '.', '_' and '-'"
            ));
        }
        // The archive's own name for the RAM of a suspended guest.
        if to == "vmstate" {
            return Err("vmstate is no disk".to_owned());
        }
        let to = match is_drive_key(to) {
            true => format!("drive-{to}"),
            false => to.to_owned(),
        };
        Ok(Self {
            from: from.to_owned(),
            to,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_name_is_a_plain_word_and_a_drive_has_its_prefix() {
        for (text, from, to) in [
            ("d0=drive-scsi0", "d0", "drive-scsi0"),
            ("drive-d0=scsi0", "drive-d0", "drive-scsi0"),
            ("d0=data", "d0", "data"),
        ] {
            let rename: Rename = text.parse().unwrap();
            assert_eq!((&*rename.from, &*rename.to), (from, to));
            assert!(rename.is_of("drive-d0"));
        }
        for text in [
            "",
            "d0",
            "=a",
            "d0=",
            "d0=a/b",
            "d0=a b",
            "d0=.x",
            "d0=-x",
            "d0=vmstate",
        ] {
            assert!(text.parse::<Rename>().is_err(), "{text}");
        }
    }
}
