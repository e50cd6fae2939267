//! Where an archive and its index go: bare, or compressed with the index inside.

use std::io::Write;

use crate::container::{FrameOptions, FrameWriter, Written};
use crate::error::{Error, Result};
use crate::index::INDEX_FRAME_MAGIC;

/// How an archive is compressed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Compression {
    /// Not at all.
    None,
    /// Seekable zstd.
    Zstd(FrameOptions),
    /// Gzip members.
    Gzip(FrameOptions),
}

/// Takes the bytes of an archive and of its index, and puts them where they belong.
///
/// In zstd, the index goes into skippable frames between the others; otherwise into a writer of
/// its own, if there is one.
pub struct Output<W: Write> {
    archive: Archive<W>,
    index: Option<Box<dyn Write + Send>>,
    inside: bool,
    written: u64,
}

enum Archive<W: Write> {
    Plain(W),
    Framed(FrameWriter<W>),
}

impl<W: Write> Output<W> {
    /// An output for an archive. `index` takes the index of one that is not zstd.
    ///
    /// # Errors
    /// As [`FrameWriter::zstd`] and [`FrameWriter::gzip`].
    pub fn new(
        out: W,
        compression: &Compression,
        index: Option<Box<dyn Write + Send>>,
    ) -> Result<Self> {
        let (archive, index) = match compression {
            Compression::None => (Archive::Plain(out), index),
            Compression::Gzip(options) => {
                (Archive::Framed(FrameWriter::gzip(out, options)?), index)
            }
            Compression::Zstd(options) => (Archive::Framed(FrameWriter::zstd(out, options)?), None),
        };
        Ok(Self {
            archive,
            index,
            inside: matches!(compression, Compression::Zstd(_)),
            written: 0,
        })
    }

    /// Leaves the index out.
    #[must_use]
    pub fn without_index(mut self) -> Self {
        self.index = None;
        self.inside = false;
        self
    }

    /// Writes the next bytes of the archive.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::error::ErrorKind::Io).
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let out: &mut dyn Write = match &mut self.archive {
            Archive::Plain(out) => out,
            Archive::Framed(out) => out,
        };
        self.written = self.written.saturating_add(bytes.len() as u64);
        out.write_all(bytes)
            .map_err(|e| Error::io("cannot write the archive", e))
    }

    /// Writes the next bytes of the index; they are dropped if there is no place for one.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::error::ErrorKind::Io).
    pub fn write_index(&mut self, bytes: &[u8]) -> Result<()> {
        match (&mut self.archive, &mut self.index) {
            (_, Some(index)) => index
                .write_all(bytes)
                .map_err(|e| Error::io("cannot write the index", e)),
            (Archive::Framed(out), None) if self.inside => out.skippable(INDEX_FRAME_MAGIC, bytes),
            _ => Ok(()),
        }
    }

    /// Whether an index would go anywhere.
    #[must_use]
    pub fn wants_index(&self) -> bool {
        self.index.is_some() || self.inside
    }

    /// Ends and flushes everything, and gives the archive's output back.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::error::ErrorKind::Io).
    pub fn finish(mut self) -> Result<(W, Written)> {
        if let Some(mut index) = self.index.take() {
            index
                .flush()
                .map_err(|e| Error::io("cannot write the index", e))?;
        }
        match self.archive {
            Archive::Plain(mut out) => {
                out.flush()
                    .map_err(|e| Error::io("cannot write the archive", e))?;
                Ok((
                    out,
                    Written {
                        plain: self.written,
                        compressed: self.written,
                        frames: 0,
                    },
                ))
            }
            Archive::Framed(out) => out.finish(),
        }
    }
}

impl<W: Write> std::fmt::Debug for Output<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output")
            .field("written", &self.written)
            .finish_non_exhaustive()
    }
}
