//! Images that the command line names, in a format that it names, too: nothing is guessed from what a guest may have
//! written.

use std::path::Path;
use std::sync::Arc;

use fleece_backup_core::PackedDisk;
use fleece_storage::block::{Access, Backing, FORMAT_BYTES, Qcow2, RawFile, WriteAt, image_format};
use fleece_vma_format::Source as _;

use super::failure::{Failure, Result};

/// How much larger than the device a target may be, in bytes, as in the reference.
const MAX_EXCESS: u64 = 4 << 20;

/// Opens an image to be read. A qcow2's backing files are part of it.
pub(super) fn open(path: &Path, format: &str) -> Result<PackedDisk> {
    Ok(PackedDisk::new(match format {
        "raw" => Box::new(RawFile::open(path, Access::ReadOnly)?),
        "qcow2" => Box::new(Qcow2::open(path, Backing::Follow)?),
        _ => return Err(unknown_format(format)),
    }))
}

/// That a raw image does not look like one of another format.
pub(super) fn check_format(disk: &PackedDisk, path: &Path) -> Result<()> {
    let mut start = [0; FORMAT_BYTES];
    disk.read_at(0, &mut start)
        .map_err(|e| Failure::io(format!("cannot read {}", path.display()), e))?;
    let Some(format) = image_format(&start) else {
        return Ok(());
    };
    let right = match format {
        "qcow2" => "use -d format=qcow2:NAME=PATH",
        _ => "convert it first with `qemu-img convert`",
    };
    Err(Failure::new(format!(
        "{}: this looks like a {format} image; {right}, or -d format=raw:NAME=PATH if these are the disk's own bytes",
        path.display()
    )))
}

/// Opens an existing image or block device for a device of `size` bytes.
pub(super) fn open_target(path: &Path, format: &str, size: u64) -> Result<Arc<dyn WriteAt>> {
    let device: Arc<dyn WriteAt> = match format {
        "raw" => Arc::new(RawFile::open(path, Access::ReadWrite)?),
        "qcow2" => Arc::new(Qcow2::open_writable(path)?),
        _ => return Err(unknown_format(format)),
    };
    let there = device.size();
    if there < size || there.saturating_sub(size) > MAX_EXCESS {
        return Err(Failure::new(format!(
            "{}: unexpected size {there} for a device of {size} bytes (up to 4 MiB more is fine)",
            path.display()
        )));
    }
    Ok(device)
}

fn unknown_format(format: &str) -> Failure {
    Failure::new(format!(
        "image format {format} is not supported: use raw or qcow2, or convert it with qemu-img"
    ))
}
