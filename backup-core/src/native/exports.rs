//! Backups of disks that an NBD server has already, each at the instant to be backed up: somebody else has frozen the
//! guest and taken the point in time, as a Proxmox host does for its backup providers.

use std::str::FromStr;
use std::sync::Arc;

use fleece_fleecing::Place;
pub use fleece_nbd::Address;
use fleece_nbd::{Client, Options};
use fleece_storage::Storages;

use crate::job::archive::ArchiveOptions;
use crate::job::cancel::CancelToken;
use crate::job::{Job, Outcome};
use crate::pipeline::source::Source;
use crate::pipeline::source::nbd::NbdSource;
use crate::report::error::{Error, ErrorKind};
use crate::report::foresight::{self, Foreseen};
use crate::report::{Counting, Reporter, units};

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
}

/// Written as `NAME[=EXPORT][,size=BYTES]`; by default, the export has the disk's name.
impl FromStr for ExportedDisk {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let first = parts.next().unwrap_or_default();
        let (name, export) = first.split_once('=').unwrap_or((first, first));
        if name.is_empty() {
            return Err("expected NAME[=EXPORT][,size=BYTES]".into());
        }
        let mut disk = Self {
            name: name.to_owned(),
            export: export.to_owned(),
            size: None,
        };
        for part in parts {
            match part.split_once('=') {
                Some(("size", bytes)) => disk.size = Some(units::parse_size(bytes)?),
                _ => return Err(format!("{part:?} is not size=BYTES")),
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
        let none = "no disk is to be backed up; name the exports";
        match self.disks.is_empty() {
            true => Err(Error::new(ErrorKind::Request, none)),
            false => Ok(()),
        }
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
        sources.push(Arc::new(match job.release {
            true => source,
            false => source.keep(),
        }));
    }
    let on_record = Job::open(&job.record, &job.storages, reporter, cancel)?;
    let archived = on_record.archive(&sources, &job.archive, None, reporter, cancel)?;
    Ok(Outcome {
        archived,
        switched: None,
        frozen: None,
        down: None,
        fleecing_peak: None,
        tracked: None,
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
        for wrong in ["", "=a", "a,size=x", "a,bitmap", "a,sizes=1"] {
            wrong.parse::<ExportedDisk>().unwrap_err();
        }
    }
}
