//! From extent header to extent header, over the payload.

use crate::coverage::Coverage;
use crate::error::Result;
use crate::error::cannot_read;
use crate::extent::ExtentHeader;
use crate::header::Header;
use crate::random_access::next_extent;
use crate::read_at::ReadAt;

/// Goes through an uncompressed archive that can be read anywhere, and finds all that a
/// [`Reader`](crate::reader::Reader) finds, with memory for one bit per cluster.
pub(crate) struct HeaderWalk<'a, S> {
    source: &'a S,
    header: &'a Header,
    offset: u64,
    size: u64,
    coverage: Coverage,
}

impl<'a, S: ReadAt> HeaderWalk<'a, S> {
    pub(crate) fn new(source: &'a S, header: &'a Header) -> Result<Self> {
        Ok(Self {
            source,
            header,
            offset: header.size(),
            size: source.size().map_err(cannot_read)?,
            coverage: Coverage::new(header),
        })
    }

    /// The next extent and where it begins; `None` after the last of a complete archive.
    pub(crate) fn next_extent(&mut self) -> Result<Option<(u64, ExtentHeader)>> {
        let offset = self.offset;
        if offset >= self.size {
            self.coverage.complete()?;
            return Ok(None);
        }
        let extent = next_extent(self.source, self.header, offset, self.size)?;
        let added = self.coverage.add_extent(&extent);
        added.map_err(|e| e.at(offset))?;
        self.offset = offset.saturating_add(extent.size() as u64);
        Ok(Some((offset, extent)))
    }
}
