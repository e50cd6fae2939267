//! One archive, from the disks of an instant to a file that is complete.

pub(crate) mod content;
pub(crate) mod named;
pub(crate) mod rename;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fleece_vma_format::{DeviceSummary, Header};

use crate::job::archive::content::Content;
use crate::job::cancel::CancelToken;
use crate::pace::options::Pacing;
use crate::pipeline::PipelineDisk;
use crate::pipeline::source::Source;
use crate::pipeline::transfer::{GuestWatch, Settings, Transfer};
use crate::report::error::Error;
use crate::report::{Counters, Event, Reporter, Warning};
use crate::target::options::ArchiveTarget;
use crate::target::output::{Destination, Published};

/// An archive to be written.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ArchiveOptions {
    /// What goes into it beside the disks.
    pub content: Content,
    /// Where it goes.
    pub target: ArchiveTarget,
    /// How hard the disks may be read.
    pub pacing: Pacing,
}

impl ArchiveOptions {
    /// An archive at the default pace.
    #[must_use]
    pub fn new(content: Content, target: ArchiveTarget) -> Self {
        Self {
            content,
            target,
            pacing: Pacing::default(),
        }
    }
}

/// The header of an archive of `disks`, and where each goes.
pub(crate) fn devices(
    content: &Content,
    disks: &[Arc<dyn Source>],
) -> Result<(Header, Vec<PipelineDisk>), Error> {
    let named: Vec<_> = disks
        .iter()
        .map(|disk| (disk.name(), disk.size()))
        .collect();
    let (header, devices) = content.header(&named)?;
    let disks = devices.into_iter().zip(disks).map(|(device, disk)| {
        let source = Arc::clone(disk);
        PipelineDisk { device, source }
    });
    Ok((header, disks.collect()))
}

/// What was written.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Archived {
    /// The archive; `None` for standard output.
    pub path: Option<PathBuf>,
    /// Its size in bytes.
    pub size: u64,
    /// How many of these it shares with its base, if it has one.
    pub shared: Option<u64>,
    /// Bytes of the disks that were taken over of an earlier archive without being read.
    pub unread: u64,
    /// Sum of the disks' sizes in bytes.
    pub disks: u64,
    /// How many of these are zero.
    pub zero: u64,
    /// From the first read to the end of the sync.
    pub took: Duration,
    /// What went wrong although the archive is complete and has its name; it is told already.
    pub warnings: Vec<Warning>,
}

impl Archived {
    /// How many bytes of it are new at the target.
    #[must_use]
    pub fn new_bytes(&self) -> u64 {
        self.size.saturating_sub(self.shared.unwrap_or(0))
    }

    pub(crate) fn new(
        published: Published,
        devices: &[DeviceSummary],
        counters: &Counters,
        took: Duration,
        reporter: &dyn Reporter,
    ) -> Self {
        for warning in &published.warnings {
            reporter.report(&Event::Warning(warning.clone()));
        }
        Self {
            path: published.path,
            size: published.size,
            shared: published.shared,
            unread: Counters::get(&counters.unread),
            disks: devices.iter().map(DeviceSummary::size).sum(),
            zero: devices.iter().map(DeviceSummary::zero_bytes).sum(),
            took,
            warnings: published.warnings,
        }
    }
}

/// Writes an archive of `disks` that need neither preparation nor clean-up: images of a stopped guest,
/// or views that the caller holds.
///
/// With a `watch`, reading follows the guest's latency.
///
/// # Errors
/// The first cause; there is no archive then.
pub fn archive(
    disks: &[Arc<dyn Source>],
    options: &ArchiveOptions,
    watch: Option<&mut dyn GuestWatch>,
    reporter: &dyn Reporter,
    cancel: &CancelToken,
) -> Result<Archived, Error> {
    let settings = Settings::new(&options.pacing, &options.target);
    archive_with(disks, options, settings, watch, reporter, cancel)
}

/// The same with other settings than those for a guest of whom nothing is known.
pub(crate) fn archive_with(
    disks: &[Arc<dyn Source>],
    options: &ArchiveOptions,
    settings: Settings,
    watch: Option<&mut dyn GuestWatch>,
    reporter: &dyn Reporter,
    cancel: &CancelToken,
) -> Result<Archived, Error> {
    let destination = Destination::create(&options.target, cancel)?;
    let content = &options.content;
    write(
        destination,
        disks,
        content,
        settings,
        watch,
        reporter,
        cancel,
    )
}

/// The same to a destination that is there.
pub(crate) fn write(
    destination: Destination,
    disks: &[Arc<dyn Source>],
    content: &Content,
    settings: Settings,
    watch: Option<&mut dyn GuestWatch>,
    reporter: &dyn Reporter,
    cancel: &CancelToken,
) -> Result<Archived, Error> {
    let start = Instant::now();
    let counters = Arc::new(Counters::default());
    let (output, index) = destination.open(Arc::clone(&counters))?;
    let names: Vec<&str> = disks.iter().map(|disk| disk.name()).collect();
    let (content, warnings) = content.fitting(&names)?;
    for warning in &warnings {
        reporter.report(&Event::Warning(warning.clone()));
    }
    let (header, devices) = devices(&content, disks)?;
    let counters = &counters;
    let transfer = Transfer {
        header,
        devices,
        output,
        counters,
        settings,
        reporter,
        cancel,
    };
    let (archive, summary) = transfer.run(watch)?;
    let published = index.commit(archive, cancel)?;
    let took = start.elapsed();
    let mut archived = Archived::new(published, summary.devices(), counters, took, reporter);
    archived.warnings.extend(warnings);
    Ok(archived)
}
