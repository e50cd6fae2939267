//! Filling an image through `rbd import-diff`, which takes what is to be written from a stream, in any
//! order (Ceph's documentation, "RBD incremental backup", version 1 of the format). So neither librbd nor a
//! kernel with RBD is needed.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::block::{self, ErrorKind, Geometry, Operation, WriteAt, check_range};
use crate::error::Error;
use crate::exec::Feed;

const MAGIC: &[u8] = b"rbd diff v1\n";
/// `rbd` keeps each piece in memory, ten at a time. Objects have this many bytes.
const MAX_PIECE: usize = 4 << 20;
/// How long a cluster may take nothing, and how long it may take to store what is on its way.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How long `rbd` may take to let go of an image that is given up.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// An image that is written.
#[derive(Debug)]
pub(super) struct Import {
    argv: Vec<String>,
    size: u64,
    /// The program that writes, from the first write to a flush.
    feed: Mutex<Option<Feed>>,
}

impl Import {
    /// `argv` is a program that takes a difference on its standard input.
    pub(super) fn new(argv: Vec<String>, size: u64) -> Self {
        Self {
            argv,
            size,
            feed: Mutex::new(None),
        }
    }

    /// Writes one record, in one go: several threads write.
    fn record(&self, head: &[u8], data: &[u8]) -> Result<(), Error> {
        let mut feed = self.feed.lock().unwrap_or_else(PoisonError::into_inner);
        let feed = match &mut *feed {
            Some(feed) => feed,
            none => {
                let argv: Vec<&str> = self.argv.iter().map(String::as_str).collect();
                let feed = none.insert(Feed::start(&argv, TIMEOUT)?);
                feed.write(MAGIC)?;
                feed
            }
        };
        feed.write(head)?;
        feed.write(data)
    }
}

/// A record about a range: its tag, its offset and its length.
fn head(tag: u8, offset: u64, length: u64) -> Vec<u8> {
    let mut head = vec![tag];
    head.extend(offset.to_le_bytes());
    head.extend(length.to_le_bytes());
    head
}

fn failed(operation: Operation, offset: u64, error: Error) -> block::Error {
    block::Error::new(ErrorKind::Io, operation)
        .at(offset)
        .caused_by(error)
}

impl Geometry for Import {
    fn size(&self) -> u64 {
        self.size
    }
}

impl WriteAt for Import {
    fn write_at(&self, buf: &[u8], offset: u64) -> block::Result<()> {
        check_range(Operation::Write, self.size, offset, buf.len() as u64)?;
        let mut at = offset;
        for piece in buf.chunks(MAX_PIECE) {
            let length = piece.len() as u64;
            self.record(&head(b'w', at, length), piece)
                .map_err(|error| failed(Operation::Write, at, error))?;
            at = at.saturating_add(length);
        }
        Ok(())
    }

    fn write_zeroes(&self, offset: u64, len: u64) -> block::Result<()> {
        check_range(Operation::WriteZeroes, self.size, offset, len)?;
        if len == 0 {
            return Ok(());
        }
        self.record(&head(b'z', offset, len), &[])
            .map_err(|error| failed(Operation::WriteZeroes, offset, error))
    }

    fn flush(&self) -> block::Result<()> {
        let feed = self
            .feed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(mut feed) = feed else {
            return Ok(());
        };
        feed.write(b"e")
            .and_then(|()| feed.finish(TIMEOUT))
            .map_err(|error| block::Error::new(ErrorKind::Io, Operation::Flush).caused_by(error))
    }
}

impl Drop for Import {
    fn drop(&mut self) {
        // If it was not flushed the image is of no use, but `rbd` must let go of it: what a client holds that
        // died cannot be removed for half a minute.
        let feed = self.feed.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut feed) = feed.take() {
            let _ = feed.finish(LAST_WORDS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_become_records_of_a_difference_each_time_up_to_a_flush() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("diff");
        let script = format!("cat >> {}", path.display());
        let image = Import::new(["sh", "-c", &script].map(str::to_owned).into(), 1 << 20);
        image.flush().unwrap();
        image.write_at(b"second", 4096).unwrap();
        image.write_at(b"first", 0).unwrap();
        image.write_zeroes(8192, 512).unwrap();
        image.flush().unwrap();
        image.write_at(b"x", (1 << 20) - 1).unwrap();
        image.flush().unwrap();
        let mut expected: Vec<u8> = Vec::new();
        expected.extend(b"rbd diff v1\nw\x00\x10\0\0\0\0\0\0\x06\0\0\0\0\0\0\0second");
        expected.extend(b"w\0\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0first");
        expected.extend(b"z\x00\x20\0\0\0\0\0\0\x00\x02\0\0\0\0\0\0e");
        expected.extend(b"rbd diff v1\nw\xff\xff\x0f\0\0\0\0\0\x01\0\0\0\0\0\0\0xe");
        assert_eq!(std::fs::read(path).unwrap(), expected);
        let beyond = image.write_at(b"xy", (1 << 20) - 1).unwrap_err();
        assert_eq!(beyond.kind(), ErrorKind::OutOfBounds);
    }
}
