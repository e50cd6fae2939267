//! The disks of a guest of Proxmox's that does not run.

use std::path::Path;

use fleece_guest_config::ConfigFile;
use fleece_storage::{Storages, VolumeId};

use crate::report::error::{Error, ErrorKind};

/// The images of the disks that a backup of the stopped guest with this configuration includes, each as
/// [`Image::named`](crate::native::Image::named) reads it: under the name that the disk has in an archive. Their volumes are
/// made accessible, unless this `is_rehearsal`.
///
/// # Errors
/// Kind [`ErrorKind::Request`] if the configuration cannot be read or names no disk, [`ErrorKind::Storage`] if a volume has
/// no path.
pub fn stopped_images(
    config: &Path,
    storages: &Storages,
    is_rehearsal: bool,
) -> Result<Vec<String>, Error> {
    let unreadable = |error| {
        let message = "cannot read the guest's configuration";
        Error::caused(ErrorKind::Request, message, error)
    };
    let guest = ConfigFile::new(config).load().map_err(unreadable)?;
    let drives = guest.drives().map_err(unreadable)?;
    let mut images = Vec::new();
    for drive in drives.iter().filter(|drive| drive.is_included()) {
        let failed = |error| {
            let message = format!("cannot use the volume {} of {}", drive.volume, drive.key);
            Error::caused(ErrorKind::Storage, message, error)
        };
        let volume: VolumeId = drive.volume.parse().map_err(failed)?;
        let path = match volume.as_path() {
            // A disk or an image that is no storage's.
            Some(path) => path.to_owned(),
            None => {
                let storage = storages.resolve(&volume).map_err(failed)?;
                if !is_rehearsal {
                    storage.activate_volume(&volume).map_err(failed)?;
                }
                storage.path(&volume).map_err(failed)?
            }
        };
        images.push(format!("{}={}", drive.device_name(), path.display()));
    }
    if images.is_empty() {
        let message = "its configuration names no disk that a backup includes";
        return Err(Error::new(ErrorKind::Request, message));
    }
    Ok(images)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_disks_are_those_that_a_backup_includes_under_their_names() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).display().to_string();
        let config = dir.path().join("101.conf");
        let text = format!(
            "bios: ovmf\nefidisk0: {},size=1M\nide2: none,media=cdrom\nscsi0: {},size=1G\nscsi1: {},backup=0\n",
            at("vars.raw"),
            at("a.qcow2"),
            at("b.raw")
        );
        fs::write(&config, text).unwrap();
        for name in ["vars.raw", "a.qcow2"] {
            fs::write(at(name), "x").unwrap();
        }
        let images = stopped_images(&config, &Storages::none(), true).unwrap();
        let expected = [
            format!("drive-efidisk0={}", at("vars.raw")),
            format!("drive-scsi0={}", at("a.qcow2")),
        ];
        assert_eq!(images, expected);

        fs::write(&config, "cores: 1\n").unwrap();
        let error = stopped_images(&config, &Storages::none(), true).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Request);
        fs::write(&config, "scsi0: lost:vm-101-disk-0\n").unwrap();
        let error = stopped_images(&config, &Storages::none(), true).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Storage);
    }
}
