//! The index within a seekable zstd file.

use std::io::{self, Read};

use super::seek_table::{Entries, SKIPPABLE_HEADER_SIZE};
use crate::error::cannot_read;
use crate::error::{Error, ErrorKind, Result};
use crate::index::INDEX_FRAME_MAGIC;
use crate::read_at::ReadAt;

/// The most frames that an index may be in, at 16 bytes each: 4 MiB. We write a frame for each piece.
const MAX_FRAMES: usize = 1 << 18;

/// Finds the index embedded in a seekable zstd file; `None` if there is none.
///
/// # Errors
/// [`ErrorKind::Container`] if the seek table is wrong, [`ErrorKind::Unsupported`] if the index is in too many
/// parts, [`ErrorKind::Io`].
pub fn embedded_index<S: ReadAt>(source: S) -> Result<Option<EmbeddedIndex<S>>> {
    let Some((mut entries, _)) = Entries::find(&source)? else {
        return Ok(None);
    };
    let (mut frames, mut size, mut next) = (Vec::new(), 0_u64, 0_u64);
    while let Some(entry) = entries.next(&source).map_err(cannot_read)? {
        let at = next;
        next = at.saturating_add(u64::from(entry.compressed));
        let mut head = [0; SKIPPABLE_HEADER_SIZE];
        let length = u64::from(entry.compressed).saturating_sub(head.len() as u64);
        if entry.plain != 0 || length == 0 {
            continue;
        }
        source.read_exact_at(&mut head, at).map_err(cannot_read)?;
        if !head.starts_with(&INDEX_FRAME_MAGIC.to_le_bytes()) {
            continue;
        }
        if frames.len() >= MAX_FRAMES {
            let detail = "the index is in too many parts";
            return Err(Error::new(ErrorKind::Unsupported, detail));
        }
        frames.push(Frame {
            begin: size,
            place: at.saturating_add(head.len() as u64),
        });
        size = size.saturating_add(length);
    }
    Ok((!frames.is_empty()).then_some(EmbeddedIndex {
        source,
        frames,
        size,
        position: 0,
    }))
}

/// An index in skippable frames: to be read from front to back, or anywhere.
#[derive(Debug)]
pub struct EmbeddedIndex<S> {
    source: S,
    frames: Vec<Frame>,
    size: u64,
    /// Up to where it has been read from front to back.
    position: u64,
}

/// Contents of a skippable frame.
#[derive(Debug, Clone, Copy)]
struct Frame {
    /// Where they begin in the index.
    begin: u64,
    /// Where they are in the file.
    place: u64,
}

impl<S: ReadAt> EmbeddedIndex<S> {
    /// Reads what one frame has from `offset` on.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let after = self.frames.partition_point(|frame| frame.begin <= offset);
        let frame = after.checked_sub(1).and_then(|last| self.frames.get(last));
        let end = self.frames.get(after).map_or(self.size, |next| next.begin);
        let left = usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX);
        let length = left.min(buffer.len());
        if let (Some(frame), Some(part)) = (frame, buffer.get_mut(..length)) {
            let place = offset
                .saturating_sub(frame.begin)
                .saturating_add(frame.place);
            self.source.read_exact_at(part, place)?;
        }
        Ok(length)
    }
}

impl<S: ReadAt> Read for EmbeddedIndex<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.read_at(buffer, self.position)?;
        self.position = self.position.saturating_add(got as u64);
        Ok(got)
    }
}

impl<S: ReadAt> ReadAt for EmbeddedIndex<S> {
    fn size(&self) -> io::Result<u64> {
        Ok(self.size)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let (mut at, mut rest) = (offset, buffer);
        while !rest.is_empty() {
            let got = self.read_at(rest, at)?;
            if got == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            at = at.saturating_add(got as u64);
            rest = rest.get_mut(got..).unwrap_or_default();
        }
        Ok(())
    }
}
