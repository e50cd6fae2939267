//! Where an archive goes, with its index, and how it is compressed on the way.

use std::io::{self, Stdout, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fleece_fleecing::Step;
use fleece_vma_format::container::FrameOptions;

use crate::archive::ArchiveOptions;
use crate::cancel::CancelToken;
use crate::error::{Error, ErrorKind};
use crate::pace::rate::RateLimit;
use crate::report::Counters;
use crate::target::deadline;
use crate::target::staged::ArchiveFile;

/// How an archive is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// Not at all; the index lies beside the archive, as `<archive>.idx`.
    None,
    /// Independent zstd frames of this level, on all cores, with a seek table and the index inside;
    /// plain zstd to everyone else.
    Zstd(i32),
}

impl Compression {
    /// What follows `.vma.` in a file name.
    #[must_use]
    pub fn wrapper(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Zstd(_) => Some("zst"),
        }
    }

    fn format(self) -> fleece_vma_format::Compression {
        match self {
            Self::None => fleece_vma_format::Compression::None,
            Self::Zstd(level) => {
                fleece_vma_format::Compression::Zstd(FrameOptions::default().with_level(level))
            }
        }
    }
}

/// The files of an archive under their temporary names, or standard output.
#[derive(Debug)]
pub(crate) struct Destination {
    place: Place,
    index: Option<SharedFile>,
    compression: Compression,
}

/// What an archive's bytes go through.
pub(crate) type Output = fleece_vma_format::Output<Counted>;

impl Destination {
    /// The files that [`Destination::create`] makes, for the record.
    pub(crate) fn temporary_files(path: &Path, compression: Compression) -> Vec<PathBuf> {
        let mut files = vec![ArchiveFile::temporary_name(path)];
        if compression == Compression::None {
            files.push(ArchiveFile::temporary_name(&index_path(path)));
        }
        files
    }

    /// Creates the files, or takes standard output.
    pub(crate) fn create(options: &ArchiveOptions, cancel: &CancelToken) -> Result<Self, Error> {
        let ArchiveOptions {
            compression,
            keep_partial,
            target_timeout,
            ..
        } = *options;
        let Some(path) = options.path.clone() else {
            return Ok(Self {
                place: Place::Stdout(io::stdout()),
                index: None,
                compression,
            });
        };
        let files = move || Self::files(&path, compression, keep_partial);
        deadline::at_target("creating the archive", target_timeout, cancel, files)
    }

    fn files(path: &Path, compression: Compression, keep_partial: bool) -> Result<Self, Error> {
        let mut archive = ArchiveFile::create(path)?;
        if keep_partial {
            archive.keep_partial();
        }
        let place = Place::File(archive);
        let index = match compression {
            Compression::None => Some(SharedFile::new(ArchiveFile::create(&index_path(path))?)),
            Compression::Zstd(_) => None,
        };
        Ok(Self {
            place,
            index,
            compression,
        })
    }

    /// Where to write, and what is left to do when all is written.
    pub(crate) fn open(
        self,
        slowed: Option<Slowed>,
        counters: Arc<Counters>,
    ) -> Result<(Output, Index), Error> {
        let Self {
            place,
            index,
            compression,
        } = self;
        let timed = index.clone().map(|index| Timed {
            index,
            counters: Arc::clone(&counters),
        });
        let boxed = timed.map(|index| Box::new(index) as Box<dyn Write + Send>);
        let counted = Counted {
            place,
            slowed,
            counters,
        };
        let output = Output::new(counted, &compression.format(), boxed).map_err(|error| {
            Error::caused(ErrorKind::Request, "cannot compress the archive", error)
        })?;
        Ok((output, Index(index)))
    }
}

/// `<archive>.idx`
fn index_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".idx");
    name.into()
}

/// Bytes per second at which a target that lives writes what the page cache has collected: the
/// slowest networks over which anybody makes backups.
const SLOWEST_SYNC: u64 = 1 << 20;

/// The index file of an archive, if it has one.
#[derive(Debug)]
pub(crate) struct Index(Option<SharedFile>);

impl Index {
    /// Makes the archive and its index durable, and then appear, in this order: what goes wrong with the index
    /// of an archive that is there is a warning.
    ///
    /// `timeout` is that of a write; a sync may take as much more as what was written takes at
    /// [`SLOWEST_SYNC`].
    pub(crate) fn commit(
        self,
        archive: Counted,
        timeout: Duration,
        cancel: &CancelToken,
    ) -> Result<Published, Error> {
        let written = Counters::get(&archive.counters.written);
        let limit = timeout.saturating_add(Duration::from_secs(written / SLOWEST_SYNC));
        deadline::at_target("the sync of the archive", limit, cancel, move || {
            let mut index = self.0.and_then(|index| index.take());
            if let Some(index) = &mut index {
                index.sync()?;
            }
            let mut published = archive.commit()?;
            let warnings = &mut published.warnings;
            match index.map(ArchiveFile::commit) {
                None => {}
                Some(Ok(committed)) => warnings.extend(committed.warning().map(str::to_owned)),
                Some(Err(error)) => warnings.push(format!(
                    "the archive is complete and has no index; `vma index` makes one: {}",
                    error.chain()
                )),
            }
            Ok(published)
        })
    }
}

/// An archive that is complete and has its name.
#[derive(Debug)]
pub(crate) struct Published {
    /// `None`: standard output.
    pub(crate) path: Option<PathBuf>,
    pub(crate) size: u64,
    pub(crate) warnings: Vec<String>,
}

/// A file that is written in one place and committed in another.
#[derive(Clone, Debug)]
struct SharedFile(Arc<Mutex<Option<ArchiveFile>>>);

impl SharedFile {
    fn new(file: ArchiveFile) -> Self {
        Self(Arc::new(Mutex::new(Some(file))))
    }

    fn take(&self) -> Option<ArchiveFile> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Write for SharedFile {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_mut()
        {
            Some(file) => file.write(buffer),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An index whose writes are timed like the archive's.
struct Timed {
    index: SharedFile,
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

/// A file, or standard output.
#[derive(Debug)]
enum Place {
    File(ArchiveFile),
    Stdout(Stdout),
}

/// A place that is made slow, until the job is cancelled.
#[derive(Debug)]
pub(crate) struct Slowed {
    pub(crate) limit: Arc<RateLimit>,
    pub(crate) cancel: CancelToken,
}

impl Slowed {
    fn wait(&self, bytes: usize) {
        let wait = self.limit.book(bytes as u64, Instant::now());
        // Nothing is ever received: it ends by the time, or by the token.
        let _ = self.cancel.fired().recv_timeout(wait);
    }
}

/// Counts what arrives, after compression.
#[derive(Debug)]
pub(crate) struct Counted {
    place: Place,
    slowed: Option<Slowed>,
    counters: Arc<Counters>,
}

impl Counted {
    fn commit(self) -> Result<Published, Error> {
        let size = Counters::get(&self.counters.written);
        match self.place {
            Place::File(mut file) => {
                file.sync()?;
                Step::Synced.reached();
                let path = file.path().to_owned();
                let committed = file.commit()?;
                Step::Renamed.reached();
                Ok(Published {
                    path: Some(path),
                    size,
                    warnings: committed.warning().map(str::to_owned).into_iter().collect(),
                })
            }
            Place::Stdout(mut stdout) => {
                stdout.flush().map_err(|error| {
                    Error::caused(ErrorKind::Target, "cannot write to standard output", error)
                })?;
                Ok(Published {
                    path: None,
                    size,
                    warnings: Vec::new(),
                })
            }
        }
    }
}

impl Write for Counted {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let place = &mut self.place;
        let count = self.counters.timed(|| match place {
            Place::File(file) => file.write(buffer),
            Place::Stdout(stdout) => stdout.write(buffer),
        })?;
        if let Some(slowed) = &self.slowed {
            slowed.wait(count);
        }
        Counters::add(&self.counters.written, count as u64);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.place {
            Place::File(file) => file.flush(),
            Place::Stdout(stdout) => stdout.flush(),
        }
    }
}
