//! The guest's disks: making them, copying them, comparing them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fleece_backup_core::cbw::Filter;
use fleece_backup_core::{CancelToken, Error, ErrorKind};
use fleece_storage::block::{
    self, Access, BlockStatus as _, Geometry as _, RawFile, ReadAt as _, Status, WriteAt as _,
};

/// How much is filled, copied or compared at once.
const STRETCH: u64 = LENGTH as u64;
const LENGTH: usize = 1 << 20;

/// A disk of the guest.
pub(super) struct Disk {
    /// As Proxmox would call it.
    pub(super) name: &'static str,
    pub(super) path: PathBuf,
    /// What the guest writes to.
    pub(super) filter: Arc<Filter>,
}

/// Makes two disks of `size` bytes together: a third holes, a third noise, a third text.
pub(super) fn create(
    directory: &Path,
    size: u64,
    cancel: &CancelToken,
) -> Result<Vec<Disk>, Error> {
    // Stretches are whole, so that the disks need no care at their ends.
    let first = (size / 2).next_multiple_of(STRETCH);
    let second = size.saturating_sub(first).next_multiple_of(STRETCH);
    [("drive-scsi0", first), ("drive-scsi1", second)]
        .into_iter()
        .map(|(name, size)| {
            let path = directory.join(format!("{name}.raw"));
            let device = RawFile::create(&path, size).map_err(failed)?;
            fill(&device, cancel)?;
            Ok(Disk {
                name,
                path,
                filter: Filter::new(Arc::new(device)),
            })
        })
        .collect()
}

fn fill(device: &RawFile, cancel: &CancelToken) -> Result<(), Error> {
    let mut random = fastrand::Rng::with_seed(device.size());
    for (number, offset) in stretches(device.size()).enumerate() {
        go_on(cancel)?;
        let mut data = vec![0; LENGTH];
        match number % 3 {
            0 => continue,
            1 => random.fill(&mut data),
            _ => data = TEXT.bytes().cycle().take(LENGTH).collect(),
        }
        device.write_at(&data, offset).map_err(failed)?;
    }
    // Otherwise the kernel would write it while the guest's writes are measured.
    device.flush().map_err(failed)
}

const TEXT: &str = "A fleece keeps warm whoever wears it, and the sheep grows another.\n";

/// Copies what a disk holds now to `path`, leaving holes where it has some.
pub(super) fn copy(disk: &Disk, path: &Path, cancel: &CancelToken) -> Result<(), Error> {
    let from = RawFile::open(&disk.path, Access::ReadOnly).map_err(failed)?;
    let to = RawFile::create(path, from.size()).map_err(failed)?;
    for offset in stretches(from.size()) {
        go_on(cancel)?;
        if let Some(data) = read(&from, offset)? {
            to.write_at(&data, offset).map_err(failed)?;
        }
    }
    to.flush().map_err(failed)
}

/// The first offset at which two images of the same size differ, in bytes.
pub(super) fn difference(
    one: &Path,
    other: &Path,
    cancel: &CancelToken,
) -> Result<Option<u64>, Error> {
    let one = RawFile::open(one, Access::ReadOnly).map_err(failed)?;
    let other = RawFile::open(other, Access::ReadOnly).map_err(failed)?;
    if one.size() != other.size() {
        return Ok(Some(one.size().min(other.size())));
    }
    let zeroes = vec![0; LENGTH];
    for offset in stretches(one.size()) {
        go_on(cancel)?;
        let (a, b) = (read(&one, offset)?, read(&other, offset)?);
        let (a, b) = (a.as_ref().unwrap_or(&zeroes), b.as_ref().unwrap_or(&zeroes));
        if a != b {
            let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
            return Ok(Some(offset.saturating_add(same as u64)));
        }
    }
    Ok(None)
}

/// A stretch, or `None` if it is a hole.
fn read(device: &RawFile, offset: u64) -> Result<Option<Vec<u8>>, Error> {
    let extent = device.block_status(offset, STRETCH).map_err(failed)?;
    if extent.status == Status::Zero && extent.len >= STRETCH {
        return Ok(None);
    }
    let mut data = vec![0; LENGTH];
    device.read_at(&mut data, offset).map_err(failed)?;
    Ok(Some(data))
}

fn stretches(size: u64) -> impl Iterator<Item = u64> {
    (0..size / STRETCH).map(|number| number.saturating_mul(STRETCH))
}

/// An error once the demo is to end.
pub(super) fn go_on(cancel: &CancelToken) -> Result<(), Error> {
    cancel
        .reason()
        .map_or(Ok(()), |reason| Err(Error::cancelled(reason)))
}

pub(super) fn failed(error: block::Error) -> Error {
    Error::caused(ErrorKind::Storage, "the demo's files", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_equal_until_one_byte_changes() {
        let dir = tempfile::tempdir().unwrap();
        let cancel = CancelToken::new();
        let disks = create(dir.path(), crate::cli::values::SMALLEST, &cancel).unwrap();
        let path = dir.path().join("copy");
        let disk = disks.first().unwrap();
        copy(disk, &path, &cancel).unwrap();
        assert_eq!(difference(&disk.path, &path, &cancel).unwrap(), None);
        // In a hole, and in data.
        for offset in [STRETCH + 7, 9] {
            disk.filter.write_at(b"!", offset).unwrap();
            let found = difference(&disk.path, &path, &cancel).unwrap();
            assert_eq!(found, Some(offset));
        }
    }
}
