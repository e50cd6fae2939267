//! Where an archive and its index go: bare, or compressed with the index inside.

use std::io::Write;

use crate::container::Written;
#[cfg(any(feature = "gzip", feature = "zstd"))]
use crate::container::{FrameOptions, FrameWriter};
use crate::error::{Error, Result};
use crate::extent::Extent;
use crate::header::Header;
use crate::index::ExtentDigest;
#[cfg(all(feature = "index", feature = "zstd"))]
use crate::index::INDEX_FRAME_MAGIC;
use crate::reuse::{Base, Reuse, TakeOver, stretches};

/// How an archive is compressed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Compression {
    /// Not at all.
    None,
    /// Seekable zstd.
    #[cfg(feature = "zstd")]
    Zstd(FrameOptions),
    /// Gzip members.
    #[cfg(feature = "gzip")]
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
    reuse: Option<Reuse<W>>,
    written: u64,
}

enum Archive<W: Write> {
    Plain(W),
    #[cfg(any(feature = "gzip", feature = "zstd"))]
    Framed(FrameWriter<W>),
}

impl<W: Write> Archive<W> {
    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Plain(out) => out,
            #[cfg(any(feature = "gzip", feature = "zstd"))]
            Self::Framed(out) => out,
        }
    }
}

impl<W: Write> Output<W> {
    /// An output for an archive. `index` takes the index of one that is not zstd.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::error::ErrorKind::Unsupported) for a level that does not exist, and for an
    /// `index` in a build without the feature of that name; [`ErrorKind::Io`](crate::error::ErrorKind::Io) if
    /// threads cannot be started.
    pub fn new(
        out: W,
        compression: &Compression,
        index: Option<Box<dyn Write + Send>>,
    ) -> Result<Self> {
        #[cfg(not(feature = "index"))]
        if index.is_some() {
            return Err(crate::index::absent());
        }
        let archive = match compression {
            Compression::None => Archive::Plain(out),
            #[cfg(feature = "gzip")]
            Compression::Gzip(options) => Archive::Framed(FrameWriter::gzip(out, options)?),
            #[cfg(feature = "zstd")]
            Compression::Zstd(options) => {
                return Ok(Self {
                    archive: Archive::Framed(FrameWriter::zstd(out, options)?),
                    index: None,
                    inside: cfg!(feature = "index"),
                    reuse: None,
                    written: 0,
                });
            }
        };
        Ok(Self {
            archive,
            index,
            inside: false,
            reuse: None,
            written: 0,
        })
    }

    /// Takes over what `base` has already of an [aligned](crate::HeaderBuilder::aligned) archive that is bare and gets
    /// an index; of any other, nothing.
    #[must_use]
    pub fn reusing(mut self, base: Base, take_over: Box<dyn TakeOver<W>>) -> Self {
        self.reuse = Some(Reuse::new(base, take_over));
        self
    }

    /// Begins the archive.
    pub(crate) fn begin(&mut self, header: &Header) -> Result<()> {
        if let Some(reuse) = &mut self.reuse {
            reuse.begin(header);
        }
        self.write(header.as_bytes())
    }

    /// Writes an extent, but for what the base has of it.
    pub(crate) fn write_extent(
        &mut self,
        extent: &Extent,
        digest: Option<&ExtentDigest>,
    ) -> Result<()> {
        let bytes = extent.as_bytes();
        let parts = match (&self.reuse, &self.archive, digest) {
            (Some(reuse), Archive::Plain(_), Some(digest)) => reuse.parts(extent, digest),
            _ => Vec::new(),
        };
        for (part, range) in stretches(bytes, &parts) {
            let stretch = bytes.get(range).unwrap_or_default();
            match (part, &mut self.reuse, &mut self.archive) {
                (Some(part), Some(reuse), Archive::Plain(out)) => {
                    reuse.take_over(out, part, bytes)?;
                    self.written = self.written.saturating_add(stretch.len() as u64);
                }
                _ => self.write(stretch)?,
            }
        }
        Ok(())
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
        self.written = self.written.saturating_add(bytes.len() as u64);
        self.archive
            .writer()
            .write_all(bytes)
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
            #[cfg(all(feature = "index", feature = "zstd"))]
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
            #[cfg(any(feature = "gzip", feature = "zstd"))]
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
