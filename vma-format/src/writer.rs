//! Writing an archive to anything that takes bytes.

use std::io::Write;
use std::ops::Range;

use crate::aligned::Padding;
use crate::encoder::{Encoder, Summary};
use crate::error::{Error, Result};
use crate::extent::Extent;
use crate::header::Header;
use crate::layout::DeviceId;

/// Writes an archive: header, then clusters in any order, then [`finish`](Self::finish).
///
/// Dropped without `finish`, it leaves an archive that no reader takes for complete.
#[derive(Debug)]
pub struct ArchiveWriter<W> {
    out: W,
    encoder: Encoder,
    padding: Padding,
}

/// How many clusters of a hole are put into extents before those are written.
const MOST_ZEROES: usize = 4096;

impl<W: Write> ArchiveWriter<W> {
    /// Writes the header to `out`.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::error::ErrorKind::Io).
    pub fn new(mut out: W, header: &Header) -> Result<Self> {
        put(&mut out, header.as_bytes())?;
        Ok(Self {
            out,
            encoder: Encoder::new(header),
            padding: Padding::new(header),
        })
    }

    /// Adds a cluster with exactly the bytes that the device has there (64 KiB, or less at its
    /// end).
    ///
    /// # Errors
    /// As [`Encoder::cluster`], and [`ErrorKind::Io`](crate::error::ErrorKind::Io).
    pub fn write_cluster(&mut self, device: DeviceId, index: u64, data: &[u8]) -> Result<()> {
        let full = self.encoder.cluster(device, index, data)?;
        self.put(full)
    }

    /// Adds clusters that are known to be zero.
    ///
    /// # Errors
    /// As [`Encoder::zero_clusters`], and [`ErrorKind::Io`](crate::error::ErrorKind::Io).
    pub fn write_zeroes(&mut self, device: DeviceId, clusters: Range<u64>) -> Result<()> {
        // Some MiB of full extents at a time, whatever the hole.
        for start in clusters.clone().step_by(MOST_ZEROES) {
            let end = start.saturating_add(MOST_ZEROES as u64).min(clusters.end);
            for extent in self.encoder.zero_clusters(device, start..end)? {
                self.put(Some(extent))?;
            }
        }
        Ok(())
    }

    /// Completes the archive and flushes the output, which is given back.
    ///
    /// # Errors
    /// [`ErrorKind::MissingCluster`](crate::error::ErrorKind::MissingCluster),
    /// [`ErrorKind::Io`](crate::error::ErrorKind::Io).
    pub fn finish(mut self) -> Result<(W, Summary)> {
        let (last, summary) = self.encoder.finish()?;
        if let Some(extent) = last {
            put_extent(&mut self.out, &mut self.padding, &extent)?;
        }
        self.out
            .flush()
            .map_err(|e| Error::io("cannot write the archive", e))?;
        Ok((self.out, summary))
    }

    fn put(&mut self, extent: Option<Extent>) -> Result<()> {
        if let Some(extent) = extent {
            put_extent(&mut self.out, &mut self.padding, &extent)?;
            self.encoder.recycle(extent);
        }
        Ok(())
    }
}

fn put_extent(out: &mut impl Write, padding: &mut Padding, extent: &Extent) -> Result<()> {
    if let Some((empty, count)) = padding.before(extent) {
        for _ in 0..count {
            put(out, empty.as_bytes())?;
        }
    }
    put(out, extent.as_bytes())
}

fn put(out: &mut impl Write, bytes: &[u8]) -> Result<()> {
    out.write_all(bytes)
        .map_err(|e| Error::io("cannot write the archive", e))
}
