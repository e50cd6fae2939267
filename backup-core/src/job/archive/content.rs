//! What goes into an archive beside the disks, and the header that says so.

use std::fs;
use std::io;
use std::path::Path;

use fleece_guest_config::{ConfigFile, Drive, GuestConfig, QmdumpMap};
use fleece_storage::VolumeId;
use fleece_vma_format::{DeviceId, Header, HeaderBuilder, MAX_BLOB_SIZE};

use super::named::NamedFile;
use crate::job::archive::rename::Rename;
use crate::report::Warning;
use crate::report::error::{Error, ErrorKind};

/// The name of a guest's configuration in an archive.
pub(crate) const GUEST_CONFIG: &str = "qemu-server.conf";

/// The name of a TPM's state in an archive: as `swtpm` calls its file.
pub(crate) const TPM_STATE: &str = "tpm2-00.permall";

/// The name of a guest's firewall rules in an archive.
pub(crate) const FIREWALL: &str = "qemu-server.fw";

/// What goes into an archive beside the disks.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Content {
    /// The archive's identity.
    pub uuid: [u8; 16],
    /// When the backup was made, in seconds since 1970.
    pub time: i64,
    /// The guest's own configuration: goes into the archive as `qemu-server.conf`, with a line for each
    /// disk that tells a restore which drive it is.
    pub guest: Option<GuestConfig>,
    /// Which device of the archive is which drive of `guest`, where their names do not tell.
    pub(crate) drives: Option<Vec<QmdumpMap>>,
    /// The guest's firewall rules: go into the archive as `qemu-server.fw`.
    pub firewall: Option<Vec<u8>>,
    /// Other configuration files: name and contents.
    pub configs: Vec<(String, Vec<u8>)>,
    /// Disks that have another name in the archive than their own.
    pub renames: Vec<Rename>,
    /// Whether the archive is aligned, so that archives of one guest can share space, see
    /// [`HeaderBuilder::aligned`].
    pub aligned: bool,
}

impl Content {
    /// Nothing but the disks, in an archive of this identity, made `time` seconds after 1970.
    #[must_use]
    pub fn new(uuid: [u8; 16], time: i64) -> Self {
        Self {
            uuid,
            time,
            guest: None,
            drives: None,
            firewall: None,
            configs: Vec::new(),
            renames: Vec::new(),
            aligned: false,
        }
    }

    /// The same for an archive that is made now, with a random identity.
    #[must_use]
    pub fn now() -> Self {
        let now = crate::clock::now().timestamp().as_second();
        Self::new(uuid::Uuid::new_v4().into_bytes(), now)
    }

    /// Puts files into it, under their names.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Request`] when one cannot be read.
    pub fn add_files(&mut self, files: &[NamedFile]) -> Result<(), Error> {
        for file in files {
            if self.configs.iter().any(|(name, _)| *name == file.name) {
                let message = format!("two files are to be called {} in the archive", file.name);
                return Err(Error::new(ErrorKind::Request, message));
            }
            self.configs.push((file.name.clone(), file.read()?));
        }
        Ok(())
    }

    /// Whether the guest's configuration is among the files.
    #[must_use]
    pub fn has_config(&self) -> bool {
        self.configs.iter().any(|(name, _)| name == GUEST_CONFIG)
    }

    /// The names of all configurations in the archive.
    pub(crate) fn blobs(&self) -> Vec<&str> {
        let guest = self.guest.iter().map(|_| GUEST_CONFIG);
        let firewall = self.firewall.iter().map(|_| FIREWALL);
        let others = self.configs.iter().map(|(name, _)| name.as_str());
        guest.chain(firewall).chain(others).collect()
    }

    /// What a disk is called in the archive.
    pub(crate) fn name<'a>(&'a self, disk: &'a str) -> &'a str {
        let rename = self.renames.iter().find(|rename| rename.is_of(disk));
        rename.map_or(disk, |rename| rename.to.as_str())
    }

    /// Whether each rename is of one of these disks.
    fn check_renames(&self, disks: &[&str]) -> Result<(), Error> {
        let mut of = self.renames.iter();
        let unknown = of.find(|rename| !disks.iter().any(|disk| rename.is_of(disk)));
        let Some(Rename { from, .. }) = unknown else {
            return Ok(());
        };
        let message = format!("no disk '{from}' is backed up, only {}", disks.join(", "));
        Err(Error::new(ErrorKind::Request, message))
    }

    /// Puts the guest's configuration file into it, and its firewall rules if there is such a file.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Request`] when one of them cannot be read.
    pub fn read_guest(&mut self, config: &Path, firewall: Option<&Path>) -> Result<(), Error> {
        let guest = ConfigFile::new(config).load().map_err(|error| {
            let message = "cannot read the guest's configuration";
            Error::caused(ErrorKind::Request, message, error)
        })?;
        self.guest = Some(guest);
        self.firewall = match firewall.map(|path| (path, fs::read(path))) {
            None => None,
            Some((_, Ok(rules))) => Some(rules),
            Some((_, Err(error))) if error.kind() == io::ErrorKind::NotFound => None,
            Some((path, Err(error))) => {
                let message = format!("cannot read the firewall rules {}", path.display());
                return Err(Error::caused(ErrorKind::Request, message, error));
            }
        };
        Ok(())
    }

    /// The same without what is too large for an archive of disks of these names, and a warning for each part.
    pub(crate) fn fitting(&self, disks: &[&str]) -> Result<(Self, Vec<Warning>), Error> {
        let mut content = self.clone();
        let mut warnings = Vec::new();
        let mut warn = |what: &str, size: usize| {
            let message = format!(
                "{what}, {size} bytes, is not in the archive, which holds at most {MAX_BLOB_SIZE} bytes of each \
                 configuration; keep a copy of it"
            );
            warnings.push(Warning::from(message));
        };
        if let Some(rules) = content
            .firewall
            .take_if(|rules| rules.len() > MAX_BLOB_SIZE)
        {
            warn("the file of the guest's firewall rules", rules.len());
        }
        if let Some(text) = content.guest_text(disks)?
            && text.len() > MAX_BLOB_SIZE
        {
            warn("the guest's configuration", text.len());
            content.guest = None;
        }
        Ok((content, warnings))
    }

    /// The guest's configuration as it goes into the archive.
    fn guest_text(&self, disks: &[&str]) -> Result<Option<Vec<u8>>, Error> {
        let Some(guest) = &self.guest else {
            return Ok(None);
        };
        let maps = match &self.drives {
            Some(maps) => maps.clone(),
            None => self.maps(guest, disks)?,
        };
        Ok(Some(guest.archived(&maps)))
    }

    /// The archive's header, with disks of these names and sizes in bytes, and its devices in their order.
    ///
    /// # Errors
    /// [`ErrorKind::Archive`] for what no archive can hold.
    pub(crate) fn header(&self, disks: &[(&str, u64)]) -> Result<(Header, Vec<DeviceId>), Error> {
        let refused = |error| {
            Error::caused(
                ErrorKind::Archive,
                "this does not fit into an archive",
                error,
            )
        };
        let mut builder = HeaderBuilder::new(self.uuid, self.time);
        if self.aligned {
            builder = builder.aligned();
        }
        let names: Vec<&str> = disks.iter().map(|(name, _)| *name).collect();
        self.check_renames(&names)?;
        if let Some(text) = self.guest_text(&names)? {
            builder.add_config(GUEST_CONFIG, text).map_err(refused)?;
        }
        if let Some(rules) = &self.firewall {
            builder
                .add_config(FIREWALL, rules.as_slice())
                .map_err(refused)?;
        }
        for (name, data) in &self.configs {
            builder.add_config(name, data.as_slice()).map_err(refused)?;
        }
        let mut devices = Vec::new();
        for (name, size) in disks {
            devices.push(
                builder
                    .add_device(self.name(name), *size)
                    .map_err(refused)?,
            );
        }
        Ok((builder.build().map_err(refused)?, devices))
    }
}

impl Content {
    /// A map line for each drive of the guest that is among the `disks`, in the order of their keys: a restore
    /// looks for the devices of all of them.
    fn maps(&self, guest: &GuestConfig, disks: &[&str]) -> Result<Vec<QmdumpMap>, Error> {
        let mut drives = guest.drives().map_err(|error| {
            Error::caused(ErrorKind::Request, "cannot read the guest's drives", error)
        })?;
        drives.sort_by(|one, other| one.key.cmp(&other.key));
        let names: Vec<&str> = disks.iter().map(|disk| self.name(disk)).collect();
        let map = |drive: &Drive| {
            let own = drive.device_name();
            // A disk that was given the name of a drive is that drive.
            let device = match disks.contains(&own.as_str()) {
                true => self.name(&own).to_owned(),
                false => own,
            };
            if !names.contains(&device.as_str()) {
                return None;
            }
            let id: Option<VolumeId> = drive.volume.parse().ok();
            let storage = id.as_ref().and_then(VolumeId::storage).unwrap_or_default();
            let ending = drive.volume.rsplit_once('.').map(|(_, ending)| ending);
            let format = drive
                .option("format")
                .or_else(|| ending.filter(|ending| ["raw", "qcow2", "vmdk"].contains(ending)));
            Some(QmdumpMap {
                key: drive.key.clone(),
                device,
                storage: storage.to_owned(),
                format: format.unwrap_or("raw").to_owned(),
            })
        };
        Ok(drives.iter().filter_map(map).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_archived_drive_has_a_map_line_and_no_other() {
        let text = "scsi1: local:7/vm-7-disk-1.qcow2,size=1G\nscsi0: lvm:vm-7-disk-0,size=1G\n\
                    ide0: /srv/disk.img,format=raw\nscsi2: lvm:vm-7-disk-2,backup=0\n";
        let guest = GuestConfig::parse(text).unwrap();
        let mut content = Content::now();
        let mut lines = |disks: &[&str], renames: &[&str]| -> Vec<String> {
            content.renames = renames.iter().map(|text| text.parse().unwrap()).collect();
            let maps = content.maps(&guest, disks).unwrap();
            maps.iter().map(ToString::to_string).collect()
        };
        let renamed = lines(&["d0", "drive-scsi1"], &["d0=scsi0", "scsi1=data"]);
        assert_eq!(
            renamed,
            [
                "#qmdump#map:scsi0:drive-scsi0:lvm:raw:",
                "#qmdump#map:scsi1:data:local:qcow2:"
            ]
        );
        let lines = lines(&["drive-scsi1", "drive-scsi0", "drive-ide0"], &[]);
        assert_eq!(
            lines,
            [
                "#qmdump#map:ide0:drive-ide0::raw:",
                "#qmdump#map:scsi0:drive-scsi0:lvm:raw:",
                "#qmdump#map:scsi1:drive-scsi1:local:qcow2:",
            ]
        );
    }

    #[test]
    fn what_is_too_large_is_left_out_with_a_warning() {
        let mut content = Content::now();
        content.firewall = Some(vec![b'#'; MAX_BLOB_SIZE + 1]);
        content.guest = Some(GuestConfig::parse(format!("#{}\n", "x".repeat(70_000))).unwrap());
        let (fits, warnings) = content.fitting(&[]).unwrap();
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(fits.header(&[("drive-scsi0", 1)]).is_ok());
        content.firewall = Some(vec![b'#'; MAX_BLOB_SIZE]);
        content.guest = None;
        let (fits, warnings) = content.fitting(&[]).unwrap();
        assert!(warnings.is_empty() && fits.firewall.is_some());
    }
}
