//! Whether the archive holds what the disks held.

use std::fs;
use std::path::Path;

use fleece_backup_core::dump::DumpDirectory;
use fleece_backup_core::restore::{FolderRestore, restore_folder};
use fleece_backup_core::{Error, ErrorKind};
use fleece_encryption::Identities;

use super::disks;
use super::phases::Stage;

/// Verifies the archive, restores it, and compares; says what is wrong and returns false if anything is.
pub(super) fn check(stage: &Stage<'_>) -> Result<bool, Error> {
    stage
        .log
        .info("The archive is verified, restored, and compared with the copies.");
    let directory = DumpDirectory::new(stage.directory);
    let backup = directory.find(super::phases::ARCHIVE)?;
    let checked = directory.verify_telling(&backup, &Identities::new(), stage.log, stage.cancel)?;
    if checked.damages > 0 {
        return Ok(false);
    }
    // The disks are not needed any more, and the space is.
    for disk in &stage.disks {
        let gone = fs::remove_file(&disk.path);
        gone.map_err(|e| Error::caused(ErrorKind::Storage, "cannot remove a disk", e))?;
    }
    let folder = stage.directory.join("restored");
    let job = FolderRestore::new(backup.path().to_owned(), folder);
    let restored = restore_folder(&job, stage.log, stage.cancel)?;

    let mut equal = restored.disks.len() == stage.disks.len();
    for (disk, (_, image)) in stage.disks.iter().zip(&restored.disks) {
        let (copy, image) = (stage.copy_of(disk), Path::new(image));
        if let Some(offset) = disks::difference(&copy, image, stage.cancel)? {
            equal = false;
            let message = format!("{} differs from its copy at byte {offset}", disk.name);
            stage.log.error(&Error::new(ErrorKind::Archive, message));
        }
    }
    Ok(equal)
}
