//! A qcow2 image that is only read: every kind that QEMU writes, in memory that does not depend on the image.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::chain::{Backing, Chain};
use super::compressed::{self, Compression};
use super::header::{Head, Qcow2Header};
use super::mapping::{Entries, Mapping, OFFSET};
use crate::block::system::open_existing;
use crate::block::{
    Access, BlockStatus, Error, ErrorKind, Extent, Geometry, Operation, RawFile, ReadAt,
    ReadDevice, Result, Status, check_range,
};

/// How much of an L2 table is read at once, in bytes: with clusters of 64 KiB it tells of 32 MiB.
const SLICE: u64 = 4096;

/// How many such parts are kept: enough for some threads that read in different places.
const SLICES: usize = 8;

/// Numbers the readers of a process.
static READERS: AtomicU64 = AtomicU64::new(0);

/// A part of an L2 table: how many bytes of the disk come before it, and its entries; none where there is no table.
type Slice = (u64, Option<Arc<[u8]>>);

pub(super) struct Reader {
    number: u64,
    path: PathBuf,
    header: Qcow2Header,
    entries: Entries,
    compression: Compression,
    /// The image's own file.
    tables: RawFile,
    /// Where the clusters are, if not there.
    data: Option<RawFile>,
    below: Option<Box<dyn ReadDevice>>,
    /// The parts of L2 tables that were used last, the last one first.
    slices: Mutex<Vec<Slice>>,
}

impl Reader {
    pub(super) fn open(path: &Path, backing: Backing) -> Result<Self> {
        Self::open_in(path, Chain::new(backing))
    }

    /// Opens an image that lies above those that `chain` allows.
    pub(super) fn open_in(path: &Path, chain: Chain) -> Result<Self> {
        let failed = |error| Error::from_io(Operation::Open, error).on(path);
        let file = open_existing(path, false).map_err(failed)?;
        // Refuses pipes and directories before anything is read.
        let tables = RawFile::from_file(file.try_clone().map_err(failed)?, path, Access::ReadOnly)?;
        let head = Head::read(&file).map_err(|error| error.on(path))?;
        let header = head.header;
        Ok(Self {
            number: READERS.fetch_add(1, Ordering::Relaxed),
            path: path.to_owned(),
            header,
            entries: header.entries(),
            compression: header.compression().map_err(|error| error.on(path))?,
            tables,
            data: chain.data_file(path, &head)?,
            below: chain.below(path, &head, |path, chain| {
                Ok(Box::new(Self::open_in(path, chain)?))
            })?,
            slices: Mutex::default(),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What is at `offset`, and for how many of the next `len` bytes that holds.
    fn map(&self, offset: u64, len: u64) -> Result<(Mapping, u64)> {
        let span = self.entries.span(SLICE.min(self.header.cluster_size));
        let start = offset.saturating_sub(offset.checked_rem(span).unwrap_or(0));
        let left = span.saturating_sub(offset.saturating_sub(start)).min(len);
        let Some(slice) = self.slice(start, offset)? else {
            return Ok((Mapping::Below, left));
        };
        let at = |place: u64| {
            let entry = self.entries.place(place.saturating_sub(start));
            let entry = usize::try_from(entry).unwrap_or(usize::MAX);
            let entry = slice.get(entry..).unwrap_or_default();
            let within = self.entries.within(place);
            self.entries.mapping(entry, within)
        };
        let wrong = |why| self.damaged(offset, why);
        let (first, mut length) = at(offset).map_err(wrong)?;
        // Behind what is wrong, there is what is right.
        while length < left
            && let Ok((next, more)) = at(offset.saturating_add(length))
            && first.goes_on(length, next)
        {
            length = length.saturating_add(more);
        }
        Ok((first, length.min(left)))
    }

    /// The part of an L2 table whose first entry tells of `start`.
    fn slice(&self, start: u64, offset: u64) -> Result<Option<Arc<[u8]>>> {
        let mut slices = self.slices.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = slices.iter().position(|(of, _)| *of == start) {
            slices.get_mut(..=found).unwrap_or_default().rotate_right(1);
        } else {
            let slice = self.read_slice(start, offset)?;
            slices.truncate(SLICES.saturating_sub(1));
            slices.insert(0, (start, slice));
        }
        Ok(slices.first().and_then(|(_, slice)| slice.clone()))
    }

    fn read_slice(&self, start: u64, offset: u64) -> Result<Option<Arc<[u8]>>> {
        let wrong = |why| self.damaged(offset, why);
        let mut entry = [0; 8];
        let reach = self.entries.reach();
        let place = self.header.l1_entry(start, reach);
        self.table(&mut entry, place, offset)?;
        let table = u64::from_be_bytes(entry) & OFFSET;
        if table == 0 {
            return Ok(None);
        }
        if !table.is_multiple_of(self.header.cluster_size) {
            return Err(wrong("an L2 table does not begin where one can"));
        }
        let size = SLICE.min(self.header.cluster_size);
        let within = self.entries.place(start.checked_rem(reach).unwrap_or(0));
        let mut slice = vec![0; usize::try_from(size).unwrap_or(0)];
        self.table(&mut slice, table.saturating_add(within), offset)?;
        Ok(Some(slice.into()))
    }

    /// Reads a part of a table, which is wholly there.
    fn table(&self, out: &mut [u8], place: u64, offset: u64) -> Result<()> {
        self.tables
            .read_at(out, place)
            .map_err(|error| match error.kind() {
                ErrorKind::OutOfBounds => self.damaged(offset, "the file ends before a table"),
                _ => error,
            })
    }

    /// Reads a part of a cluster. The last one may end with the file; but a file that ends before a cluster has been
    /// cut off, and what is missing is not zeroes.
    fn cluster(&self, out: &mut [u8], place: u64, offset: u64) -> Result<()> {
        let file = self.data.as_ref().unwrap_or(&self.tables);
        let there = usize::try_from(file.size().saturating_sub(place)).unwrap_or(usize::MAX);
        let last = place.saturating_add(out.len().saturating_sub(1) as u64);
        if file.size() <= last.saturating_sub(self.entries.within(last)) {
            return Err(self.damaged(offset, "the file ends before a cluster"));
        }
        let (data, behind) = out.split_at_mut(there.min(out.len()));
        behind.fill(0);
        file.read_at(data, place)
    }

    fn compressed(&self, out: &mut [u8], (place, length): (u64, u64), offset: u64) -> Result<()> {
        let cluster_size = usize::try_from(self.header.cluster_size).unwrap_or(0);
        let within = usize::try_from(self.entries.within(offset)).unwrap_or(0);
        let fill = |cluster: &mut [u8]| {
            // The length is rounded up, perhaps beyond the end of the file.
            let length = length.min(self.tables.size().saturating_sub(place));
            let mut data = vec![0; usize::try_from(length).unwrap_or(0)];
            self.tables.read_at(&mut data, place)?;
            self.compression
                .decompress(&data, cluster)
                .map_err(|error| {
                    self.damaged(offset, "a compressed cluster cannot be decompressed")
                        .caused_by(error)
                })
        };
        if out.len() == cluster_size {
            return fill(out);
        }
        compressed::part(
            (self.number, offset.saturating_sub(within as u64)),
            cluster_size,
            within,
            out,
            fill,
        )
    }

    fn read_below(&self, out: &mut [u8], offset: u64) -> Result<()> {
        let Some(below) = &self.below else {
            out.fill(0);
            return Ok(());
        };
        // It may be smaller.
        let there = usize::try_from(below.size().saturating_sub(offset)).unwrap_or(usize::MAX);
        let (data, behind) = out.split_at_mut(there.min(out.len()));
        behind.fill(0);
        match data {
            [] => Ok(()),
            data => below.read_at(data, offset),
        }
    }

    fn damaged(&self, offset: u64, why: &str) -> Error {
        Error::new(ErrorKind::InvalidFormat, Operation::Read)
            .on(&self.path)
            .at(offset)
            .because(format!("{why}; `qemu-img check` tells how much is damaged"))
    }
}

impl Geometry for Reader {
    fn size(&self) -> u64 {
        self.header.size
    }

    fn alignment(&self) -> u64 {
        self.header.cluster_size
    }
}

impl ReadAt for Reader {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        check_range(Operation::Read, self.size(), offset, buf.len() as u64)?;
        let (mut rest, mut offset) = (buf, offset);
        while !rest.is_empty() {
            let (mapping, length) = self.map(offset, rest.len() as u64)?;
            let length = usize::try_from(length)
                .unwrap_or(usize::MAX)
                .clamp(1, rest.len());
            let (part, behind) = rest.split_at_mut(length);
            match mapping {
                Mapping::Zero => part.fill(0),
                Mapping::Below => self.read_below(part, offset)?,
                Mapping::Data(place) => self.cluster(part, place, offset)?,
                Mapping::Compressed(place, bytes) => {
                    self.compressed(part, (place, bytes), offset)?
                }
            }
            rest = behind;
            offset = offset.saturating_add(length as u64);
        }
        Ok(())
    }
}

impl BlockStatus for Reader {
    fn block_status(&self, offset: u64, len: u64) -> Result<Extent> {
        check_range(Operation::Status, self.size(), offset, len)?;
        if len == 0 {
            let status = Status::Data;
            return Ok(Extent { status, len });
        }
        let (mapping, len) = self.map(offset, len)?;
        let status = match (mapping, &self.below) {
            (Mapping::Zero, _) | (Mapping::Below, None) => Status::Zero,
            (Mapping::Below, Some(below)) => {
                let there = below.size().saturating_sub(offset).min(len);
                return match there {
                    0 => Ok(Extent {
                        status: Status::Zero,
                        len,
                    }),
                    there => below.block_status(offset, there),
                };
            }
            _ => Status::Data,
        };
        Ok(Extent { status, len })
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
