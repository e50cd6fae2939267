//! Checking what is read at any place of an archive.

mod sheet;

use std::collections::VecDeque;
use std::io::BufReader;
use std::sync::{Arc, Mutex, PoisonError};

use self::sheet::{Payload, Sheet};
use super::algorithm::Algorithm;
use super::parse::Format;
use super::reader::{IndexReader, Pieces, damaged};
use super::sum::Sum;
use crate::error::cannot_read;
use crate::error::{Error, ErrorKind, Result};
use crate::extent::run::Run;
use crate::header::Header;
use crate::read_at::{Cursor, ReadAt};

/// The checksums of an index, fetched when they are needed.
#[derive(Debug)]
pub(crate) struct Checks<I> {
    index: I,
    size: u64,
    format: Format,
    pieces: Vec<PiecePlace>,
    sheets: Recent<Sheet>,
    /// Sound clusters of which only a part was asked for: who reads in small steps soon needs the next.
    clusters: Recent<[u8]>,
}

/// Where a piece is in the index, and where the first of its extents is in the archive.
#[derive(Debug, Clone, Copy)]
struct PiecePlace {
    index: u64,
    extent: u64,
}

/// The most pieces that are kept track of, at 16 bytes each: 4 MiB, for 60 TiB of payload.
const MAX_PIECES: usize = 1 << 18;

/// How many pieces' checksums are kept: up to 1 MiB each, for 230 MiB of payload.
const RECENT_SHEETS: usize = 8;

/// How many clusters are kept, of up to 64 KiB each.
const RECENT_CLUSTERS: usize = 16;

impl<I: ReadAt> Checks<I> {
    /// Reads the whole index of the archive with this header, and gives offset and clusters of each extent. Says
    /// also how long the archive must be.
    pub(crate) fn read(
        index: I,
        header: &Header,
        extent: &mut dyn FnMut(u64, &[Run]) -> Result<()>,
    ) -> Result<(Self, u64)> {
        let size = index.size().map_err(cannot_read)?;
        let mut reader = IndexReader::new(BufReader::new(Cursor::new(&index, 0, size)))?;
        reader.check(header)?;
        let mut pieces: Vec<PiecePlace> = Vec::new();
        while let Some(record) = reader.next_record()? {
            let place = reader.piece_begin();
            if pieces.last().is_none_or(|last| last.index != place) {
                if pieces.len() >= MAX_PIECES {
                    let detail = "the index has too many pieces for reading at any place";
                    return Err(Error::new(ErrorKind::Unsupported, detail));
                }
                pieces.push(PiecePlace {
                    index: place,
                    extent: record.offset(),
                });
            }
            extent(record.offset(), record.digest().runs())?;
        }
        let (archive, format) = (reader.offset(), reader.format());
        let checks = Self {
            index,
            size,
            format,
            pieces,
            sheets: Recent::new(RECENT_SHEETS),
            clusters: Recent::new(RECENT_CLUSTERS),
        };
        Ok((checks, archive))
    }

    /// Fills `buffer` with payload of one extent, from `place` in the archive on.
    ///
    /// # Errors
    /// [`ErrorKind::Payload`] if it is not what the index knows; [`ErrorKind::Index`] if the index has become
    /// another; what `source` says.
    pub(crate) fn read_exact_at(
        &self,
        source: &impl ReadAt,
        place: u64,
        buffer: &mut [u8],
    ) -> Result<()> {
        let sheet = self.sheet(place)?;
        let (mut place, mut rest) = (place, buffer);
        while !rest.is_empty() {
            let clusters = sheet.from(place).ok_or_else(changed)?;
            let whole = Sheet::whole(clusters, place, rest.len());
            let length = if whole.is_empty() {
                let first = clusters.first().ok_or_else(changed)?;
                self.part(source, first, place, rest)?
            } else {
                let length = whole.iter().map(|cluster| cluster.length).sum();
                let part = rest.get_mut(..length).unwrap_or_default();
                source.read_exact_at(part, place).map_err(cannot_read)?;
                check(whole, part)?;
                length
            };
            place = place.saturating_add(length as u64);
            rest = rest.get_mut(length..).unwrap_or_default();
        }
        Ok(())
    }

    /// Fills the start of `buffer` with the cluster's payload from `place` on; says how much that is.
    fn part(
        &self,
        source: &impl ReadAt,
        cluster: &Payload,
        place: u64,
        buffer: &mut [u8],
    ) -> Result<usize> {
        let data = self.clusters.get(cluster.place, || {
            let mut data = vec![0; cluster.length];
            let read = source.read_exact_at(&mut data, cluster.place);
            read.map_err(cannot_read)?;
            cluster.check(&data)?;
            Ok(data.into())
        })?;
        let skip = usize::try_from(place.saturating_sub(cluster.place)).unwrap_or(usize::MAX);
        let data = data.get(skip..).unwrap_or_default();
        let length = data.len().min(buffer.len());
        let pairs = buffer.get_mut(..length).zip(data.get(..length));
        pairs
            .map(|(buffer, data)| buffer.copy_from_slice(data))
            .ok_or_else(changed)?;
        Ok(length)
    }

    /// Reads the index once more, and gives offset and clusters of each extent.
    pub(crate) fn extents(&self, extent: &mut dyn FnMut(u64, &[Run]) -> Result<()>) -> Result<()> {
        let mut reader = IndexReader::new(BufReader::new(Cursor::new(&self.index, 0, self.size)))?;
        while let Some(record) = reader.next_record()? {
            extent(record.offset(), record.digest().runs())?;
        }
        Ok(())
    }

    /// Whether the checksums are of the kind that is written.
    pub(crate) fn are_current(&self) -> bool {
        self.format == Format::Two(Algorithm::CURRENT)
    }

    /// The checksum of the cluster whose payload begins at `place`.
    pub(crate) fn sum_at(&self, place: u64) -> Option<Sum> {
        let sheet = self.sheet(place).ok()?;
        let first = *sheet.from(place)?.first()?;
        (first.place == place).then_some(first.sum)
    }

    /// The checksums around a place of the archive.
    fn sheet(&self, place: u64) -> Result<Arc<Sheet>> {
        let after = self.pieces.partition_point(|piece| piece.extent <= place);
        let piece = after.checked_sub(1).and_then(|last| self.pieces.get(last));
        let piece = *piece.ok_or_else(changed)?;
        self.sheets.get(piece.index, || {
            let input = Cursor::new(&self.index, piece.index, self.size);
            let read = Pieces::new(input).next()?.ok_or_else(changed)?;
            let extents = read.extents(self.format)?;
            if extents.offset != piece.extent {
                return Err(changed());
            }
            Ok(Arc::new(Sheet::new(&extents)))
        })
    }
}

/// That `bytes` are these clusters, one after the other.
fn check(clusters: &[Payload], bytes: &[u8]) -> Result<()> {
    let mut unchecked = bytes;
    for cluster in clusters {
        let parts = unchecked.split_at_checked(cluster.length);
        let (blocks, rest) = parts.ok_or_else(changed)?;
        cluster.check(blocks)?;
        unchecked = rest;
    }
    Ok(())
}

fn changed() -> Error {
    damaged("it has changed since it was opened")
}

/// What was needed last, the latest first.
#[derive(Debug)]
struct Recent<T: ?Sized> {
    kept: Mutex<VecDeque<(u64, Arc<T>)>>,
    most: usize,
}

impl<T: ?Sized> Recent<T> {
    fn new(most: usize) -> Self {
        Self {
            kept: Mutex::default(),
            most,
        }
    }

    /// What has this key, made if it is not there. Others do not wait while it is made.
    fn get(&self, key: u64, make: impl FnOnce() -> Result<Arc<T>>) -> Result<Arc<T>> {
        if let Some(known) = self.find(key) {
            return Ok(known);
        }
        let made = make()?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.truncate(self.most.saturating_sub(1));
        kept.push_front((key, Arc::clone(&made)));
        Ok(made)
    }

    fn find(&self, key: u64) -> Option<Arc<T>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|(known, _)| *known == key)?;
        let found = kept.remove(at)?;
        let value = Arc::clone(&found.1);
        kept.push_front(found);
        Some(value)
    }
}

/// Looks each place up that the records give.
#[cfg(feature = "full")]
pub(super) fn fuzz(extents: &super::parse::Extents) {
    let sheet = Sheet::new(extents);
    let mut place = extents.offset;
    while let Some([first, ..]) = sheet.from(place) {
        place = first.place.saturating_add(first.length as u64);
    }
}
