//! Backups of disks that an NBD server has already, each at the instant to be backed up: somebody else has frozen the
//! guest and taken the point in time, as a Proxmox host does for its backup providers.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use fleece_fleecing::Place;
pub use fleece_nbd::Address;
use fleece_nbd::{Client, Options};
use fleece_storage::Storages;
use fleece_vma_format::Device;

use crate::dump::base::open_base;
use crate::job::archive::ArchiveOptions;
use crate::job::cancel::CancelToken;
use crate::job::earlier::Earlier;
use crate::job::incremental::Incrementally;
use crate::job::{Job, Outcome};
use crate::pipeline::source::Source;
use crate::pipeline::source::marked::marked;
use crate::pipeline::source::nbd::NbdSource;
use crate::report::error::{Error, ErrorKind};
use crate::report::foresight::{self, Foreseen};
use crate::report::{Counting, Reporter, units};
use crate::target::base::BaseArchive;
use crate::target::deadline::at_target;

/// A disk of an NBD server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExportedDisk {
    /// What it is called in the archive.
    pub name: String,
    /// The name of its export.
    pub export: String,
    /// Its size in bytes, which must be that of the export.
    pub size: Option<u64>,
    /// The dirty bitmap of the export: what it does not mark is taken from the earlier archive.
    pub bitmap: Option<String>,
}

/// Written as `NAME[=EXPORT][,size=BYTES][,bitmap=NAME]`; by default, the export has the disk's name.
impl FromStr for ExportedDisk {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let first = parts.next().unwrap_or_default();
        let (name, export) = first.split_once('=').unwrap_or((first, first));
        if name.is_empty() {
            return Err("expected NAME[=EXPORT][,size=BYTES][,bitmap=NAME]".into());
        }
        let mut disk = Self {
            name: name.to_owned(),
            export: export.to_owned(),
            size: None,
            bitmap: None,
        };
        for part in parts {
            match part.split_once('=') {
                Some(("size", bytes)) => disk.size = Some(units::parse_size(bytes)?),
                Some(("bitmap", name)) if !name.is_empty() => disk.bitmap = Some(name.to_owned()),
                _ => return Err(format!("{part:?} is neither size=BYTES nor bitmap=NAME")),
            }
        }
        Ok(disk)
    }
}

/// A backup of what an NBD server exports.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ExportedBackup {
    /// Where the server listens.
    pub server: Address,
    /// The disks.
    pub disks: Vec<ExportedDisk>,
    /// Discard what was read. Only for exports of a point in time whose server takes a discard for "not needed any
    /// more": any other export would lose its data.
    pub release: bool,
    /// The archive that the disks' bitmaps count against.
    pub base: Option<PathBuf>,
    /// How far that is trusted.
    pub incremental: Incrementally,
    /// The guest, and where its record is kept.
    pub record: Place,
    /// Storages by name, for cleaning up.
    pub storages: Storages,
    /// The archive to write.
    pub archive: ArchiveOptions,
}

impl ExportedBackup {
    /// A backup that discards nothing.
    #[must_use]
    pub fn new(
        server: Address,
        disks: Vec<ExportedDisk>,
        record: Place,
        archive: ArchiveOptions,
    ) -> Self {
        Self {
            server,
            disks,
            release: false,
            base: None,
            incremental: Incrementally::default(),
            record,
            storages: Storages::none(),
            archive,
        }
    }

    fn connect(&self, disk: &ExportedDisk) -> Result<Client, Error> {
        let client = Client::connect(&self.server, &disk.export, &Options::default());
        let client = client.map_err(|error| {
            let message = format!("{}: cannot be read from the NBD server", disk.name);
            Error::caused(ErrorKind::Guest, message, error)
        })?;
        if let Some(size) = disk.size.filter(|size| *size != client.size()) {
            let message = format!(
                "{}: the export {:?} has {} bytes instead of {size}",
                disk.name,
                disk.export,
                client.size()
            );
            return Err(Error::new(ErrorKind::Request, message));
        }
        if self.release && !client.can_trim() {
            let message = format!(
                "{}: the export {:?} takes no discards, so nothing can be released",
                disk.name, disk.export
            );
            return Err(Error::new(ErrorKind::Request, message));
        }
        Ok(client)
    }

    fn check(&self) -> Result<(), Error> {
        let refuse = |message| Err(Error::new(ErrorKind::Request, message));
        if self.disks.is_empty() {
            return refuse("no disk is to be backed up; name the exports");
        }
        if self.base.is_none() && self.disks.iter().any(|disk| disk.bitmap.is_some()) {
            return refuse("a bitmap counts against an earlier archive, and none is named");
        }
        Ok(())
    }

    /// The earlier archive, held.
    fn open_base(&self, cancel: &CancelToken) -> Result<Option<BaseArchive>, Error> {
        let Some(path) = self.base.clone() else {
            return Ok(None);
        };
        let limit = self.archive.target.timeout;
        let open = move || open_base(&path);
        at_target("opening the earlier archive", limit, cancel, open).map(Some)
    }

    /// What the bitmap of a disk marks comes from `view`, and the rest from the earlier archive.
    fn changed(
        &self,
        disk: &ExportedDisk,
        view: Arc<dyn Source>,
        earlier: &mut Earlier,
    ) -> Result<Arc<dyn Source>, Error> {
        let (Some(bitmap), Some(base)) = (&disk.bitmap, earlier.base()) else {
            return Ok(view);
        };
        let header = base.base().archive().header();
        let archived = header.device_named(self.archive.content.name(&disk.name));
        let archived = archived.filter(|device| device.size() == view.size());
        let device = archived.map(Device::id).ok_or_else(|| {
            let message = format!(
                "{}: {} has no such disk of that size, and what its bitmap does not mark is nowhere else",
                disk.name,
                base.path().display()
            );
            Error::new(ErrorKind::Request, message)
        })?;
        let dirty = marked(&self.server, &disk.export, bitmap, view.as_ref())?;
        Ok(match earlier.disk(Arc::clone(&view), dirty, device) {
            Some(disk) => {
                disk.release_unread()?;
                Arc::new(disk)
            }
            None => view,
        })
    }
}

/// Backs up what a server exports.
///
/// # Errors
/// The first cause. The archive exists only if there is no error.
pub fn backup_exports(
    job: &ExportedBackup,
    reporter: &dyn Reporter,
    cancel: &CancelToken,
) -> Result<Outcome, Error> {
    let reporter = &Counting::new(reporter);
    job.check()?;
    let base = job.open_base(cancel)?;
    let on_record = Job::open(&job.record, &job.storages, reporter, cancel)?;
    let record = on_record.record();
    let mut earlier = Earlier::none(job.incremental);
    if let Some(base) = base
        && !earlier.take(base, record, &job.archive.target, reporter, cancel)?
    {
        let message =
            "the earlier archive cannot be used, and what the bitmaps do not mark is nowhere else";
        return Err(Error::new(ErrorKind::Request, message));
    }
    let mut sources: Vec<Arc<dyn Source>> = Vec::new();
    for disk in &job.disks {
        let client = job.connect(disk)?;
        reporter.info(format!(
            "include disk '{}' '{}' {}",
            disk.name,
            job.server.uri(&disk.export),
            units::bytes(client.size())
        ));
        let meaning = |_: &_| (ErrorKind::Snapshot, "");
        let source = NbdSource::new(disk.name.clone(), client, meaning);
        let view = Arc::new(match job.release {
            true => source,
            false => source.keep(),
        });
        sources.push(job.changed(disk, view, &mut earlier)?);
    }
    let mut archive = job.archive.clone();
    archive.target.base = earlier.base().cloned();
    let archived = on_record.archive(&sources, &archive, None, reporter, cancel);
    let complete = archived.as_ref().ok().map(|_| &archive.content.uuid);
    // Of an archive that does not line up nothing is ever taken unread.
    if (archive.content.aligned || complete.is_none())
        && let Err(error) = earlier.end(record, complete)
    {
        reporter.warning(error);
    }
    let archived = archived?;
    Ok(Outcome {
        switched: None,
        frozen: None,
        down: None,
        fleecing_peak: None,
        tracked: earlier.base().map(|_| earlier.tracked(&archived)),
        archived,
        warnings: reporter.warnings(),
    })
}

/// Tells what [`backup_exports`] would do.
///
/// # Errors
/// Those of the backup that can be foreseen.
pub fn foresee_exports(job: &ExportedBackup, reporter: &dyn Reporter) -> Result<Foreseen, Error> {
    let reporter = &Counting::new(reporter);
    job.check()?;
    let mut sizes = Vec::new();
    for disk in &job.disks {
        sizes.push((disk.name.as_str(), job.connect(disk)?.size()));
    }
    let names: Vec<_> = sizes.iter().map(|(name, _)| *name).collect();
    let (content, warnings) = job.archive.content.fitting(&names)?;
    for warning in warnings {
        reporter.warning(warning);
    }
    content.header(&sizes)?;
    let mut disks = Vec::new();
    for (name, size) in &sizes {
        let name = content.name(name);
        let bytes = units::bytes(*size);
        reporter.info(format!("would include disk '{name}' {bytes}"));
        disks.push((name.to_owned(), Some(*size)));
    }
    foresight::left_overs(&job.record, reporter)?;
    let size = sizes.iter().map(|(_, size)| *size).sum();
    foresight::target(&job.archive.target, Some(size), reporter)?;
    Ok(Foreseen {
        disks,
        warnings: reporter.warnings(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::archive::content::Content;
    use crate::target::options::ArchiveTarget;

    #[test]
    fn a_disk_has_a_name_and_perhaps_an_export_and_a_size() {
        let disk: ExportedDisk = "drive-scsi0".parse().unwrap();
        assert_eq!(
            (disk.name.as_str(), disk.export.as_str()),
            ("drive-scsi0", "drive-scsi0")
        );
        assert_eq!(disk.size, None);
        let disk: ExportedDisk = "drive-scsi0=disk a,size=4096".parse().unwrap();
        assert_eq!((disk.export.as_str(), disk.size), ("disk a", Some(4096)));
        let disk: ExportedDisk = "a=,size=1G".parse().unwrap();
        assert_eq!((disk.export.as_str(), disk.size), ("", Some(1 << 30)));
        let disk: ExportedDisk = "a,bitmap=b=c,size=512".parse().unwrap();
        assert_eq!(
            (disk.bitmap.as_deref(), disk.size),
            (Some("b=c"), Some(512))
        );
        for wrong in ["", "=a", "a,bitmap=", "a,size=x", "a,bitmap", "a,sizes=1"] {
            wrong.parse::<ExportedDisk>().unwrap_err();
        }
    }

    #[test]
    fn a_bitmap_needs_the_archive_that_it_counts_against() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::new(dir.path(), "100".parse().unwrap(), None);
        let target = ArchiveTarget::file(dir.path().join("new.vma"));
        let archive = ArchiveOptions::new(Content::now(), target);
        let server = Address::Unix(dir.path().join("nbd.sock"));
        let disk = |text: &str| vec![text.parse().unwrap()];
        let of = |disks| ExportedBackup::new(server.clone(), disks, place.clone(), archive.clone());
        assert!(of(disk("a")).check().is_ok());
        let mut job = of(disk("a,bitmap=b"));
        assert_eq!(job.check().unwrap_err().kind(), ErrorKind::Request);
        // One that is not there is found before anything is read.
        job.base = Some(dir.path().join("old.vma"));
        job.check().unwrap();
        let error = job.open_base(&CancelToken::new()).unwrap_err();
        assert!(error.to_string().contains("old.vma"), "{error}");
    }
}
