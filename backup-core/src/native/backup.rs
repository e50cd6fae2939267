//! From sources of this process to an archive.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fleece_vma_format::DeviceSummary;

use crate::archive_file::ArchiveFile;
use crate::cbw::Snapshot;
use crate::output::{Compression, Output, Place};
use crate::pace::GuestWrites;
use crate::report::{Counters, Counting, Reporter};
use crate::source::Source;
use crate::transfer::{self, GuestWatch, Settings, Transfer};
use crate::{CancelToken, Error};

/// What to make of sources.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Backup {
    /// The archive's final path; `None`: standard output.
    pub archive: Option<PathBuf>,
    /// How the archive is compressed.
    pub compression: Compression,
    /// Configuration files for the archive: name and contents.
    pub configs: Vec<(String, Vec<u8>)>,
    /// Bytes per second read from the disks.
    pub bwlimit: Option<u64>,
    /// Most reads in flight.
    pub max_depth: usize,
    /// The archive's identity.
    pub uuid: [u8; 16],
    /// The archive's time, in seconds since 1970.
    pub ctime: i64,
}

impl Backup {
    /// An uncompressed archive at `archive`, with the defaults.
    #[must_use]
    pub fn to(archive: Option<PathBuf>) -> Self {
        Self {
            archive,
            compression: Compression::None,
            configs: Vec::new(),
            bwlimit: None,
            max_depth: 4,
            uuid: [0; 16],
            ctime: 0,
        }
    }
}

/// What a finished backup was.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// The archive; `None` for standard output.
    pub archive: Option<PathBuf>,
    /// Its size in bytes.
    pub size: u64,
    /// Sum of the disks' sizes in bytes.
    pub disks: u64,
    /// How many of these are zero.
    pub zero: u64,
    /// From the first step to the last.
    pub took: Duration,
    /// Things that were not as they should be.
    pub warnings: usize,
}

/// Writes an archive of `sources`, in their order. With a `snapshot`, progress tells how much of its
/// targets is in use; attaching and detaching it is the caller's part.
///
/// # Errors
/// The first cause. The archive exists only if there is no error.
pub fn backup(
    job: &Backup,
    sources: &[Arc<dyn Source>],
    snapshot: Option<&Snapshot>,
    reporter: &dyn Reporter,
    cancel: &CancelToken,
) -> Result<Outcome, Error> {
    let start = Instant::now();
    let reporter = &Counting::new(reporter);
    let (header, devices) = transfer::header(&job.configs, sources, job.uuid, job.ctime)?;
    let place = match &job.archive {
        Some(path) => Place::File(ArchiveFile::create(path)?),
        None => Place::Stdout(std::io::stdout()),
    };
    let counters = Arc::new(Counters::default());
    let output = Output::new(place, job.compression, Arc::clone(&counters))?;
    let transfer = Transfer {
        header,
        devices,
        output,
        counters: &counters,
        settings: Settings {
            max_depth: job.max_depth,
            guest_latency: Duration::MAX,
            rate: job.bwlimit,
        },
        reporter,
        cancel,
    };
    let mut watch = snapshot.map(SnapshotWatch);
    let watch = watch.as_mut().map(|watch| watch as &mut dyn GuestWatch);
    let (output, summary) = transfer.run(watch).map_err(|failed| {
        if !failed.output_dropped {
            reporter.warning("the target does not answer; an unfinished archive is left".into());
        }
        failed.error
    })?;
    let (archive, size) = output.commit()?;
    let sum = |bytes: fn(&DeviceSummary) -> u64| summary.devices().iter().map(bytes).sum();
    Ok(Outcome {
        archive,
        size,
        disks: sum(DeviceSummary::size),
        zero: sum(DeviceSummary::zero_bytes),
        took: start.elapsed(),
        warnings: reporter.warnings(),
    })
}

/// The filter does not measure its guests' writes, so reading is not paced by them.
struct SnapshotWatch<'a>(&'a Snapshot);

impl GuestWatch for SnapshotWatch<'_> {
    fn writes(&mut self) -> Option<GuestWrites> {
        None
    }

    fn fleecing_used(&mut self) -> Option<u64> {
        Some(self.0.usage().held)
    }
}
