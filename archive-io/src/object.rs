//! Archives in object storage.

use std::io::{self, Read};
use std::path::Path;

use fleece_object_storage::{Address, ObjectReader, open_address};
use fleece_vma_format::ReadAt;

/// An object that is read at any offset.
#[derive(Clone, Debug)]
pub(crate) struct Object(ObjectReader);

impl Object {
    /// The object at an address; `None` if the path is none.
    pub(crate) fn open(path: &Path) -> Option<io::Result<Self>> {
        let address = Address::of(path)?;
        let reader = open_address(&address)
            .and_then(|store| ObjectReader::open(store, address.key()))
            .map_err(io::Error::from);
        Some(reader.map(Self))
    }

    pub(crate) fn len(&self) -> u64 {
        self.0.size()
    }

    /// From its start.
    pub(crate) fn forward(&self) -> impl Read + Send + use<> {
        Forward {
            object: self.clone(),
            offset: 0,
        }
    }
}

impl ReadAt for Object {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.size())
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }
}

struct Forward {
    object: Object,
    offset: u64,
}

impl Read for Forward {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.object.len().saturating_sub(self.offset);
        let count = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let (now, _) = buffer.split_at_mut(count);
        self.object.read_exact_at(now, self.offset)?;
        self.offset = self.offset.saturating_add(count as u64);
        Ok(count)
    }
}
