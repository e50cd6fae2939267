//! The index within a seekable zstd file.

use std::io::{self, Read};

use super::seek_table::{Entries, SKIPPABLE_HEADER_SIZE};
use crate::error::Result;
use crate::index::INDEX_FRAME_MAGIC;
use crate::random_access::cannot_read;
use crate::read_at::{Cursor, ReadAt};

/// A reader over the index embedded in a seekable zstd file; `None` if there is none.
///
/// # Errors
/// [`ErrorKind::Container`](crate::error::ErrorKind::Container) if the seek table is wrong,
/// [`ErrorKind::Io`](crate::error::ErrorKind::Io).
pub fn embedded_index<S: ReadAt>(source: S) -> Result<Option<EmbeddedIndex<S>>> {
    let Some((entries, _)) = Entries::find(&source)? else {
        return Ok(None);
    };
    let mut index = EmbeddedIndex {
        source,
        entries,
        next: 0,
        current: (0, 0),
    };
    let there = index.next_frame().map_err(cannot_read)?;
    Ok(there.then_some(index))
}

/// The skippable frames of an index, one after the other.
#[derive(Debug)]
pub struct EmbeddedIndex<S> {
    source: S,
    entries: Entries,
    /// Where the next frame begins.
    next: u64,
    /// What is left of the current frame of the index.
    current: (u64, u64),
}

impl<S: ReadAt> EmbeddedIndex<S> {
    /// Goes to the next frame of the index; `false` if there is none.
    fn next_frame(&mut self) -> io::Result<bool> {
        while let Some(frame) = self.entries.next(&self.source)? {
            let at = self.next;
            self.next = at.saturating_add(u64::from(frame.compressed));
            let mut head = [0; SKIPPABLE_HEADER_SIZE];
            if frame.plain == 0 && frame.compressed as usize >= head.len() {
                self.source.read_exact_at(&mut head, at)?;
                if head.starts_with(&INDEX_FRAME_MAGIC.to_le_bytes()) {
                    self.current = (at.saturating_add(head.len() as u64), self.next);
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

impl<S: ReadAt> Read for EmbeddedIndex<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.0 >= self.current.1 {
            if !self.next_frame()? {
                return Ok(0);
            }
        }
        let (start, end) = self.current;
        let got = Cursor::new(&self.source, start, end).read(buffer)?;
        self.current.0 = start.saturating_add(got as u64);
        Ok(got)
    }
}
