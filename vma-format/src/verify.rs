//! Verifying: every damage that an archive has, not only the first.

use std::fmt;
use std::io::{BufReader, Read};
use std::ops::Range;

use crate::container::default_threads;
use crate::coverage::Coverage;
use crate::extent::{ClusterEntry, Extent};
use crate::header::{Device, Header};
use crate::index::{IndexReader, IndexRecord};
use crate::layout::DeviceId;
use crate::ordered::Ordered;
use crate::reader::read_header;
use crate::scan::{Found, Junk, Scanner};
use crate::tally::Tally;
use crate::{Error, ErrorKind, Result};

/// Something wrong with an archive.
#[derive(Debug)]
pub struct Damage {
    error: Error,
    length: Option<u64>,
    device: Option<(DeviceId, String)>,
    clusters: Option<Range<u64>>,
}

impl Damage {
    /// What is wrong.
    #[must_use]
    pub const fn error(&self) -> &Error {
        &self.error
    }

    /// How many bytes of the archive are concerned, from the error's offset on.
    #[must_use]
    pub const fn length(&self) -> Option<u64> {
        self.length
    }

    /// The device concerned.
    #[must_use]
    pub fn device(&self) -> Option<(DeviceId, &str)> {
        self.device.as_ref().map(|(id, name)| (*id, name.as_str()))
    }

    /// Its clusters that are concerned.
    #[must_use]
    pub fn clusters(&self) -> Option<Range<u64>> {
        self.clusters.clone()
    }

    pub(crate) fn new(error: Error) -> Self {
        Self {
            error,
            length: None,
            device: None,
            clusters: None,
        }
    }

    /// Clusters that never come.
    pub(crate) fn missing(device: &Device, clusters: Range<u64>) -> Self {
        let count = clusters.end.saturating_sub(clusters.start);
        let (name, first) = (device.name(), clusters.start);
        let detail = format!("device {name} misses {count} clusters from {first} on");
        let error = Error::new(ErrorKind::MissingCluster, detail);
        let device = Some((device.id(), name.to_owned()));
        Self {
            device,
            clusters: Some(clusters),
            ..Self::new(error)
        }
    }

    pub(crate) fn of(mut self, header: &Header, entry: &ClusterEntry) -> Self {
        let name = header
            .device(entry.device())
            .map_or_else(String::new, |d| d.name().to_owned());
        self.device = Some((entry.device(), name));
        self.clusters = Some(entry.index()..entry.index().saturating_add(1));
        self
    }
}

impl From<Junk> for Damage {
    fn from(junk: Junk) -> Self {
        Self {
            length: Some(junk.length),
            ..Self::new(junk.error)
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)?;
        match self.length {
            Some(length) => write!(f, ", {length} bytes"),
            None => Ok(()),
        }
    }
}

/// The outcome of a verification.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Verified {
    /// The archive's header.
    pub header: Header,
    /// What has been found in it.
    pub tally: Tally,
    /// How many extents it has.
    pub extents: u64,
    /// How many damages have been reported.
    pub damages: u64,
    /// Whether payload has been checked.
    pub deep: bool,
}

impl Verified {
    /// The outcome for an archive in which [`Archive::open`](crate::Archive::open) has found
    /// nothing wrong.
    #[must_use]
    pub const fn sound(header: Header, tally: Tally, extents: u64) -> Self {
        Self {
            header,
            tally,
            extents,
            damages: 0,
            deep: false,
        }
    }
}

/// What [`verify`] tells while it works.
pub trait Watch {
    /// The header is whole; nothing else has been read yet.
    fn header(&mut self, _header: &Header) {}

    /// An extent has been read.
    fn extent(&mut self, _tally: &Tally) {}

    /// Something is wrong.
    fn damage(&mut self, _damage: Damage) {}
}

/// Reads a whole archive and tells all damage. With its index, the payload is checked, too, on all
/// processors.
///
/// # Errors
/// What makes looking further impossible: an unreadable archive header, an index that is damaged
/// or belongs to another archive, [`ErrorKind::Io`].
pub fn verify(
    input: impl Read,
    index: Option<&mut dyn Read>,
    watch: &mut dyn Watch,
) -> Result<Verified> {
    let mut input = BufReader::with_capacity(1 << 16, input);
    let header = read_header(&mut input)?;
    watch.header(&header);
    let index = index.map(IndexReader::new).transpose()?;
    if let Some(index) = &index {
        index.check(&header)?;
    }
    let state = Verified {
        tally: Tally::new(&header),
        header,
        extents: 0,
        damages: 0,
        deep: index.is_some(),
    };
    let mut verifier = Verifier {
        coverage: Coverage::new(&state.header),
        state,
        watch,
    };
    let mut scanner = Scanner::new(input, &verifier.state.header);
    let mut payload = index.map(Payload::new).transpose()?;
    loop {
        let found = match scanner.next() {
            Ok(Some(found)) => found,
            Ok(None) => break,
            // Nothing behind it can be decompressed; what is missing is told below.
            Err(error) if error.kind() == ErrorKind::Container => {
                verifier.damage(Damage::new(error));
                break;
            }
            Err(error) => return Err(error),
        };
        match found {
            Found::Extent(extent) => {
                verifier.extent(&extent);
                match &mut payload {
                    Some(payload) => payload.submit(extent, &mut verifier, &mut scanner)?,
                    None => scanner.recycle(extent),
                }
            }
            Found::Cut(extent, error) => {
                verifier.extent(&extent);
                verifier.damage(Damage::new(error));
            }
            Found::Junk(junk) => verifier.damage(junk.into()),
        }
    }
    if let Some(payload) = payload {
        payload.finish(&mut verifier, &mut scanner)?;
    }
    Ok(verifier.finish())
}

struct Verifier<'a> {
    state: Verified,
    coverage: Coverage,
    watch: &'a mut dyn Watch,
}

impl Verifier<'_> {
    fn damage(&mut self, damage: Damage) {
        self.state.damages = self.state.damages.saturating_add(1);
        self.watch.damage(damage);
    }

    fn extent(&mut self, extent: &Extent) {
        for entry in extent.header().entries() {
            match self.coverage.add(entry) {
                Ok(()) => self.state.tally.add(entry),
                Err(error) => {
                    let damage = Damage::new(error.at(extent.offset()));
                    let damage = damage.of(&self.state.header, entry);
                    self.damage(damage);
                }
            }
        }
        self.state.extents = self.state.extents.saturating_add(1);
        self.watch.extent(&self.state.tally);
    }

    fn finish(mut self) -> Verified {
        let missing = self
            .coverage
            .missing()
            .map(|(device, range)| Damage::missing(device, range));
        let missing: Vec<_> = missing.collect();
        missing.into_iter().for_each(|damage| self.damage(damage));
        self.state
    }
}

/// Checks payload against an index, on several threads.
struct Payload<R> {
    index: IndexReader<R>,
    workers: Ordered<(Extent, IndexRecord), (Extent, Vec<ClusterEntry>, bool)>,
    threads: usize,
    /// The record that comes next.
    next: Option<IndexRecord>,
}

impl<R: Read> Payload<R> {
    fn new(mut index: IndexReader<R>) -> Result<Self> {
        let threads = default_threads();
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

    fn submit(
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
                self.workers.submit((extent, record));
            }
            None => {
                let detail = "an extent that the index does not know";
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
            let detail = format!("extent {} is not where the index knows it", record.number());
            let error = Error::new(ErrorKind::Payload, detail).at(record.offset());
            let length = Some(u64::from(record.digest().length()));
            verifier.damage(Damage {
                length,
                ..Damage::new(error)
            });
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
            let name = verifier
                .state
                .header
                .device(entry.device())
                .map_or("?", |d| d.name());
            let detail = format!(
                "cluster {} of device {name} has wrong contents",
                entry.index()
            );
            let error = Error::new(ErrorKind::Payload, detail).at(extent.offset());
            let damage = Damage::new(error).of(&verifier.state.header, entry);
            verifier.damage(damage);
        }
        if !fits && damaged.is_empty() {
            let error = Error::new(ErrorKind::Payload, "an extent has not its checksum")
                .at(extent.offset());
            verifier.damage(Damage::new(error));
        }
        scanner.recycle(extent);
        Ok(())
    }

    fn finish(
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
