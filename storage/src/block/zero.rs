//! Finding zeroes, and making them.

use std::fs::File;
use std::io;

use super::system;

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
    if system::punch(file, offset, len)? {
        return Ok(());
    }
    zero_range_allocated(file, offset, len)
}

/// The same without a hole: the second of these ways, or the third.
pub(super) fn zero_range_allocated(file: &File, offset: u64, len: u64) -> io::Result<()> {
    if system::zero(file, offset, len)? {
        return Ok(());
    }
    in_pieces(offset, len, |zeroes, offset| {
        system::write_all_at(file, zeroes, offset)
    })
}

/// Give back the space of a range, if there is a way.
///
/// Block devices free space only where they promise zeroes afterwards (NVMe, SCSI with write same,
/// loop); a thin logical volume does not, and there is no safe wrapper for `BLKDISCARD`.
pub(super) fn discard_range(file: &File, offset: u64, len: u64) -> io::Result<()> {
    system::punch(file, offset, len).map(drop)
}

/// Write zeroes over a range, a piece at a time.
pub(super) fn in_pieces<E>(
    mut offset: u64,
    mut len: u64,
    write: impl Fn(&[u8], u64) -> Result<(), E>,
) -> Result<(), E> {
    static ZEROES: [u8; 64 * 1024] = [0; 64 * 1024];
    while len > 0 {
        let part = usize::try_from(len).map_or(ZEROES.len(), |len| len.min(ZEROES.len()));
        write(ZEROES.get(..part).unwrap_or(&ZEROES), offset)?;
        offset = offset.saturating_add(part as u64);
        len = len.saturating_sub(part as u64);
    }
    Ok(())
}
