//! The same disks in another archive.

use std::io::{self, Read, Write};

use crate::error::{Error, ErrorKind, Result};
use crate::extent_writer::ExtentWriter;
use crate::header::{Device, Header, HeaderBuilder};
use crate::layout::DeviceId;
use crate::output::Output;
use crate::pack::Source;
use crate::random_access::{RandomAccess, Stretch};
use crate::read_at::ReadAt;
use crate::reader::Reader;

/// Copies what `reader` reads, extent by extent, to another output; `progress` is called after each.
///
/// # Errors
/// Those of reading and of writing, and that of `progress`.
pub fn copy<R: Read, W: Write>(
    reader: &mut Reader<R>,
    output: Output<W>,
    progress: &mut dyn FnMut(&R) -> Result<()>,
) -> Result<()> {
    let mut writer = ExtentWriter::new(reader.header(), output)?;
    while let Some(extent) = reader.next_extent()? {
        writer.write(extent, &mut |extent| reader.recycle(extent))?;
        progress(reader.get_ref())?;
    }
    writer.finish(&mut drop).map(drop)
}

/// The configs and disks of an archive, to be [packed](crate::pack) once more: one disk after the other, each in order.
#[derive(Debug)]
pub struct Repack<'a, S, I> {
    header: Header,
    disks: Vec<ArchivedDisk<'a, S, I>>,
}

impl<'a, S: ReadAt, I: ReadAt> Repack<'a, S, I> {
    /// All of `archive`, behind a header that is begun with `builder`.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if the archive has RAM state, which has an order of its own.
    pub fn new(archive: &'a RandomAccess<S, I>, mut builder: HeaderBuilder) -> Result<Self> {
        let old = archive.header();
        if old.devices().iter().any(Device::is_vmstate) {
            let detail = "an archive with RAM state cannot be put in another order";
            return Err(Error::new(ErrorKind::Unsupported, detail));
        }
        for config in old.configs() {
            builder.add_config(config.name(), config.data())?;
        }
        let mut disks = Vec::new();
        for device in old.devices() {
            builder.add_device(device.name(), device.size())?;
            disks.push(ArchivedDisk {
                archive,
                device: device.id(),
            });
        }
        Ok(Self {
            header: builder.build()?,
            disks,
        })
    }

    /// The new header.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Its devices, in order.
    #[must_use]
    pub fn sources(&self) -> Vec<&dyn Source> {
        self.disks.iter().map(|disk| disk as _).collect()
    }
}

/// A disk inside an archive.
#[derive(Debug)]
struct ArchivedDisk<'a, S, I> {
    archive: &'a RandomAccess<S, I>,
    device: DeviceId,
}

impl<S: ReadAt, I: ReadAt> Source for ArchivedDisk<'_, S, I> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        Ok(self.archive.read_at(self.device, offset, buffer)?)
    }

    fn stretch_at(&self, offset: u64, _: u64) -> io::Result<Stretch> {
        Ok(self.archive.stretch_at(self.device, offset)?)
    }
}

/// A uuid that depends on the names and sizes of the devices alone: the same for every backup of a guest, so that
/// what did not change is the same bytes in each.
#[cfg(feature = "index")]
#[must_use]
pub fn stable_uuid(header: &Header) -> [u8; 16] {
    use sha2::{Digest as _, Sha256};

    let mut names = String::from("fleece optimize 1");
    for device in header.devices() {
        names.push_str(&format!("\n{} {}", device.name(), device.size()));
    }
    let digest: [u8; 32] = Sha256::digest(names.as_bytes()).into();
    let mut uuid = digest.first_chunk().copied().unwrap_or_default();
    // Version 8 of RFC 9562, a rule of one's own, and its variant.
    for (place, bits, mark) in [(6, 0x0f, 0x80), (8, 0x3f, 0x80)] {
        if let Some(byte) = uuid.get_mut(place) {
            *byte = (*byte & bits) | mark;
        }
    }
    uuid
}

#[cfg(all(test, feature = "index"))]
mod tests {
    use super::*;

    #[test]
    fn a_stable_uuid_changes_with_the_devices_alone() {
        let header = |uuid, size| {
            let mut builder = HeaderBuilder::new([uuid; 16], i64::from(uuid));
            builder.add_device("drive-scsi0", size).unwrap();
            builder.build().unwrap()
        };
        let uuid = stable_uuid(&header(1, 65_536));
        assert_eq!(uuid, stable_uuid(&header(2, 65_536)));
        assert_ne!(uuid, stable_uuid(&header(1, 131_072)));
        assert_eq!((uuid[6] >> 4, uuid[8] >> 6), (8, 2));
    }
}
