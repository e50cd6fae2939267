//! What is known of an archive as a whole.

use crate::archive::Archive;
use crate::container::Stream;
use crate::error::Result;
use crate::reader::Reader;

/// How large an archive is, how much of that each device takes, and how it can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Survey {
    /// Its size in bytes, without its container.
    pub size: u64,
    /// How many bytes its container has, if all of it had to be read.
    pub read: Option<u64>,
    /// How many extents it has.
    pub extents: u64,
    /// Whether the clusters of each device are in order.
    pub in_order: bool,
    /// Whether any device can be read at any offset.
    pub random_access: bool,
    /// How many bytes are stored of each device, in the order of the header.
    pub stored: Vec<u64>,
}

impl Archive<'_> {
    /// Looks at the headers of all extents. Of an archive that cannot be read anywhere, all is read.
    ///
    /// # Errors
    /// Those of [`reader`](Self::reader) and [`random_access`](Self::random_access).
    pub fn survey(&mut self) -> Result<Survey> {
        let Some(archive) = self.if_random_access()? else {
            return from_front_to_back(self.reader()?);
        };
        let devices = archive.header().devices().iter();
        Ok(Survey {
            size: archive.size(),
            read: None,
            extents: archive.extents(),
            in_order: archive.in_order(),
            random_access: true,
            stored: devices.map(|device| archive.stored(device.id())).collect(),
        })
    }
}

fn from_front_to_back(mut reader: Reader<Stream<'_>>) -> Result<Survey> {
    let header = reader.header().clone();
    let devices = header.devices();
    let mut stored = vec![0_u64; devices.len()];
    let mut last = vec![None; devices.len()];
    let (mut extents, mut in_order) = (0_u64, true);
    while let Some(extent) = reader.next_extent()? {
        for entry in extent.header().entries() {
            let place = devices
                .iter()
                .position(|device| device.id() == entry.device());
            let Some(place) = place else { continue };
            if let (Some(sum), Some(last)) = (stored.get_mut(place), last.get_mut(place)) {
                *sum = sum.saturating_add(entry.stored() as u64);
                let before = last.replace(entry.index());
                in_order &= before.is_none_or(|before| before < entry.index());
            }
        }
        extents = extents.saturating_add(1);
        reader.recycle(extent);
    }
    Ok(Survey {
        size: reader.offset(),
        read: Some(reader.get_ref().consumed()),
        extents,
        in_order,
        random_access: false,
        stored,
    })
}
