//! The feature bits of a qcow2 header: which of them concern whom.

use super::extensions::Extensions;
use crate::block::{Error, ErrorKind, Operation, Result};

/// Refcounts may be wrong. They tell which clusters are free, which concerns writers only.
const DIRTY: u64 = 1 << 0;

/// Some table is known to be wrong.
const CORRUPT: u64 = 1 << 1;

/// The clusters are in another file.
pub(super) const DATA_FILE: u64 = 1 << 2;

/// Compressed clusters are in the way that the header's `compression_type` names.
pub(super) const COMPRESSION: u64 = 1 << 3;

/// An L2 entry has 16 bytes, and 32 subclusters.
pub(super) const EXTENDED_L2: u64 = 1 << 4;

/// What the reader knows.
const READ: u64 = DIRTY | DATA_FILE | COMPRESSION | EXTENDED_L2;

/// Refuses an image whose tables cannot be believed, or understood. Unknown bits have a name in the header, at best.
pub(super) fn check_readable(incompatible: u64, extensions: &Extensions) -> Result<()> {
    if incompatible & CORRUPT != 0 {
        return Err(unsupported(
            "the image is marked corrupt; repair it with `qemu-img check -r all`",
        ));
    }
    let unknown = incompatible & !READ & !CORRUPT;
    if unknown == 0 {
        return Ok(());
    }
    let names: Vec<String> = (0..64)
        .filter(|bit| unknown & 1_u64.wrapping_shl(*bit) != 0)
        .map(|bit| match extensions.feature(bit) {
            Some(name) => format!("{bit} ({name})"),
            None => bit.to_string(),
        })
        .collect();
    Err(unsupported(format!(
        "it has incompatible features that are not known here: bit {}; convert it with a `qemu-img convert` that knows them",
        names.join(", ")
    )))
}

/// Refuses an image that the writer, which knows none of them, would damage.
pub(super) fn check_writable(incompatible: u64) -> Result<()> {
    let reason = match incompatible {
        0 => return Ok(()),
        bits if bits & !DIRTY == 0 => {
            "its reference counts are marked dirty; repair them with `qemu-img check -r all`"
        }
        _ => {
            "images with a data file, zstd compression or extended L2 entries are only read; \
             `qemu-img convert` makes a plain one"
        }
    };
    Err(unsupported(reason))
}

fn unsupported(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unsupported, Operation::Open).because(why)
}
