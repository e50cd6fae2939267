//! The archive of a backup: what goes into it and where it goes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fleece_guest_config::{Drive, GuestConfig, QmdumpMap};
use fleece_storage::VolumeId;
use fleece_vma_format::{DeviceId, DeviceSummary, Header, HeaderBuilder};

use crate::cancel::CancelToken;
use crate::error::{Error, ErrorKind};
use crate::pace::pacer;
use crate::pace::rate::RateLimit;
use crate::pipeline::PipelineDisk;
use crate::pipeline::transfer::{GuestWatch, Settings, Transfer};
use crate::report::{Counters, Event, Reporter};
use crate::source::Source;
use crate::target::deadline;
use crate::target::output::{Compression, Destination, Published, Slowed};
use crate::target::staged::ArchiveFile;

/// The name of a guest's configuration in an archive.
pub(crate) const GUEST_CONFIG: &str = "qemu-server.conf";

/// The name of a guest's firewall rules in an archive.
pub(crate) const FIREWALL: &str = "qemu-server.fw";

/// What to write, and how fast.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ArchiveOptions {
    /// The archive's final path; `None`: standard output.
    pub path: Option<PathBuf>,
    /// How it is compressed.
    pub compression: Compression,
    /// Configuration files to put into it: name and contents.
    pub configs: Vec<(String, Vec<u8>)>,
    /// The guest's own configuration: goes into the archive as `qemu-server.conf`, with a line for each
    /// disk that tells a restore which drive it is.
    pub guest: Option<GuestConfig>,
    /// The guest's firewall rules: go into the archive as `qemu-server.fw`.
    pub firewall: Option<Vec<u8>>,
    /// Its identity.
    pub uuid: [u8; 16],
    /// Its time, in seconds since 1970.
    pub ctime: i64,
    /// Bytes per second read from the disks.
    pub bwlimit: Option<u64>,
    /// A slow target, for demonstrations and tests: how fast the archive is written. Others may share
    /// the limit, as they would share the target.
    pub target_rate: Option<Arc<RateLimit>>,
    /// Most reads in flight.
    pub max_depth: usize,
    /// What 99 of 100 of a guest's writes may take meanwhile; `None`: twice what they took before.
    pub guest_latency: Option<Duration>,
    /// A target that takes longer than this for one write hangs, and the backup is given up.
    pub target_timeout: Duration,
    /// Bytes that the fleecing images may hold; the backup ends before they hold more.
    pub fleecing_limit: Option<u64>,
    /// Keep what was written of an archive that could not be finished, see
    /// [`crate::target::staged::ArchiveFile::partial_name`].
    pub keep_partial: bool,
}

impl Default for ArchiveOptions {
    fn default() -> Self {
        Self {
            path: None,
            compression: Compression::None,
            configs: Vec::new(),
            guest: None,
            firewall: None,
            uuid: [0; 16],
            ctime: 0,
            bwlimit: None,
            target_rate: None,
            max_depth: 8,
            guest_latency: None,
            target_timeout: Duration::from_secs(600),
            fleecing_limit: None,
            keep_partial: false,
        }
    }
}

impl ArchiveOptions {
    pub(crate) fn slowed(&self, cancel: &CancelToken) -> Option<Slowed> {
        self.target_rate.as_ref().map(|limit| Slowed {
            limit: Arc::clone(limit),
            cancel: cancel.clone(),
        })
    }

    /// The files that an unfinished archive consists of: what to put on record before it is begun.
    #[must_use]
    pub fn temporary_files(&self) -> Vec<PathBuf> {
        let path = self.path.as_deref();
        path.map(|path| Destination::temporary_files(path, self.compression))
            .unwrap_or_default()
    }

    /// `before`: what 99 of 100 of the guest's writes took before the backup.
    pub(crate) fn settings(&self, before: Option<Duration>) -> Settings {
        let guest_latency = self.guest_latency.unwrap_or_else(|| pacer::limit(before));
        Settings {
            max_depth: self.max_depth,
            guest_latency,
            idle: false,
            rate: self.bwlimit,
            target_timeout: self.target_timeout,
            fleecing_limit: self.fleecing_limit,
        }
    }

    /// What a backup that failed has left of its archive.
    #[must_use]
    pub fn unfinished(&self) -> Unfinished {
        let Some(path) = self.path.clone() else {
            return Unfinished::Gone;
        };
        let temporary = self.temporary_files();
        let keep_partial = self.keep_partial;
        let look = move || {
            let partial = ArchiveFile::partial_name(&path);
            Ok(match temporary.into_iter().find(|file| file.exists()) {
                Some(file) => Unfinished::Left(file),
                None if keep_partial && partial.exists() => Unfinished::Kept(partial),
                None => Unfinished::Gone,
            })
        };
        let unknown = self.temporary_files().into_iter().next();
        deadline::at_target("a look", Duration::ZERO, &CancelToken::new(), look)
            .unwrap_or_else(|_| unknown.map_or(Unfinished::Gone, Unfinished::Left))
    }

    /// The header of an archive of `disks`, and where each goes.
    pub(crate) fn header_of(
        &self,
        disks: &[Arc<dyn Source>],
    ) -> Result<(Header, Vec<PipelineDisk>), Error> {
        let named: Vec<_> = disks
            .iter()
            .map(|disk| (disk.name(), disk.size()))
            .collect();
        let (header, devices) = self.header(&named)?;
        let disks = devices.into_iter().zip(disks).map(|(device, disk)| {
            let source = Arc::clone(disk);
            PipelineDisk { device, source }
        });
        Ok((header, disks.collect()))
    }

    /// The archive's header, with disks of these names and sizes in bytes, and its devices in their order.
    ///
    /// # Errors
    /// [`ErrorKind::Archive`] for what no archive can hold.
    pub(crate) fn header(&self, disks: &[(&str, u64)]) -> Result<(Header, Vec<DeviceId>), Error> {
        let refused = |error| {
            Error::caused(
                ErrorKind::Archive,
                "this does not fit into an archive",
                error,
            )
        };
        let mut builder = HeaderBuilder::new().uuid(self.uuid).ctime(self.ctime);
        if let Some(guest) = &self.guest {
            let names: Vec<&str> = disks.iter().map(|(name, _)| *name).collect();
            let text = guest.archived(&maps(guest, &names)?);
            builder.add_config(GUEST_CONFIG, text).map_err(refused)?;
        }
        if let Some(rules) = &self.firewall {
            builder
                .add_config(FIREWALL, rules.as_slice())
                .map_err(refused)?;
        }
        for (name, data) in &self.configs {
            builder.add_config(name, data.as_slice()).map_err(refused)?;
        }
        let mut devices = Vec::new();
        for (name, size) in disks {
            devices.push(builder.add_device(name, *size).map_err(refused)?);
        }
        Ok((builder.build().map_err(refused)?, devices))
    }
}

/// A map line for each drive of the guest that is among the archive's `devices`, in the order of their
/// keys: a restore looks for the devices of all of them.
fn maps(guest: &GuestConfig, devices: &[&str]) -> Result<Vec<QmdumpMap>, Error> {
    let mut drives = guest.drives().map_err(|error| {
        Error::caused(ErrorKind::Request, "cannot read the guest's drives", error)
    })?;
    drives.retain(|drive| devices.contains(&drive.device_name().as_str()));
    drives.sort_by(|one, other| one.key.cmp(&other.key));
    let map = |drive: &Drive| {
        let id: Option<VolumeId> = drive.volume.parse().ok();
        let storage = id.as_ref().and_then(VolumeId::storage).unwrap_or_default();
        let ending = drive.volume.rsplit_once('.').map(|(_, ending)| ending);
        let format = drive
            .option("format")
            .or_else(|| ending.filter(|ending| ["raw", "qcow2", "vmdk"].contains(ending)));
        QmdumpMap {
            key: drive.key.clone(),
            device: drive.device_name(),
            storage: storage.to_owned(),
            format: format.unwrap_or("raw").to_owned(),
        }
    };
    Ok(drives.iter().map(map).collect())
}

/// What a backup that failed has left, see [`ArchiveOptions::unfinished`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unfinished {
    /// Nothing.
    Gone,
    /// What was asked to be kept.
    Kept(PathBuf),
    /// A temporary file, since the target hangs.
    Left(PathBuf),
}

impl Unfinished {
    /// What people should know of it.
    #[must_use]
    pub fn message(&self) -> Option<String> {
        match self {
            Self::Gone => None,
            Self::Kept(file) => Some(format!(
                "what was written is kept as {}; `vma recover` gives back what is in it",
                file.display()
            )),
            Self::Left(file) => Some(format!(
                "{} could not be removed and is left for `fleece cleanup`",
                file.display()
            )),
        }
    }
}

/// What was written.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Archived {
    /// The archive; `None` for standard output.
    pub path: Option<PathBuf>,
    /// Its size in bytes.
    pub size: u64,
    /// Sum of the disks' sizes in bytes.
    pub disks: u64,
    /// How many of these are zero.
    pub zero: u64,
    /// From the first read to the end of the sync.
    pub took: Duration,
    /// What went wrong although the archive is complete and has its name; it is told already.
    pub warnings: Vec<String>,
}

impl Archived {
    pub(crate) fn new(
        published: Published,
        devices: &[DeviceSummary],
        took: Duration,
        reporter: &dyn Reporter,
    ) -> Self {
        for warning in &published.warnings {
            reporter.report(&Event::Warning(warning.clone().into()));
        }
        Self {
            path: published.path,
            size: published.size,
            disks: devices.iter().map(DeviceSummary::size).sum(),
            zero: devices.iter().map(DeviceSummary::zero_bytes).sum(),
            took,
            warnings: published.warnings,
        }
    }
}

/// Writes an archive of `disks` that need no preparation and no way back: images of a stopped guest,
/// or views that the caller holds.
///
/// With a `watch`, reading follows what the guest feels.
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
    archive_with(
        disks,
        options,
        options.settings(None),
        watch,
        reporter,
        cancel,
    )
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
    let start = Instant::now();
    let counters = Arc::new(Counters::default());
    let destination = Destination::create(options, cancel)?;
    let (output, index) = destination.open(options.slowed(cancel), Arc::clone(&counters))?;
    let (header, devices) = options.header_of(disks)?;
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
    let published = index.commit(archive, options.target_timeout, cancel)?;
    let took = start.elapsed();
    Ok(Archived::new(published, summary.devices(), took, reporter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_archived_drive_has_a_map_line_and_no_other() {
        let text = "scsi1: local:7/vm-7-disk-1.qcow2,size=1G\nscsi0: lvm:vm-7-disk-0,size=1G\n\
                    ide0: /srv/disk.img,format=raw\nscsi2: lvm:vm-7-disk-2,backup=0\n";
        let guest = GuestConfig::parse(text).unwrap();
        let maps = maps(&guest, &["drive-scsi1", "drive-scsi0", "drive-ide0"]).unwrap();
        let lines: Vec<String> = maps.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "#qmdump#map:ide0:drive-ide0::raw:",
                "#qmdump#map:scsi0:drive-scsi0:lvm:raw:",
                "#qmdump#map:scsi1:drive-scsi1:local:qcow2:",
            ]
        );
    }
}
