//! What no configuration of Proxmox's can say of a machine: `fleece-machine.json`, see `docs/MACHINE.md`.

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};

/// The file's name in an archive.
pub const MACHINE_FILE: &str = "fleece-machine.json";

const FORMAT: &str = "fleece-machine";
/// The only version that there is.
const VERSION: u32 = 1;

/// A machine, beside the guest's configuration. What is not known is left out.
///
/// Whoever reads one from an archive must take it for hostile: all texts are as somebody wrote them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct MachineRecord {
    format: String,
    version: u32,
    /// The machine's type and version, such as `pc-q35-10.0`.
    pub machine: String,
    /// The file of the kernel that QEMU starts, if it starts one itself; no archive holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// The file of that kernel's first file system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initrd: Option<String>,
    /// That kernel's command line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub append: Option<String>,
    /// Threads of each core.
    pub threads: u32,
    /// Flags of the processor on top of its model, as on QEMU's command line: `+aes`, `hv_relaxed=on`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cpu_flags: Vec<String>,
    /// The disks, by their devices in the archive.
    pub disks: Vec<DiskRecord>,
    /// The network cards, in the order of `net0` and so on.
    pub cards: Vec<CardRecord>,
    /// QEMU's command line where it could be read, without secrets; for people.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command_line: Vec<String>,
}

/// How a disk is attached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct DiskRecord {
    /// The device of the archive.
    pub device: String,
    /// QEMU's driver: `virtio-blk-pci`, `scsi-hd`.
    pub driver: String,
    /// Its slot on the first PCI bus.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slot: Option<u32>,
    /// Its SCSI target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<u32>,
    /// Its SCSI unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lun: Option<u32>,
    /// Its serial number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Its world wide name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wwn: Option<u64>,
    /// Rotations a minute; 1 is a solid state disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation_rate: Option<u32>,
    /// Bytes of a sector as the guest sees it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logical_block_size: Option<u32>,
    /// Bytes of a sector of the medium.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub physical_block_size: Option<u32>,
}

/// How a network card is attached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct CardRecord {
    /// Its slot on the first PCI bus.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slot: Option<u32>,
}

impl MachineRecord {
    /// One that says nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            ..Self::default()
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`ErrorKind::Machine`] if it is none, or of a later version.
    pub fn parse(data: &[u8]) -> Result<Self, Error> {
        let broken = |why: String| Error::new(ErrorKind::Machine, why);
        let record: Self = serde_json::from_slice(data)
            .map_err(|error| broken(format!("{MACHINE_FILE} cannot be understood: {error}")))?;
        if record.format != FORMAT {
            return Err(broken(format!(
                "{MACHINE_FILE} is not of the format {FORMAT}"
            )));
        }
        if record.version != VERSION {
            let version = record.version;
            return Err(broken(format!(
                "{MACHINE_FILE} is of version {version}, and only {VERSION} is known here"
            )));
        }
        Ok(record)
    }

    /// The file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // Nothing in it is anything that JSON lacks.
        let mut data = serde_json::to_vec_pretty(self).unwrap_or_default();
        data.push(b'\n');
        data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_others_are_refused() {
        let mut record = MachineRecord::new();
        record.machine = "pc-q35-10.0".to_owned();
        record.cpu_flags = vec!["+aes".to_owned()];
        record.disks.push(DiskRecord {
            device: "drive-scsi0".to_owned(),
            lun: Some(3),
            ..DiskRecord::default()
        });
        let data = record.to_bytes();
        assert_eq!(MachineRecord::parse(&data).unwrap(), record);
        let text = String::from_utf8(data).unwrap();
        for (from, to, words) in [
            ("\"version\": 1", "\"version\": 2", "version 2"),
            ("fleece-machine", "other", "format"),
            ("\"threads\": 0", "\"threads\": -1", "understood"),
            ("{", "", "understood"),
        ] {
            let error = MachineRecord::parse(text.replacen(from, to, 1).as_bytes()).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        }
        // A later one may say more.
        let more = text.replacen('{', "{\"future\": [1],", 1);
        assert_eq!(MachineRecord::parse(more.as_bytes()).unwrap(), record);
    }
}
