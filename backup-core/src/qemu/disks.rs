//! Which of the guest's disks are backed up; each other one is told, with the reason.

use std::path::Path;

use fleece_fleecing::{Advice as FleecingAdvice, Disk, Hardware, Inventory, Severity};
use fleece_guest_config::{ConfigFile, MACHINE_FILE};
use fleece_qmp_client::Client;
use fleece_vma_format::MAX_BLOB_SIZE;

use super::job::GuestBackup;
use crate::job::archive::content::Content;
use crate::report::Counting;
use crate::report::advice::Advice;
use crate::report::error::{Error, ErrorKind};

/// The disks that the job asks for, in QEMU's order.
pub(super) fn select(
    job: &GuestBackup,
    mut inventory: Inventory,
    reporter: &Counting<'_>,
) -> Result<Vec<Disk>, Error> {
    inventory.rename(&job.disk_names);
    let Inventory {
        disks, left_out, ..
    } = inventory;
    let known: Vec<_> = disks.iter().map(|disk| disk.name.as_str()).collect();
    let others: Vec<_> = left_out.iter().map(|disk| disk.name.as_str()).collect();
    for name in job.include.iter().chain(&job.exclude) {
        if !known.iter().chain(&others).any(|disk| is(disk, name)) {
            return Err(Error::new(
                ErrorKind::Request,
                format!(
                    "the guest has no disk '{name}'; it has {}",
                    known.join(", ")
                ),
            ));
        }
    }
    let mut refusals = Vec::new();
    let mut excluded = Vec::new();
    for disk in left_out {
        if job.include.iter().any(|name| is(&disk.name, name)) {
            refusals.push(format!("disk '{}': {}", disk.name, disk.reason));
        } else if job.wants(&disk.name) {
            let told = format!("leave out disk '{}': {}", disk.name, disk.reason);
            match disk.severity {
                Severity::Note => reporter.info(told),
                Severity::Warning => reporter.warning(told),
                _ => {
                    refusals.push(format!("disk '{}': {}", disk.name, disk.reason));
                    excluded.push(disk.name.trim_start_matches("drive-").to_owned());
                }
            }
        } else {
            reporter.info(not_wanted(&disk.name));
        }
    }
    if !refusals.is_empty() {
        let error = Error::new(ErrorKind::Guest, refusals.join("; "));
        return Err(match excluded.is_empty() {
            true => error,
            false => error.advise(Advice::Fleecing(FleecingAdvice::ExcludeDisks(excluded))),
        });
    }
    if disks.is_empty() {
        return Err(Error::new(
            ErrorKind::Guest,
            "this QEMU has no writable disk, so there is nothing to back up",
        ));
    }
    let (wanted, unwanted): (Vec<_>, Vec<_>) =
        disks.into_iter().partition(|disk| job.wants(&disk.name));
    for disk in &unwanted {
        reporter.info(not_wanted(&disk.name));
    }
    for disk in wanted.iter().filter(|disk| disk.encrypted) {
        // No warning: who encrypts images has chosen so, every night.
        reporter.info(format!(
            "disk '{}' is encrypted, and QEMU decrypts it: the archive and the fleecing image hold it as \
             plain text",
            disk.name
        ));
    }
    match wanted.is_empty() {
        false => Ok(wanted),
        true => Err(Error::new(
            ErrorKind::Request,
            "all disks are excluded; nothing to back up",
        )),
    }
}

/// What goes into the archive beside the disks: of a guest without a configuration, one that is made from what QEMU
/// says of its machine.
pub(super) fn described(
    job: &GuestBackup,
    client: &Client,
    disks: &[Disk],
    reporter: &Counting<'_>,
) -> Result<Content, Error> {
    let names: Vec<&str> = disks.iter().map(|disk| disk.name.as_str()).collect();
    let (mut content, warnings) = job.archive.content.fitting(&names)?;
    for warning in warnings {
        reporter.warning(warning);
    }
    if content.guest.is_some() || content.has_config() {
        return Ok(content);
    }
    match Hardware::of(client) {
        Ok(None) => {}
        Ok(Some(hardware)) => {
            let mut disks = disks.to_vec();
            for disk in &mut disks {
                disk.name = content.name(&disk.name).to_owned();
            }
            let (config, maps, notes) = hardware.config(&disks);
            (content.guest, content.drives) = (Some(config), Some(maps));
            if !content.configs.iter().any(|(name, _)| name == MACHINE_FILE) {
                let mut record = hardware.record(client, &disks)?;
                if record.to_bytes().len() > MAX_BLOB_SIZE {
                    record.command_line.clear();
                }
                match record.to_bytes() {
                    fits if fits.len() <= MAX_BLOB_SIZE => {
                        content.configs.push((MACHINE_FILE.to_owned(), fits));
                    }
                    _ => reporter.warning(format!(
                        "the record of the machine, {MACHINE_FILE}, is too large for an archive and left out"
                    )),
                }
            }
            for note in notes {
                reporter.info(format!("the archived configuration: {note}"));
            }
        }
        Err(error) => reporter.warning(Error::from(error)),
    }
    Ok(content)
}

fn not_wanted(disk: &str) -> String {
    format!("leave out disk '{disk}', as asked for")
}

impl GuestBackup {
    /// Leaves out the disks that the guest's configuration excludes, with `backup=0` for example.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Request`] for a configuration whose drives cannot be understood.
    pub fn heed(&mut self, config: &Path) -> Result<(), Error> {
        let failed =
            |error| Error::caused(ErrorKind::Request, "cannot read the guest's drives", error);
        let config = ConfigFile::new(config).load().map_err(failed)?;
        let drives = config.drives().map_err(failed)?.into_iter();
        let excluded = drives.filter(|drive| !drive.is_included() && !drive.is_cdrom);
        self.unwanted
            .extend(excluded.map(|drive| drive.device_name()));
        Ok(())
    }

    fn wants(&self, disk: &str) -> bool {
        (self.include.is_empty() || self.include.iter().any(|name| is(disk, name)))
            && !self
                .exclude
                .iter()
                .chain(&self.unwanted)
                .any(|name| is(disk, name))
    }
}

/// Whether a disk is meant by a name, with or without its `drive-`.
fn is(disk: &str, name: &str) -> bool {
    disk == name || disk.strip_prefix("drive-") == Some(name)
}
