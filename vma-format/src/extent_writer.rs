//! Finished extents to an output, and the index of them along with it.

use std::io::Write;

use crate::Result;
use crate::container::{Written, default_threads};
use crate::extent::Extent;
use crate::header::Header;
use crate::index::{ExtentDigest, IndexBuilder};
use crate::ordered::Ordered;
use crate::output::Output;

/// Writes extents in the order in which they come. If the output takes an index, its checksums are
/// made on threads of their own.
#[derive(Debug)]
pub struct ExtentWriter<W: Write> {
    output: Output<W>,
    index: Option<Index>,
}

#[derive(Debug)]
struct Index {
    builder: IndexBuilder,
    digests: Ordered<Extent, (ExtentDigest, Extent)>,
    threads: usize,
}

/// More do not help: the archive itself is written by one thread.
const MAX_THREADS: usize = 4;

impl<W: Write> ExtentWriter<W> {
    /// Begins the archive with its header.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io).
    pub fn new(header: &Header, mut output: Output<W>) -> Result<Self> {
        output.write(header.as_bytes())?;
        if !output.wants_index() {
            return Ok(Self {
                output,
                index: None,
            });
        }
        let (builder, piece) = IndexBuilder::new(header);
        output.write_index(&piece)?;
        let threads = default_threads().min(MAX_THREADS);
        let digests = Ordered::new(threads, || {
            Ok(|extent: Extent| Ok((ExtentDigest::of(&extent), extent)))
        })?;
        let index = Some(Index {
            builder,
            digests,
            threads,
        });
        Ok(Self { output, index })
    }

    /// Writes the next extent, now or a little later; `recycle` gets those that have been written.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io).
    pub fn write(&mut self, extent: Extent, recycle: &mut dyn FnMut(Extent)) -> Result<()> {
        match &mut self.index {
            Some(index) => {
                index.digests.submit(extent);
                index.drain(index.threads, &mut self.output, recycle)
            }
            None => {
                self.output.write(extent.as_bytes())?;
                recycle(extent);
                Ok(())
            }
        }
    }

    /// Writes what is left, and the end of the index.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io).
    pub fn finish(mut self, recycle: &mut dyn FnMut(Extent)) -> Result<(W, Written)> {
        if let Some(mut index) = self.index {
            index.drain(0, &mut self.output, recycle)?;
            self.output.write_index(&index.builder.finish())?;
        }
        self.output.finish()
    }
}

impl Index {
    /// Writes the oldest extents until no more than `left` are waiting for their checksums.
    fn drain<W: Write>(
        &mut self,
        left: usize,
        output: &mut Output<W>,
        recycle: &mut dyn FnMut(Extent),
    ) -> Result<()> {
        while self.digests.pending() > left {
            let Some(done) = self.digests.take() else {
                break;
            };
            let (digest, extent) = done?;
            output.write(extent.as_bytes())?;
            if let Some(piece) = self.builder.extent(&digest) {
                output.write_index(&piece)?;
            }
            recycle(extent);
        }
        Ok(())
    }
}
