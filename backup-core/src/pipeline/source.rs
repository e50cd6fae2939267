//! What a backup reads: a disk as it was at one instant.

pub(crate) mod incremental;
pub(crate) mod marked;
pub(crate) mod nbd;
pub(crate) mod packed;
mod sample;

use fleece_vma_format::Known;

use crate::report::error::Error;

/// A disk at one instant: it gives the same bytes however long the reading takes and whatever the
/// guest writes meanwhile.
///
/// Methods are called from several threads at once.
pub trait Source: Send + Sync {
    /// The device name in the archive, e.g. `drive-scsi0`.
    fn name(&self) -> &str;

    /// Size in bytes.
    fn size(&self) -> u64;

    /// Which parts of `offset .. offset + length` read as zeroes, in order and without gaps.
    ///
    /// Nothing in the range may have been released before.
    ///
    /// # Errors
    /// When the source cannot be asked any more; the backup has failed then.
    fn block_status(&self, offset: u64, length: u64) -> Result<Vec<Extent>, Error>;

    /// Fills `buffer` from `offset` on and gives it back.
    ///
    /// The buffer is passed by value so that a source can hand it to another thread and let the
    /// bytes land in it without a copy.
    ///
    /// # Errors
    /// When the instant can no longer be read; the backup has failed then.
    fn read(&self, offset: u64, buffer: Vec<u8>) -> Result<Vec<u8>, Error>;

    /// The range has been read and will never be asked for again: the source may free what it
    /// keeps for it, and need not save it from the guest's writes any longer.
    ///
    /// May return before it is done; errors then show in [`Source::finish`].
    ///
    /// # Errors
    /// When the source is gone. A source that cannot free anything returns `Ok`.
    fn release(&self, offset: u64, length: u64) -> Result<(), Error>;

    /// What an earlier archive has of a cluster that has not changed since: it need not be read then, and is not.
    fn known(&self, _cluster: u64) -> Option<Known> {
        None
    }

    /// The backup is given up: reads under way and later ones end at once, with any error.
    fn abort(&self) {}

    /// Called once after the last read and release.
    ///
    /// # Errors
    /// The first error of an earlier release.
    fn finish(&self) -> Result<(), Error> {
        Ok(())
    }
}

/// A stretch of a disk, see [`Source::block_status`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a plain pair that sources construct"
)]
pub struct Extent {
    /// Length in bytes.
    pub length: u64,
    /// All bytes read as zero, so they need not be read.
    pub zero: bool,
}
