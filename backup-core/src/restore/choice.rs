//! Where disks go, as it is written on a command line.

use std::str::FromStr;

use fleece_storage::VolumeFormat;

/// A storage, and the format of volumes on it: `STORAGE[:FORMAT]`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StorageChoice {
    /// A storage's id, or a directory.
    pub storage: String,
    /// The volumes' format; `None` is the storage's own.
    pub format: Option<VolumeFormat>,
}

impl StorageChoice {
    /// A storage with its own format.
    #[must_use]
    pub fn new(storage: impl Into<String>) -> Self {
        Self {
            storage: storage.into(),
            format: None,
        }
    }
}

impl FromStr for StorageChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (storage, format) = match text.rsplit_once(':') {
            None => (text, None),
            Some((storage, format)) => match format.parse() {
                Ok(format) => (storage, Some(format)),
                Err(_) => return Err(format!("'{format}' is not a format: expected raw or qcow2")),
            },
        };
        match storage.is_empty() {
            true => Err("expected STORAGE or STORAGE:FORMAT".to_owned()),
            false => Ok(Self {
                storage: storage.to_owned(),
                format,
            }),
        }
    }
}

/// What is to become of one disk.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Choice {
    /// It is not restored.
    Skip,
    /// It goes to this storage.
    To(StorageChoice),
}

/// `drive-scsi0=STORAGE[:FORMAT]` or `drive-scsi0=skip`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DiskChoice {
    /// The device's name in the archive, with or without its `drive-`, or its drive's key.
    pub disk: String,
    /// What becomes of it.
    pub choice: Choice,
}

impl FromStr for DiskChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (disk, choice) = text
            .split_once('=')
            .filter(|(disk, choice)| !disk.is_empty() && !choice.is_empty())
            .ok_or("expected DISK=STORAGE, DISK=STORAGE:FORMAT, or DISK=skip")?;
        let choice = match choice {
            "skip" => Choice::Skip,
            storage => Choice::To(storage.parse()?),
        };
        Ok(Self {
            disk: disk.to_owned(),
            choice,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_names_a_disk_and_where_it_goes() {
        let to = |storage: &str, format| {
            let storage = storage.to_owned();
            Choice::To(StorageChoice { storage, format })
        };
        for (text, disk, choice) in [
            ("drive-scsi0=skip", "drive-scsi0", Choice::Skip),
            ("scsi0=fast", "scsi0", to("fast", None)),
            (
                "scsi0=fast:qcow2",
                "scsi0",
                to("fast", Some(VolumeFormat::Qcow2)),
            ),
            (
                "a=/srv/x=y:raw",
                "a",
                to("/srv/x=y", Some(VolumeFormat::Raw)),
            ),
        ] {
            let disk = disk.to_owned();
            assert_eq!(text.parse(), Ok(DiskChoice { disk, choice }));
        }
        for text in [
            "",
            "scsi0",
            "=fast",
            "scsi0=",
            "scsi0=:raw",
            "scsi0=fast:vmdk",
        ] {
            assert!(text.parse::<DiskChoice>().is_err(), "{text}");
        }
    }
}
