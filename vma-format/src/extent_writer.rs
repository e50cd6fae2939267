//! Finished extents to an output, and the index of them along with it.

use std::io::Write;

use crate::aligned::Padding;
use crate::container::Written;
use crate::error::Result;
use crate::extent::Extent;
use crate::header::Header;
use crate::index::{ExtentDigest, IndexBuilder};
use crate::layout::EXTENT_HEADER_SIZE;
use crate::ordered::Ordered;
use crate::output::Output;
use crate::threads::default_threads;

/// An output that gets extents in order, and their index along with them if it takes one.
#[derive(Debug)]
pub(crate) struct IndexedOutput<W: Write> {
    output: Output<W>,
    index: Option<IndexBuilder>,
    padding: Padding,
    extents: u64,
}

impl<W: Write> IndexedOutput<W> {
    /// Begins the archive with its header.
    pub(crate) fn new(header: &Header, mut output: Output<W>) -> Result<Self> {
        output.begin(header)?;
        let index = if output.wants_index() {
            let (builder, piece) = IndexBuilder::new(header);
            output.write_index(&piece)?;
            Some(builder)
        } else {
            None
        };
        Ok(Self {
            output,
            index,
            padding: Padding::new(header),
            extents: 0,
        })
    }

    /// Whether extents need a digest.
    pub(crate) const fn is_indexed(&self) -> bool {
        self.index.is_some()
    }

    /// Writes the next extent, and what pads an aligned archive before it.
    pub(crate) fn write(&mut self, extent: &Extent, digest: Option<&ExtentDigest>) -> Result<()> {
        if let Some((empty, count)) = self.padding.before(extent) {
            for _ in 0..count {
                self.output.write(empty.as_bytes())?;
                self.extents = self.extents.saturating_add(1);
                add(&mut self.index, &mut self.output, &ExtentDigest::of(empty))?;
            }
        }
        self.output.write_extent(extent, digest)?;
        self.extents = self.extents.saturating_add(1);
        match digest {
            Some(digest) => add(&mut self.index, &mut self.output, digest),
            None => Ok(()),
        }
    }

    /// Where the next extent will begin, padding left aside.
    pub(crate) const fn offset(&self) -> u64 {
        self.padding.offset()
    }

    /// How many extents have been written, padding included.
    pub(crate) const fn extents(&self) -> u64 {
        self.extents
    }

    /// Writes the end of the index, and all that is left.
    pub(crate) fn finish(mut self) -> Result<(W, Written)> {
        if let Some(index) = self.index {
            self.output.write_index(&index.finish())?;
        }
        self.output.finish()
    }
}

/// Adds an extent to the index, if there is one.
fn add<W: Write>(
    index: &mut Option<IndexBuilder>,
    output: &mut Output<W>,
    digest: &ExtentDigest,
) -> Result<()> {
    match index
        .as_mut()
        .map(|index| index.extent(digest))
        .transpose()?
    {
        Some(Some(piece)) => output.write_index(&piece),
        _ => Ok(()),
    }
}

/// Writes extents in the order in which they come. If the output takes an index, its checksums are
/// made on threads of their own.
#[derive(Debug)]
pub struct ExtentWriter<W: Write> {
    output: IndexedOutput<W>,
    digests: Option<Ordered<Extent, (ExtentDigest, Extent)>>,
    /// How many extents may wait for their checksums.
    max_pending: usize,
}

/// How many threads make checksums at most: the archive itself is written by one.
const MAX_THREADS: usize = 4;

impl<W: Write> ExtentWriter<W> {
    /// Begins the archive with its header.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::error::ErrorKind::Io).
    pub fn new(header: &Header, output: Output<W>) -> Result<Self> {
        let output = IndexedOutput::new(header, output)?;
        let make = || Ok(|extent: Extent| Ok((ExtentDigest::of(&extent), extent)));
        let threads = default_threads().min(MAX_THREADS);
        let digests = output
            .is_indexed()
            .then(|| Ordered::new(threads, make))
            .transpose()?;
        Ok(Self {
            output,
            digests,
            max_pending: threads,
        })
    }

    /// Writes the next extent, now or a little later; `recycle` gets those that have been written.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::error::ErrorKind::Io).
    pub fn write(&mut self, extent: Extent, recycle: &mut dyn FnMut(Extent)) -> Result<()> {
        match &mut self.digests {
            Some(digests) => {
                if extent.as_bytes().len() > EXTENT_HEADER_SIZE {
                    digests.submit(extent);
                } else {
                    // To hand a header over would take longer than to make its checksum.
                    digests.submit_done((ExtentDigest::of(&extent), extent));
                }
                self.drain(self.max_pending, recycle)
            }
            None => {
                self.output.write(&extent, None)?;
                recycle(extent);
                Ok(())
            }
        }
    }

    /// Writes what is left, and the end of the index.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::error::ErrorKind::Io).
    pub fn finish(mut self, recycle: &mut dyn FnMut(Extent)) -> Result<(W, Written)> {
        self.drain(0, recycle)?;
        self.output.finish()
    }

    /// Writes the oldest extents until no more than `left` are waiting for their checksums.
    fn drain(&mut self, left: usize, recycle: &mut dyn FnMut(Extent)) -> Result<()> {
        let Some(digests) = &mut self.digests else {
            return Ok(());
        };
        while digests.pending() > left {
            let Some(done) = digests.take() else { break };
            let (digest, extent) = done?;
            self.output.write(&extent, Some(&digest))?;
            recycle(extent);
        }
        Ok(())
    }
}
