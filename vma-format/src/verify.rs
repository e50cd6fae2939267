//! Verifying: every damage that an archive has, not only the first.

mod damage;
mod payload;

use std::io::{BufReader, Read};

pub(crate) use damage::Teller;
pub use damage::{Damage, MAX_TOLD};
use payload::Payload;

use crate::coverage::Coverage;
use crate::error::{ErrorKind, Result};
use crate::extent::Extent;
use crate::extent::run::runs;
use crate::header::Header;
use crate::header_walk::HeaderWalk;
use crate::index::IndexReader;
use crate::random_access;
use crate::read_at::ReadAt;
use crate::reader::read_header;
use crate::scan::{Found, Scanner};
use crate::tally::Tally;

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
    /// How many damages there are; no more than [`MAX_TOLD`] have been told.
    pub damages: u64,
    /// Whether payload has been checked.
    pub deep: bool,
}

/// What [`verify`] tells while it works.
pub trait Watch {
    /// The header is whole; nothing else has been read yet.
    fn header(&mut self, _header: &Header) {}

    /// An extent has been read.
    fn extent(&mut self, _tally: &Tally) {}

    /// Something is wrong; told [`MAX_TOLD`] times at most.
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
        teller: Teller { watch, count: 0 },
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

/// Looks at the headers of an uncompressed archive that can be read anywhere.
///
/// # Errors
/// The first damage, as [`Reader`](crate::reader::Reader) finds it; [`verify`] tells all. [`ErrorKind::Io`].
pub fn verify_headers(source: &impl ReadAt, watch: &mut dyn Watch) -> Result<Verified> {
    let header = random_access::header(source)?;
    let mut walk = HeaderWalk::new(source, &header)?;
    let (mut tally, mut extents) = (Tally::new(&header), 0_u64);
    while let Some((_, extent)) = walk.next_extent()? {
        tally.add_extent(&extent, |_| true);
        extents = extents.saturating_add(1);
    }
    watch.header(&header);
    watch.extent(&tally);
    Ok(Verified {
        header,
        tally,
        extents,
        damages: 0,
        deep: false,
    })
}

struct Verifier<'a> {
    state: Verified,
    coverage: Coverage,
    teller: Teller<'a>,
}

impl Verifier<'_> {
    fn damage(&mut self, damage: Damage) {
        self.teller.damage(damage);
    }

    fn extent(&mut self, extent: &Extent) {
        for run in runs(extent.header().entries()) {
            if self.coverage.add_run(&run) {
                self.state.tally.add_run(&run);
                continue;
            }
            for entry in run.entries() {
                match self.coverage.add(&entry) {
                    Ok(()) => self.state.tally.add(&entry),
                    Err(error) => {
                        let damage = Damage::new(error.at(extent.offset()));
                        let damage = damage.of(&self.state.header, &entry);
                        self.damage(damage);
                    }
                }
            }
        }
        self.state.extents = self.state.extents.saturating_add(1);
        self.teller.watch.extent(&self.state.tally);
    }

    fn finish(self) -> Verified {
        let Self {
            mut state,
            coverage,
            mut teller,
        } = self;
        for (device, range) in coverage.missing() {
            teller.damage(Damage::missing(device, range));
        }
        state.damages = teller.count;
        state
    }
}
