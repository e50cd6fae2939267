//! Bytes that can be read anywhere and again: those of a file, or of an object in a store.

use std::borrow::Borrow;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

#[cfg(feature = "object-storage")]
use fleece_object_storage::{Address, ObjectReader, open_address};
use fleece_staged_file::regular::{self, Links};
use fleece_vma_format::ReadAt;

use crate::system;

#[derive(Debug)]
pub(crate) enum Bytes {
    File(File),
    #[cfg(feature = "object-storage")]
    Object(ObjectReader),
}

impl Bytes {
    /// Opens `path` if it is a regular file, a symbolic link to one, or the address of an object.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        match Self::object(path) {
            Some(object) => object,
            None => regular::open(path, Links::Follow).map(Self::File),
        }
    }

    /// The object at an address; `None` if the path is none.
    #[cfg(feature = "object-storage")]
    pub(crate) fn object(path: &Path) -> Option<io::Result<Self>> {
        let address = Address::of(path)?;
        let reader =
            open_address(&address).and_then(|store| ObjectReader::open(store, address.key()));
        Some(reader.map(Self::Object).map_err(io::Error::from))
    }

    #[cfg(not(feature = "object-storage"))]
    pub(crate) const fn object(_path: &Path) -> Option<io::Result<Self>> {
        None
    }

    #[cfg_attr(
        not(feature = "object-storage"),
        expect(clippy::unnecessary_wraps, reason = "an object is none")
    )]
    pub(crate) const fn file(&self) -> Option<&File> {
        match self {
            Self::File(file) => Some(file),
            #[cfg(feature = "object-storage")]
            Self::Object(_) => None,
        }
    }

    /// The same once more.
    pub(crate) fn again(&self) -> io::Result<Self> {
        match self {
            Self::File(file) => file.try_clone().map(Self::File),
            #[cfg(feature = "object-storage")]
            Self::Object(object) => Ok(Self::Object(object.clone())),
        }
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match self {
            Self::File(file) => system::read_at(file, buffer, offset),
            #[cfg(feature = "object-storage")]
            Self::Object(object) => {
                let left = usize::try_from(object.size().saturating_sub(offset));
                let count = left.unwrap_or(usize::MAX).min(buffer.len());
                object.read_exact_at(buffer.get_mut(..count).unwrap_or_default(), offset)?;
                Ok(count)
            }
        }
    }
}

impl ReadAt for Bytes {
    fn size(&self) -> io::Result<u64> {
        match self {
            Self::File(file) => ReadAt::size(file),
            #[cfg(feature = "object-storage")]
            Self::Object(object) => Ok(object.size()),
        }
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        match self {
            Self::File(file) => ReadAt::read_exact_at(file, buffer, offset),
            #[cfg(feature = "object-storage")]
            Self::Object(object) => object.read_exact_at(buffer, offset),
        }
    }
}

impl fleece_encryption::Source for Bytes {
    fn size(&self) -> io::Result<u64> {
        ReadAt::size(self)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        ReadAt::read_exact_at(self, buffer, offset)
    }
}

/// Read from the start, whatever others do with the position that all descriptors of a file share.
pub(crate) struct Forward<B> {
    bytes: B,
    offset: u64,
}

impl<B> Forward<B> {
    pub(crate) const fn new(bytes: B) -> Self {
        Self { bytes, offset: 0 }
    }
}

impl<B: Borrow<Bytes>> Read for Forward<B> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.bytes.borrow().read_at(buffer, self.offset)?;
        self.offset = self.offset.saturating_add(got as u64);
        Ok(got)
    }
}
