//! Finding zeroes, and making them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

/// Whether all bytes are zero.
///
/// The first word decides most data; the rest is folded in blocks that the compiler turns into
/// vector instructions, which `iter().all(…)` is not.
#[must_use]
pub fn is_zero(bytes: &[u8]) -> bool {
    let (blocks, rest) = bytes.as_chunks::<1024>();
    blocks.iter().all(block_is_zero) && rest.iter().all(|byte| *byte == 0)
}

fn block_is_zero(block: &[u8; 1024]) -> bool {
    let (words, _) = block.as_chunks::<8>();
    let word = |bytes: &[u8; 8]| u64::from_ne_bytes(*bytes);
    words.first().is_none_or(|first| word(first) == 0)
        && words.iter().fold(0, |any, bytes| any | word(bytes)) == 0
}

/// Make a range of a file or block device read as zeroes, by the first way that works:
///
/// 1. punch a hole, which also gives back the space (on block devices: only where the device
///    promises zeroes afterwards);
/// 2. zero the range in the file system, or let the kernel zero the device;
/// 3. write zeroes.
///
/// The range must be inside the file.
pub(super) fn zero_range(file: &File, offset: u64, len: u64) -> io::Result<()> {
    for flags in [FallocateFlags::PUNCH_HOLE, FallocateFlags::ZERO_RANGE] {
        match fallocate(file, flags | FallocateFlags::KEEP_SIZE, offset, len) {
            Ok(()) => return Ok(()),
            Err(error) if is_refusal(error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    write_zeroes(file, offset, len)
}

/// Give back the space of a range, if there is a way.
///
/// Block devices free space only where they promise zeroes afterwards (NVMe, SCSI with write same,
/// loop); a thin logical volume does not, and there is no safe wrapper for `BLKDISCARD`.
pub(super) fn discard_range(file: &File, offset: u64, len: u64) -> io::Result<()> {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    match fallocate(file, flags, offset, len) {
        Err(error) if !is_refusal(error) => Err(error.into()),
        _ => Ok(()),
    }
}

/// Whether the call does not exist here, as opposed to having failed. `EINVAL` is what block devices
/// say to ranges that are not aligned to their sectors.
fn is_refusal(error: Errno) -> bool {
    matches!(
        error,
        Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::NODEV
    )
}

fn write_zeroes(file: &File, mut offset: u64, mut len: u64) -> io::Result<()> {
    static ZEROES: [u8; 64 * 1024] = [0; 64 * 1024];
    while len > 0 {
        let part = usize::try_from(len).map_or(ZEROES.len(), |len| len.min(ZEROES.len()));
        file.write_all_at(ZEROES.get(..part).unwrap_or(&ZEROES), offset)?;
        offset = offset.saturating_add(part as u64);
        len = len.saturating_sub(part as u64);
    }
    Ok(())
}
