//! What an index knows about the extents of a damaged archive, which may be elsewhere than it says.

use std::collections::VecDeque;
use std::io::Read;

use crate::error::Result;
use crate::extent::{ClusterEntry, Extent};
use crate::header::Header;
use crate::index::{IndexReader, IndexRecord};

/// An index that is read along with the archive.
pub(super) struct Known<'i> {
    index: IndexReader<&'i mut dyn Read>,
    /// Records of extents that have not come yet.
    ahead: VecDeque<IndexRecord>,
    /// How many bytes less than the index says are before the extent that was last found.
    missing: i128,
}

/// What an index says of an extent.
pub(super) enum Payload {
    /// It is, to the bit, what it was.
    Sound,
    /// These clusters are not what they were.
    Damaged(Vec<ClusterEntry>),
    /// The archive had no such extent.
    Unknown,
}

/// How many records are looked through for an extent that is not where it should be: almost 4 GiB of
/// payload that is missing without a trace, and at 1.3 KiB each not 2 MiB of memory.
const AHEAD: usize = 1024;

/// How far before an extent its record can be when an extent that misses blocks came before it.
const SLACK: i128 = 64 << 20;

impl<'i> Known<'i> {
    /// Begins to read an index, which must be that of the archive with this header, as far as a
    /// `damaged` one tells.
    pub(super) fn new(index: &'i mut dyn Read, header: &Header, damaged: bool) -> Result<Self> {
        let index = IndexReader::new(index)?;
        if !(damaged && index.is_likely_of(header)) {
            index.check(header)?;
        }
        Ok(Self {
            index,
            ahead: VecDeque::new(),
            missing: 0,
        })
    }

    /// Compares an extent with what it should be.
    pub(super) fn compare(&mut self, extent: &Extent) -> Result<Payload> {
        let Some(record) = self.find(extent)? else {
            return Ok(Payload::Unknown);
        };
        self.missing = i128::from(record.offset()).saturating_sub(extent.offset().into());
        if record.digest().fits(extent) {
            return Ok(Payload::Sound);
        }
        let damaged: Vec<_> = record.digest().damaged(extent).collect();
        Ok(Payload::Damaged(match damaged.is_empty() {
            // It is known to be another, but not where.
            true => extent.header().entries().to_vec(),
            false => damaged,
        }))
    }

    /// Reads the index to its end; how many extents it knows that have not come.
    pub(super) fn rest(&mut self) -> Result<u64> {
        let mut count = self.ahead.len() as u64;
        while self.index.next_record()?.is_some() {
            count = count.saturating_add(1);
        }
        Ok(count)
    }

    /// The record with the extent's clusters, of which there is one, since none comes twice.
    fn find(&mut self, extent: &Extent) -> Result<Option<IndexRecord>> {
        let expected = i128::from(extent.offset()).saturating_add(self.missing);
        loop {
            while self.ahead.len() < AHEAD
                && let Some(record) = self.index.next_record()?
            {
                let found = record.digest().has_clusters_of(extent);
                self.ahead.push_back(record);
                if found {
                    break;
                }
            }
            if let Some(place) = self.place(extent) {
                self.ahead.drain(..place);
                return Ok(self.ahead.pop_front());
            }
            // What is far behind us does not come any more.
            let behind =
                |record: &IndexRecord| i128::from(record.offset()).saturating_add(SLACK) < expected;
            let before = self.ahead.len();
            while self.ahead.front().is_some_and(behind) {
                self.ahead.pop_front();
            }
            if self.ahead.len() == before {
                return Ok(None);
            }
        }
    }

    fn place(&self, extent: &Extent) -> Option<usize> {
        let mut ahead = self.ahead.iter();
        ahead.position(|record| record.digest().has_clusters_of(extent))
    }
}
