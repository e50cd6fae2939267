//! Where an archive and its index go: bare, or compressed with the index inside.

use std::io::Write;

use crate::container::Written;
#[cfg(any(feature = "gzip", feature = "zstd"))]
use crate::container::{FrameOptions, FrameWriter};
use crate::error::{Error, ErrorKind, Result};
use crate::extent::Extent;
use crate::gathered::Gathered;
use crate::header::Header;
use crate::index::ExtentDigest;
#[cfg(all(feature = "index", feature = "zstd"))]
use crate::index::INDEX_FRAME_MAGIC;
#[cfg(feature = "zstd")]
use crate::layout::EXTENT_HEADER_SIZE;
use crate::reuse::{Base, Reuse, Stretch};
#[cfg(feature = "zstd")]
use crate::reuse::{Part, parts};
use crate::take_over::TakeOver;

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
    /// Whether payload is in frames of its own, on boundaries of blocks.
    #[cfg(feature = "zstd")]
    lined_up: bool,
    reuse: Option<Reuse>,
    take_over: Option<Box<dyn TakeOver<W>>>,
    written: u64,
}

enum Archive<W: Write> {
    Plain(Gathered<W>),
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
            Compression::None => Archive::Plain(Gathered::new(out)),
            #[cfg(feature = "gzip")]
            Compression::Gzip(options) => Archive::Framed(FrameWriter::gzip(out, options)?),
            #[cfg(feature = "zstd")]
            Compression::Zstd(options) => {
                let framed = Archive::Framed(FrameWriter::zstd(out, options)?);
                return Ok(Self::with(framed, None, cfg!(feature = "index")));
            }
        };
        Ok(Self::with(archive, index, false))
    }

    const fn with(archive: Archive<W>, index: Option<Box<dyn Write + Send>>, inside: bool) -> Self {
        Self {
            archive,
            index,
            inside,
            #[cfg(feature = "zstd")]
            lined_up: false,
            reuse: None,
            take_over: None,
            written: 0,
        }
    }

    /// Takes over what `base` has already of an [aligned](crate::HeaderBuilder::aligned) archive that gets an index and is
    /// compressed with zstd if the base is, or not at all; of any other, nothing.
    #[must_use]
    pub fn reusing(mut self, base: Base, take_over: Box<dyn TakeOver<W>>) -> Self {
        match &mut self.archive {
            Archive::Plain(_) => self.take_over = Some(take_over),
            #[cfg(any(feature = "gzip", feature = "zstd"))]
            Archive::Framed(out) => out.take_over_with(take_over),
        }
        self.reuse = Some(Reuse::new(base));
        self
    }

    /// Begins the archive.
    pub(crate) fn begin(&mut self, header: &Header) -> Result<()> {
        if let Some(reuse) = &mut self.reuse {
            reuse.begin(header);
        }
        #[cfg(feature = "zstd")]
        {
            self.lined_up = self.inside && header.is_aligned();
        }
        self.write(header.as_bytes())
    }

    /// Writes an extent, but for what the base has of it.
    pub(crate) fn write_extent(
        &mut self,
        extent: &Extent,
        digest: Option<&ExtentDigest>,
    ) -> Result<()> {
        #[cfg(feature = "zstd")]
        if self.lined_up && extent.has_payload() {
            return self.write_frames(extent, digest);
        }
        let (Some(reuse), Some(take_over), Archive::Plain(out), Some(digest)) =
            (&self.reuse, &mut self.take_over, &mut self.archive, digest)
        else {
            return match extent.as_bytes().len() == extent.size() {
                true => self.write(extent.as_bytes()),
                false => Err(nothing_to_take()),
            };
        };
        let bytes = extent.as_bytes();
        let failed = |e| Error::io("cannot write the archive", e);
        let out = out.direct().map_err(failed)?;
        for stretch in reuse.stretches(extent, digest) {
            let done = match stretch {
                Stretch::Here(range) => out.write_all(bytes.get(range).unwrap_or_default()),
                Stretch::Both(range, place) => {
                    take_over.take_over(out, place, bytes.get(range).unwrap_or_default())
                }
                Stretch::There { place, length } => take_over.take_unread(out, place, length),
            };
            done.map_err(failed)?;
        }
        self.written = self.written.saturating_add(extent.size() as u64);
        Ok(())
    }

    /// Writes an extent, its payload in frames of its own, of which those of the base are taken over.
    #[cfg(feature = "zstd")]
    fn write_frames(&mut self, extent: &Extent, digest: Option<&ExtentDigest>) -> Result<()> {
        let bytes = extent.as_bytes();
        let frames = match (&self.reuse, digest) {
            (Some(reuse), Some(digest)) => reuse.frames(extent, digest)?,
            _ if bytes.len() == extent.size() => {
                parts(extent).into_iter().map(Part::Here).collect()
            }
            _ => return Err(nothing_to_take()),
        };
        self.write(bytes.get(..EXTENT_HEADER_SIZE).unwrap_or_default())?;
        let Archive::Framed(out) = &mut self.archive else {
            return Ok(());
        };
        for frame in frames {
            match frame {
                Part::Here(range) => out.aligned_frame(bytes.get(range).unwrap_or_default())?,
                Part::There(place) => out.take_frame(place)?,
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
            Archive::Plain(out) => {
                let out = out
                    .finish()
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

fn nothing_to_take() -> Error {
    let detail = "this output takes nothing over of another archive";
    Error::new(ErrorKind::Unsupported, detail)
}

impl<W: Write> std::fmt::Debug for Output<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output")
            .field("written", &self.written)
            .finish_non_exhaustive()
    }
}
