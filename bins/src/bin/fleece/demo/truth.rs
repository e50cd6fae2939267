//! Whether the archive holds what the disks held.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::PathBuf;

use fleece_backup_core::{Error, ErrorKind};
use fleece_storage::block::{RawFile, WriteAt as _};
use fleece_vma_format::restore::{self, Target, Targets};
use fleece_vma_format::verify::{self, Damage, Watch};
use fleece_vma_format::{Reader, container};

use super::disks::{self, failed, go_on};
use super::phases::Stage;

/// Verifies the archive, restores it, and compares; tells what is wrong and returns false if
/// anything is.
pub(super) fn check(stage: &Stage<'_>) -> Result<bool, Error> {
    stage
        .log
        .info("The archive is verified, restored, and compared with the copies.");
    if !verify(stage)? {
        return Ok(false);
    }
    // They are not needed any more, and their room is.
    for disk in &stage.disks {
        fs::remove_file(&disk.path).map_err(unreadable)?;
    }
    restore(stage)?;
    let mut equal = true;
    for disk in &stage.disks {
        let (copy, restored) = (stage.copy_of(disk), restored(stage, disk.name));
        if let Some(offset) = disks::difference(&copy, &restored, stage.cancel)? {
            equal = false;
            let message = format!("{} differs from its copy at byte {offset}", disk.name);
            stage.log.error(&Error::new(ErrorKind::Archive, message));
        }
    }
    Ok(equal)
}

fn verify(stage: &Stage<'_>) -> Result<bool, Error> {
    // With an index, the payload is verified, too.
    let mut index = container::embedded_index(open(stage)?)
        .map_err(unreadable)?
        .map(BufReader::new);
    let index = index.as_mut().map(|index| index as &mut dyn Read);
    let stream = container::open(open(stage)?).map_err(unreadable)?;
    let verified = verify::verify(stream, index, &mut Tell(stage)).map_err(unreadable)?;
    go_on(stage.cancel)?;
    Ok(verified.damages == 0)
}

struct Tell<'a>(&'a Stage<'a>);

impl Watch for Tell<'_> {
    fn damage(&mut self, damage: Damage) {
        self.0
            .log
            .error(&Error::new(ErrorKind::Archive, damage.to_string()));
    }
}

fn restore(stage: &Stage<'_>) -> Result<(), Error> {
    let stream = container::open(open(stage)?).map_err(unreadable)?;
    let mut reader = Reader::new(stream).map_err(unreadable)?;
    let mut targets = Targets::new();
    for device in reader.header().devices() {
        let path = restored(stage, device.name());
        let file = RawFile::create(&path, device.size()).map_err(failed)?;
        targets.insert(device.id(), Box::new(Restored(file)));
    }
    let restored = restore::from_stream(&mut reader, &targets, &mut |_| {
        go_on(stage.cancel).map_err(|error| {
            fleece_vma_format::Error::io("the restore was ended", io::Error::other(error))
        })
    });
    go_on(stage.cancel)?;
    restored.map_err(unreadable)
}

struct Restored(RawFile);

impl Target for Restored {
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_at(data, offset).map_err(io::Error::other)
    }

    fn zero_at(&self, offset: u64, length: u64) -> io::Result<()> {
        self.0
            .write_zeroes(offset, length)
            .map_err(io::Error::other)
    }

    fn zeroes_needed(&self) -> bool {
        false
    }
}

fn restored(stage: &Stage<'_>, name: &str) -> PathBuf {
    stage.directory.join(format!("{name}.restored"))
}

fn open(stage: &Stage<'_>) -> Result<File, Error> {
    File::open(stage.archive()).map_err(unreadable)
}

fn unreadable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::caused(ErrorKind::Archive, "cannot use the archive", error)
}
