//! What a backup of disks that no QEMU runs would do, without doing it.

use super::backup::{ImageBackup, ServedBackup};
use super::connection::Connection;
use super::control::{Reply, Request};
use super::guest::unexpected;
use crate::job::cancel::CancelToken;
use crate::report::error::Error;
use crate::report::foresight::{self, Foreseen};
use crate::report::units;
use crate::report::{Counting, Reporter};

/// Tells what [`backup_served`](super::backup_served) would do. No instant is taken; the server tells the names of
/// its disks only with one.
///
/// # Errors
/// Those of the backup that can be foreseen.
pub fn foresee_served(
    job: &ServedBackup,
    reporter: &dyn Reporter,
    cancel: &CancelToken,
) -> Result<Foreseen, Error> {
    let reporter = &Counting::new(reporter);
    job.fleecing_directory()?;
    foresight::left_overs(&job.record, reporter)?;
    let mut connection = Connection::open(&job.control)?;
    let disks = match connection.ask(&Request::Status, cancel)? {
        Reply::Status(status) => status.disks.len(),
        other => return Err(unexpected(&other)),
    };
    reporter.info(format!(
        "would back up the {} behind {}",
        units::count(disks, "disk", "disks"),
        job.control.display()
    ));
    foresight::target(&job.archive.target, None, reporter)?;
    Ok(Foreseen {
        disks: Vec::new(),
        warnings: reporter.warnings(),
    })
}

/// Tells what [`backup_images`](super::backup_images) would do.
///
/// # Errors
/// Those of the backup that can be foreseen.
pub fn foresee_images(job: &ImageBackup, reporter: &dyn Reporter) -> Result<Foreseen, Error> {
    let reporter = &Counting::new(reporter);
    let content = &job.archive.content;
    let mut found = Vec::new();
    let mut named = Vec::new();
    for image in &job.images {
        let (device, _lock) = image.open_for_reading()?;
        named.push((image.name(), device.size()));
    }
    let disks: Vec<_> = named.iter().map(|(name, size)| (&**name, *size)).collect();
    let names: Vec<_> = disks.iter().map(|(name, _)| *name).collect();
    let (content, warnings) = content.fitting(&names)?;
    for warning in warnings {
        reporter.warning(warning);
    }
    content.header(&disks)?;
    for (image, (name, size)) in job.images.iter().zip(&disks) {
        let (name, path) = (content.name(name), image.path().display());
        let bytes = units::bytes(*size);
        reporter.info(format!("would include disk '{name}' '{path}' {bytes}"));
        found.push((name.to_owned(), Some(*size)));
    }
    for name in content.blobs() {
        reporter.info(format!("would include the configuration '{name}'"));
    }
    foresight::left_overs(&job.record, reporter)?;
    let size = disks.iter().map(|(_, size)| *size).sum();
    foresight::target(&job.archive.target, Some(size), reporter)?;
    Ok(Foreseen {
        disks: found,
        warnings: reporter.warnings(),
    })
}
