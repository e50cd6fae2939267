//! Disks of an archive over NBD, as they were when they were backed up.

use std::io;
use std::sync::Arc;

use fleece_nbd::{Export, Extent};
use fleece_vma_format::{Archive, Device, DeviceId, Stretch};

/// How many extents are told at once, of 8 bytes each: whoever reads what is scattered would ask for each otherwise.
const MAX_EXTENTS: usize = 512;

/// A disk of an archive that can be read at any offset.
#[derive(Debug)]
pub struct ArchiveExport {
    archive: Arc<Archive<'static>>,
    device: DeviceId,
    size: u64,
}

impl ArchiveExport {
    /// A device of `archive`.
    #[must_use]
    pub fn new(archive: Arc<Archive<'static>>, device: &Device) -> Self {
        Self {
            archive,
            device: device.id(),
            size: device.size(),
        }
    }
}

impl Export for ArchiveExport {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        Ok(self
            .archive
            .random_access()?
            .read_at(self.device, offset, buffer)?)
    }

    fn block_status(&self, offset: u64, length: u64) -> io::Result<Vec<Extent>> {
        let archive = self.archive.random_access()?;
        let stretches = archive.stretches_at(self.device, offset, length, MAX_EXTENTS)?;
        let extent = |stretch: Stretch| match stretch.data {
            true => Extent::data(stretch.length),
            false => Extent::hole(stretch.length),
        };
        Ok(stretches.into_iter().map(extent).collect())
    }
}
