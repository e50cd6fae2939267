//! An archive under way to its target, with its index.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fleece_fleecing::Step;

use crate::job::cancel::CancelToken;
use crate::report::error::{Error, ErrorKind};
use crate::report::{Counters, Warning};
use crate::target::base::BaseArchive;
use crate::target::compression::Compression;
use crate::target::deadline;
use crate::target::new::publish_index;
use crate::target::options::ArchiveTarget;
use crate::target::place::Staged;
use crate::target::share::{Shares, Sharing};
use crate::target::shared::Shared;

/// What an archive is written to, under its temporary names.
#[derive(Debug)]
pub(crate) struct Destination {
    archive: Box<dyn Staged>,
    index: Option<Shared>,
    target: ArchiveTarget,
    /// Whether it can share blocks with the base.
    shares: bool,
}

/// What an archive's bytes go through.
pub(crate) type Output = fleece_vma_format::Output<Counted>;

impl Destination {
    /// Begins an archive.
    pub(crate) fn create(target: &ArchiveTarget, cancel: &CancelToken) -> Result<Self, Error> {
        let begun = target.clone();
        let begin = move || Self::begin(begun);
        deadline::at_target("creating the archive", target.timeout, cancel, begin)
    }

    fn begin(target: ArchiveTarget) -> Result<Self, Error> {
        let mut archive = target.place.begin(target.bound)?;
        if target.keep_partial {
            archive.keep_partial();
        }
        let index = match target.compression {
            Compression::None => target.place.begin_index()?,
            Compression::Zstd(_) => None,
        };
        let base = target
            .base
            .as_ref()
            .filter(|base| base.fits(target.compression));
        let shares = base.is_some_and(|base| archive.can_share(base.file()));
        Ok(Self {
            archive,
            index: index.map(Shared::new),
            target,
            shares,
        })
    }

    /// Where to write, and what is left to do when all is written.
    pub(crate) fn open(self, counters: Arc<Counters>) -> Result<(Output, Index), Error> {
        let Self {
            archive,
            index,
            target,
            shares,
        } = self;
        let timed = index.clone().map(|index| Timed {
            index,
            counters: Arc::clone(&counters),
        });
        let boxed = timed.map(|index| Box::new(index) as Box<dyn Write + Send>);
        let format = target.compression.format();
        let counted = Counted { archive, counters };
        let output = Output::new(counted, &format, boxed).map_err(|error| {
            Error::caused(ErrorKind::Request, "cannot compress the archive", error)
        })?;
        let output = match target
            .base
            .as_ref()
            .filter(|base| base.fits(target.compression))
        {
            Some(base) => {
                let sharing = Sharing::new(base.clone(), shares);
                output.reusing(base.base().clone(), Box::new(sharing))
            }
            None => output,
        };
        Ok((output, Index { index, target }))
    }
}

/// Bytes per second at which a target that lives writes what the page cache has collected: the
/// slowest networks over which anybody makes backups.
const SLOWEST_SYNC: u64 = 1 << 20;

/// The index of an archive, if that is a file of its own, and where both go.
#[derive(Debug)]
pub(crate) struct Index {
    index: Option<Shared>,
    target: ArchiveTarget,
}

impl Index {
    /// Makes the archive and its index durable, and then appear, in this order: what goes wrong with the index
    /// of an archive that is there is a warning.
    ///
    /// A sync may take as much longer than a write as what was written takes at [`SLOWEST_SYNC`].
    pub(crate) fn commit(self, archive: Counted, cancel: &CancelToken) -> Result<Published, Error> {
        let size = Counters::get(&archive.counters.written);
        let timeout = self.target.timeout;
        let limit = timeout.saturating_add(Duration::from_secs(size / SLOWEST_SYNC));
        deadline::at_target("the sync of the archive", limit, cancel, move || {
            let mut index = self.index.and_then(|index| index.take());
            if let Some(index) = &mut index {
                index.sync()?;
            }
            let path = self.target.path().map(Path::to_owned);
            let (size, warning) = archive.commit()?;
            let mut warnings: Vec<Warning> = warning.map(Warning::from).into_iter().collect();
            let archive = path.clone().unwrap_or_default();
            warnings.extend(index.and_then(|index| publish_index(index, archive)));
            let base = self.target.base.as_ref();
            warnings.extend(base.and_then(BaseArchive::warning));
            Ok(Published {
                path,
                size,
                shared: base
                    .filter(|base| base.fits(self.target.compression))
                    .map(BaseArchive::shared),
                warnings,
            })
        })
    }
}

/// An archive that is complete and has its name.
#[derive(Debug)]
pub(crate) struct Published {
    /// `None`: standard output.
    pub(crate) path: Option<PathBuf>,
    pub(crate) size: u64,
    /// How many of these it shares with the base, if there is one.
    pub(crate) shared: Option<u64>,
    pub(crate) warnings: Vec<Warning>,
}

/// An index whose writes are timed like the archive's.
struct Timed {
    index: Shared,
    counters: Arc<Counters>,
}

impl Write for Timed {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let index = &mut self.index;
        self.counters.timed(|| index.write(buffer))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.index.flush()
    }
}

/// Counts what arrives, after compression.
#[derive(Debug)]
pub(crate) struct Counted {
    archive: Box<dyn Staged>,
    counters: Arc<Counters>,
}

impl Counted {
    /// Its size, and a warning if there is one.
    fn commit(mut self) -> Result<(u64, Option<String>), Error> {
        self.archive.sync()?;
        Step::Synced.reached();
        let written = || Counters::get(&self.counters.written);
        let size = self.archive.stored().unwrap_or_else(written);
        let warning = self.archive.commit()?;
        Step::Renamed.reached();
        Ok((size, warning))
    }
}

impl Write for Counted {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let archive = &mut self.archive;
        let count = self.counters.timed(|| archive.write(buffer))?;
        Counters::add(&self.counters.written, count as u64);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.archive.flush()
    }
}

impl Shares for Counted {
    fn share(&mut self, from: &File, offset: u64, length: u64) -> io::Result<u64> {
        let archive = &mut self.archive;
        let count = self
            .counters
            .timed(|| archive.share(from, offset, length))?;
        Counters::add(&self.counters.written, count);
        Ok(count)
    }
}
