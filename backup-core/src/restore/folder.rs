//! `fleece restore --to`: images in a folder, and what starts the guest from there without any storage.

mod domain;
pub(crate) mod fuzzing;
mod kept;
mod libvirt;
mod machine;
mod output;
pub(super) mod qemu;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fleece_encryption::Identities;
use fleece_guest_config::{GuestConfig, MACHINE_FILE, MachineRecord, Restoration};
use fleece_storage::VolumeFormat;
use fleece_storage::block::{Qcow2, RawFile, WriteAt};
use fleece_vma_format::Header;

use super::behind::{self, LiveDisk};
use super::choice::{Choice, DiskChoice};
use super::copy::{Copied, Disk, To, copy};
use super::failure::target_error;
use super::opened::Opened;
use super::plan::{self, Found};
use super::{Restored, config, rename};
use crate::job::archive::content::TPM_STATE;
use crate::job::archive::rename::Rename;
use crate::job::cancel::CancelToken;
use crate::report::advice::Advice;
use crate::report::error::{Error, ErrorKind};
use crate::report::units;
use crate::report::{Counting, Reporter, Warning};
pub use domain::{DomainRestore, Place, restore_domain};
pub(super) use machine::Isolation;
use machine::{Image, Machine};
use output::Output;
pub(super) use qemu::SERIAL_LOG;

/// The names of what is generated.
pub(super) const SCRIPT: &str = "start.sh";
const DOMAIN: &str = "domain.xml";

/// A guest to be restored into a folder.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FolderRestore {
    /// The archive; `-` is standard input.
    pub archive: PathBuf,
    /// The secret keys that it is read with, if it is encrypted.
    pub identities: Identities,
    /// Where everything goes; made if it is not there.
    pub folder: PathBuf,
    /// The images' format.
    pub format: VolumeFormat,
    /// Disks that are left out; there is nothing else to choose here.
    pub disks: Vec<DiskChoice>,
    /// Disks that become other drives than those that they were.
    pub renames: Vec<Rename>,
    /// New MAC addresses and a new uuid.
    pub unique: bool,
    /// Replace files that are there.
    pub force: bool,
    /// Write into the images that are there, and of each only what differs; the other files are replaced.
    pub in_place: bool,
    /// Bytes per second written to all disks together.
    pub bwlimit: Option<u64>,
    /// Change nothing, and only tell what would be done.
    pub dry_run: bool,
    /// Only if the guest can be started afterwards.
    pub startable: bool,
    /// Make images that lie over the archive, for a guest that is started on it.
    pub(super) is_live: bool,
    /// The guest is to reach nothing.
    pub(super) isolation: Option<Isolation>,
}

impl FolderRestore {
    /// Raw images from `archive` into `folder`.
    #[must_use]
    pub fn new(archive: PathBuf, folder: PathBuf) -> Self {
        Self {
            archive,
            identities: Identities::new(),
            folder,
            format: VolumeFormat::Raw,
            disks: Vec::new(),
            renames: Vec::new(),
            unique: false,
            force: false,
            in_place: false,
            bwlimit: None,
            dry_run: false,
            startable: false,
            is_live: false,
            isolation: None,
        }
    }
}

/// Restores images into a folder, with the archive's configurations, a script that starts QEMU, and a
/// domain for libvirt. Nothing has its final name before all is complete.
///
/// # Errors
/// Kind `Damage` for an archive that is not whole; `Target` for what cannot be written, or is there;
/// `Request`. Nothing is left then; in place, once the first byte is written, nothing comes back: what is on record in the
/// folder then, and the error, say so.
pub fn restore_folder(
    job: &FolderRestore,
    reporter: &dyn Reporter,
    cancel: &CancelToken,
) -> Result<Restored, Error> {
    if job.in_place && (job.is_live || job.folder.join(behind::RECORD).exists()) {
        let message = format!(
            "{}: images of a guest that runs on its archive are not written into before they are complete",
            job.folder.display()
        );
        return Err(Error::new(ErrorKind::Request, message));
    }
    let reporter = Counting::new(reporter);
    let input = Opened::open(&job.archive, &job.identities, cancel)?;
    let header = input.header().clone();
    let mut archived = config::archived(&header, &reporter)?;
    let mut found = plan::find(&header, &archived)?;
    rename::apply(&mut archived, &mut found, &job.renames)?;
    let found = wanted(found, &job.disks)?;
    let format = |name: &str| match job.in_place {
        true => kept::format(&job.folder, name, job.format),
        false => job.format,
    };
    let images = images(found, &format, &archived)?;
    let mut machine = describe(&archived, &images, job.unique)?;
    if let Some(record) = recorded(&header, &reporter) {
        let devices = images
            .iter()
            .map(|(found, key, _)| (found.device.name(), key.as_str()));
        machine.refine(&record, &devices.collect());
    }
    if header.config(TPM_STATE).is_some() {
        machine.use_tpm_state();
    }
    if let Some(isolation) = &job.isolation {
        machine.isolate(isolation.clone());
    }
    if !machine.notes.is_empty() && job.isolation.is_none() {
        reporter.warning(format!(
            "not all of the guest can be started without its host: {}",
            machine.notes.join("; ")
        ));
    }

    let starts: &[&str] = match foreign_processor(&archived) {
        None => &[SCRIPT, DOMAIN],
        Some(arch) if job.startable => {
            return Err(Error::new(
                ErrorKind::Request,
                format!(
                    "the guest has a processor of another kind ({arch}), and cannot be started from a folder"
                ),
            ));
        }
        Some(arch) => {
            reporter.warning(format!(
                "the guest has a processor of another kind ({arch}): its disks and its configuration are \
                 restored, but no {SCRIPT} and no {DOMAIN}, which are made for x86_64 only"
            ));
            &[]
        }
    };
    let files: Vec<&str> = images
        .iter()
        .map(|(_, _, image)| image.file.as_str())
        .collect();
    let mut made = starts.to_vec();
    made.extend(job.is_live.then_some(behind::RECORD));
    let own = [&files[..], &made].concat();
    let configs = configs(&header, &own, &reporter);
    // Images that are kept have their names.
    let new = if job.in_place { &made } else { &own };
    let names = new
        .iter()
        .copied()
        .chain(configs.iter().map(|(name, _)| *name));
    if job.dry_run {
        return foresee(job, &images, names, &reporter);
    }
    let mut output = Output::create(&job.folder, job.force || job.in_place, names)?;
    let written: Arc<AtomicU64> = Arc::default();
    let (mut disks, mut locks) = (Vec::new(), Vec::new());
    let mut over = Vec::new();
    for (found, key, image) in &images {
        let path = job.folder.join(&image.file);
        let (name, path) = (found.device.name(), path.display());
        if job.is_live && behind::is_behind(key) {
            behind::make_image(&output.path(&image.file), &found.device)?;
            over.push(LiveDisk {
                device: name.to_owned(),
                node: qemu::node(key),
                file: image.file.clone(),
                size: found.device.size(),
            });
            reporter.info(format!(
                "{path} lies over {name} until that is copied to it"
            ));
        } else if job.in_place {
            let (disk, lock) = kept::open(&job.folder, found, image, &written)?;
            disks.push(disk);
            locks.push(lock);
            reporter.info(format!("restore {name} into {path}, as far as it differs"));
        } else {
            disks.push(make(&output, found, image)?);
            reporter.info(format!("restore {name} to {path}"));
        }
    }
    if job.is_live {
        let record = behind::record(&job.archive, &header, over);
        output.write(behind::RECORD, &record, false)?;
    }
    let earlier = job.in_place.then(|| output.begin_overwriting(&files));
    let earlier = earlier.transpose()?;
    let copied = match disks.is_empty() {
        true => Ok(Copied::default()),
        false => copy(input, &disks, job.bwlimit, &reporter, cancel),
    };
    drop((disks, locks));
    let written = written.load(Ordering::Relaxed);
    if let (Some(earlier), Err(_)) = (earlier, &copied) {
        match written {
            0 => output.note_unfinished(earlier)?,
            _ => reporter.warning(format!(
                "the images in {} are neither as before nor as in the archive: do not start the guest before the same \
                 restore has succeeded",
                job.folder.display()
            )),
        }
    }
    let copied = copied?;

    for (name, data) in configs {
        output.write(name, data, false)?;
    }
    if !starts.is_empty() {
        write_domain(&mut output, &machine, &reporter)?;
        let script = qemu::script(&machine, job.is_live);
        output.write(SCRIPT, script.as_bytes(), true)?;
    }
    if let Some(reason) = cancel.reason() {
        return Err(Error::cancelled(reason));
    }
    if let Some(warning) = output.publish(&files)? {
        reporter.warning(warning);
    }
    let path = |image: &Image| job.folder.join(&image.file).display().to_string();
    let disks = images
        .iter()
        .map(|(found, _, image)| (found.device.name().to_owned(), path(image)));
    Ok(Restored {
        path: job.folder.clone(),
        disks: disks.collect(),
        bytes: copied.bytes,
        zero: copied.zero,
        written: job.in_place.then_some(written),
        took: copied.took,
        started: None,
        warnings: reporter.warnings(),
    })
}

/// Tells all that would be made and replaced.
fn foresee<'a>(
    job: &FolderRestore,
    images: &[(Found, String, Image)],
    names: impl Iterator<Item = &'a str>,
    reporter: &Counting<'_>,
) -> Result<Restored, Error> {
    let names: Vec<&str> = names.collect();
    let force = job.force || job.in_place;
    let free = Output::check(&job.folder, force, names.iter().copied())?;
    let path = |name: &str| job.folder.join(name).display().to_string();
    let mut disks = Vec::new();
    for (found, key, image) in images {
        let (name, size) = (found.device.name(), units::bytes(found.device.size()));
        let (file, format) = (path(&image.file), image.format);
        if job.in_place {
            kept::path(&job.folder, found, image)?;
            reporter.info(format!(
                "would restore {name} ({size}) into {file}, as far as it differs, as {key}"
            ));
        } else {
            reporter.info(format!(
                "would restore {name} ({size}) to {file} (format {format}), as {key}"
            ));
        }
        disks.push((name.to_owned(), file));
    }
    let sizes = images.iter().map(|(found, ..)| found.device.size());
    let sizes = units::bytes(sizes.fold(0, u64::saturating_add));
    let folder = job.folder.display();
    match free {
        _ if job.in_place => {}
        Some(free) => reporter.info(format!(
            "the images would take {sizes} at most; {} are free in {folder}",
            units::bytes(free)
        )),
        None => reporter.info(format!("the images would take {sizes} at most")),
    }
    for name in names {
        let verb = match job.folder.join(name).symlink_metadata() {
            Ok(_) => "replace",
            Err(_) => "write",
        };
        reporter.info(format!("would {verb} {}", path(name)));
    }
    reporter.info("nothing was changed: this is a dry run".into());
    Ok(Restored {
        path: job.folder.clone(),
        disks,
        bytes: 0,
        zero: 0,
        written: None,
        took: Duration::ZERO,
        started: None,
        warnings: reporter.warnings(),
    })
}

/// The guest's processor, if it is not one that a script for x86 can start.
fn foreign_processor(archived: &GuestConfig) -> Option<&str> {
    let arch = archived.main().get("arch")?;
    (arch != "x86_64").then_some(arch)
}

/// The disks that are not skipped.
fn wanted(found: Vec<Found>, chosen: &[DiskChoice]) -> Result<Vec<Found>, Error> {
    let choices = plan::choices(&found, chosen)?;
    let stored = |choice: &&&Choice| ***choice != Choice::Skip;
    if choices.iter().flatten().any(|choice| stored(&choice)) {
        let message =
            "all disks go to the folder, in one format; a single disk can only be left out";
        return Err(Error::new(ErrorKind::Request, message).advise(Advice::OnlySkip));
    }
    let kept = found.into_iter().zip(choices);
    Ok(kept
        .filter_map(|(found, choice)| choice.is_none().then_some(found))
        .collect())
}

/// Each disk with the drive that it becomes and its image.
fn images(
    found: Vec<Found>,
    format: &dyn Fn(&str) -> VolumeFormat,
    archived: &GuestConfig,
) -> Result<Vec<(Found, String, Image)>, Error> {
    let mut taken: Vec<String> = found.iter().filter_map(|disk| disk.key.clone()).collect();
    let mut images = Vec::new();
    for disk in found {
        let name = disk.device.name();
        let key = match &disk.key {
            Some(key) => key.clone(),
            None => free_key(archived, &taken, name)?,
        };
        taken.push(key.clone());
        // swtpm reads its state from a plain file.
        let format = match key.as_str() {
            "tpmstate0" => VolumeFormat::Raw,
            _ => format(name),
        };
        let file = kept::file(name, format);
        images.push((disk, key, Image { file, format }));
    }
    Ok(images)
}

/// A place for a disk of which the configuration does not tell.
fn free_key(archived: &GuestConfig, taken: &[String], name: &str) -> Result<String, Error> {
    let free = |key: &String| archived.main().get(key).is_none() && !taken.contains(key);
    config::free_keys().find(free).ok_or_else(|| {
        let message = format!("the guest has no slot left for {name}");
        Error::new(ErrorKind::Target, message).advise(Advice::SkipDisk(name.to_owned()))
    })
}

/// What Fleece recorded of the machine, if it did.
fn recorded(header: &Header, reporter: &Counting<'_>) -> Option<MachineRecord> {
    let record = MachineRecord::parse(header.config(MACHINE_FILE)?);
    record
        .map_err(|error| {
            let message = "the archived record of the machine is not used";
            reporter.warning(Error::caused(ErrorKind::Target, message, error));
        })
        .ok()
}

/// The archive's configurations, but for one that has the name of something else of ours.
fn configs<'a>(
    header: &'a Header,
    own: &[&str],
    reporter: &Counting<'_>,
) -> Vec<(&'a str, &'a [u8])> {
    let (clash, fine): (Vec<_>, Vec<_>) = header
        .configs()
        .iter()
        .map(|config| (config.name(), config.data()))
        .partition(|(name, _)| own.contains(name));
    for (name, _) in clash {
        let message =
            format!("the archived configuration {name} is left out: another file has that name");
        reporter.warning(Warning::advised(
            message,
            Advice::PrintConfig(name.to_owned()),
        ));
    }
    fine
}

fn make(output: &Output, found: &Found, image: &Image) -> Result<Disk, Error> {
    let path = output.path(&image.file);
    let size = found.device.size();
    let disk: Arc<dyn WriteAt> = match image.format {
        VolumeFormat::Qcow2 => Arc::new(Qcow2::create(&path, size).map_err(target_error)?),
        _ => Arc::new(RawFile::create(&path, size).map_err(target_error)?),
    };
    Ok(Disk {
        device: found.device.clone(),
        to: To::New {
            disk,
            zeroes_needed: false,
        },
    })
}

/// The guest with the identity that it is to have.
fn describe(
    archived: &GuestConfig,
    images: &[(Found, String, Image)],
    unique: bool,
) -> Result<Machine, Error> {
    let failed = |error| {
        let message = "cannot understand the archived guest configuration";
        Error::caused(ErrorKind::Target, message, error).advise(Advice::ExtractDisks)
    };
    let restoration: Restoration = config::identity(unique);
    let config = archived
        .restored(&restoration, config::random)
        .map_err(failed)?;
    let images: BTreeMap<String, Image> = images
        .iter()
        .map(|(_, key, image)| (key.clone(), image.clone()))
        .collect();
    Machine::new(&config, images).map_err(failed)
}

fn write_domain(
    output: &mut Output,
    machine: &Machine,
    reporter: &Counting<'_>,
) -> Result<(), Error> {
    let folder = std::path::absolute(output.folder()).ok();
    let folder = folder.as_deref().and_then(Path::to_str);
    // XML has no way to write the others, and neither has libvirt.
    let folder = folder.filter(|path| !path.contains(char::is_control));
    let Some(folder) = folder else {
        reporter.warning(format!(
            "there is no {DOMAIN}: the folder's path cannot be written in XML; choose another for libvirt"
        ));
        output.forget(DOMAIN);
        return Ok(());
    };
    let domain = libvirt::domain(machine, folder).map_err(|error| {
        Error::caused(ErrorKind::Target, format!("cannot write {DOMAIN}"), error)
    })?;
    output.write(DOMAIN, &domain, false)
}

#[cfg(test)]
mod tests;
