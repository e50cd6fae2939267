//! Payload against an index.

use std::io::Read;

use super::{Damage, Verifier};
use crate::error::{Error, ErrorKind, Result};
use crate::extent::{ClusterEntry, Extent};
use crate::index::{IndexReader, IndexRecord};
use crate::ordered::Ordered;
use crate::scan::Scanner;
use crate::threads::default_threads;

/// Checks payload against an index, on several threads.
pub(super) struct Payload<R> {
    index: IndexReader<R>,
    workers: Ordered<(Extent, IndexRecord), (Extent, Vec<ClusterEntry>, bool)>,
    threads: usize,
    /// The record that comes next.
    next: Option<IndexRecord>,
}

/// More would need more memory: for each, three extents of up to 3.7 MiB are under way.
const MAX_THREADS: usize = 6;

impl<R: Read> Payload<R> {
    pub(super) fn new(mut index: IndexReader<R>) -> Result<Self> {
        let threads = default_threads().min(MAX_THREADS);
        let make = || {
            Ok(|(extent, record): (Extent, IndexRecord)| {
                let fits = record.digest().fits(&extent);
                let damaged = if fits {
                    Vec::new()
                } else {
                    record.digest().damaged(&extent).collect()
                };
                Ok((extent, damaged, fits))
            })
        };
        let next = index.next_record()?;
        Ok(Self {
            index,
            workers: Ordered::new(threads, make)?,
            threads,
            next,
        })
    }

    pub(super) fn submit(
        &mut self,
        extent: Extent,
        verifier: &mut Verifier<'_>,
        scanner: &mut Scanner<impl Read>,
    ) -> Result<()> {
        self.skip_to(extent.offset(), verifier)?;
        match self
            .next
            .take_if(|record| record.offset() == extent.offset())
        {
            Some(record) => {
                self.next = self.index.next_record()?;
                // Handing one without payload over takes longer than checking it.
                if extent.has_payload() || !record.digest().fits(&extent) {
                    self.workers.submit((extent, record));
                } else {
                    scanner.recycle(extent);
                }
            }
            None => {
                let detail = "an extent that is not in the index";
                verifier.damage(Damage::new(
                    Error::new(ErrorKind::Payload, detail).at(extent.offset()),
                ));
            }
        }
        while self.workers.pending() > self.threads.saturating_mul(2) {
            self.collect(verifier, scanner)?;
        }
        Ok(())
    }

    /// Tells the extents that should be before `offset` and are not.
    fn skip_to(&mut self, offset: u64, verifier: &mut Verifier<'_>) -> Result<()> {
        while let Some(record) = self.next.take_if(|record| record.offset() < offset) {
            let detail = format!("extent {} is not where the index has it", record.number());
            let error = Error::new(ErrorKind::Payload, detail).at(record.offset());
            verifier.damage(Damage::bytes(error, record.digest().length()));
            self.next = self.index.next_record()?;
        }
        Ok(())
    }

    fn collect(
        &mut self,
        verifier: &mut Verifier<'_>,
        scanner: &mut Scanner<impl Read>,
    ) -> Result<()> {
        let Some(done) = self.workers.take() else {
            return Ok(());
        };
        let (extent, damaged, fits) = done?;
        for entry in &damaged {
            let damage = Damage::contents(&verifier.state.header, entry, extent.offset());
            verifier.damage(damage);
        }
        if !fits && damaged.is_empty() {
            let error = Error::new(
                ErrorKind::Payload,
                "the checksum of an extent does not match",
            )
            .at(extent.offset());
            verifier.damage(Damage::new(error));
        }
        scanner.recycle(extent);
        Ok(())
    }

    pub(super) fn finish(
        mut self,
        verifier: &mut Verifier<'_>,
        scanner: &mut Scanner<impl Read>,
    ) -> Result<()> {
        while self.workers.pending() > 0 {
            self.collect(verifier, scanner)?;
        }
        self.skip_to(u64::MAX, verifier)
    }
}
