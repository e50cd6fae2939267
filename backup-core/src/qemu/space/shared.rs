//! The room that the guest's own disks need where the fleecing images lie.
//!
//! A sparse disk takes room as the guest writes. If the images are on the same file system, what they take is
//! not there for the guest, which then stands still.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use fleece_fleecing::Session;

/// Files of the guest's disks, and one of the fleecing images.
#[derive(Debug)]
pub(in crate::qemu) struct SharedSpace {
    disks: Vec<(PathBuf, u64)>,
    image: Option<PathBuf>,
}

impl SharedSpace {
    pub(in crate::qemu) fn of(session: &Session<'_>) -> Self {
        let mut images = session.images().iter();
        let image = images.find_map(|image| session.storage().path(image).ok());
        let disks = session.disks().iter();
        let disks = disks.map(|disk| (PathBuf::from(&disk.image), disk.size));
        Self {
            disks: disks.filter(|(path, _)| path.is_absolute()).collect(),
            image,
        }
    }

    /// Bytes that the guest's disks may yet take on the images' file system. It may wait for a storage that
    /// hangs.
    pub(in crate::qemu) fn wanted(&self) -> u64 {
        let Some(place) = self.image.as_ref().and_then(|image| file(image.metadata())) else {
            return 0;
        };
        let disks = self.disks.iter().filter_map(|(path, size)| {
            let disk = file(path.metadata())?;
            (disk.dev() == place.dev()).then(|| yet_to_take(*size, &disk))
        });
        disks.fold(0, u64::saturating_add)
    }
}

fn file(metadata: std::io::Result<Metadata>) -> Option<Metadata> {
    metadata.ok().filter(Metadata::is_file)
}

/// Bytes of a disk of `size` bytes that are holes in its file.
fn yet_to_take(size: u64, disk: &Metadata) -> u64 {
    const SECTOR: u64 = 512;
    size.saturating_sub(disk.blocks().saturating_mul(SECTOR))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt as _;

    use super::*;

    #[test]
    fn a_sparse_disk_wants_its_holes_and_only_where_the_images_are() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        let image = dir.path().join("image");
        let disk = File::create(&path).unwrap();
        disk.set_len(8 << 20).unwrap();
        disk.write_all_at(&[7; 1 << 20], 0).unwrap();
        disk.sync_all().unwrap();
        File::create(&image).unwrap();
        let room = |image| SharedSpace {
            disks: vec![(path.clone(), 8 << 20)],
            image,
        };
        let wanted = room(Some(image)).wanted();
        assert!((6 << 20..=7 << 20).contains(&wanted), "{wanted}");
        assert_eq!(room(Some("/proc/version".into())).wanted(), 0);
        assert_eq!(room(None).wanted(), 0);
    }
}
