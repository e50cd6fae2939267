//! Block devices behind small traits: what a disk can do, and the disks themselves.
//!
//! ```text
//!                    Geometry                  size, alignment
//!         ┌─────────────┼─────────────┐
//!      ReadAt      BlockStatus     WriteAt     read_at │ block_status │ write_at, write_zeroes, flush
//!         └──────┬──────┘             │
//!           ReadDevice             Discard     (nothing of its own) │ discard
//!                └─────────┬──────────┘
//!                     BlockDevice              (nothing of its own)
//! ```
//!
//! A consumer asks for the least it needs: a backup reads a `dyn ReadDevice`, a restore writes a
//! `dyn WriteAt`, a server of guests needs a `dyn BlockDevice`. `ReadDevice` and `BlockDevice` are
//! implemented for whatever has their parts.
//!
//! | device | what it is |
//! |---|---|
//! | [`RawFile`] | a raw image or a block device |
//! | [`Qcow2`] | a qcow2 image, behind a header check of our own |
//! | [`MemoryDevice`] | sparse memory, for tests and demonstrations |
//!
//! # The contract of every device
//!
//! - All methods take `&self` and may be called from many threads at once. Requests that do not
//!   overlap do not disturb each other; what overlapping writes leave is one of them or a mixture.
//! - Every range inside `0..size()` is accepted, aligned or not; anything outside is
//!   [`ErrorKind::OutOfBounds`] and changes nothing. An empty range does nothing.
//! - A read fills the whole buffer, a write writes all of it, or there is an error.
//! - The size of a device does not change while it is open.

mod error;
mod format;
#[cfg(unix)]
mod image_lock;
mod memory;
mod qcow2;
mod raw;
#[cfg(unix)]
#[path = "block/system/unix.rs"]
mod system;
#[cfg(windows)]
#[path = "block/system/windows.rs"]
mod system;
mod zero;

#[cfg(test)]
mod tests;

use std::fmt::Debug;
use std::fs::File;
use std::sync::Arc;

pub use error::{Error, ErrorKind, Operation, Result};
pub use format::Look;
#[cfg(unix)]
pub use image_lock::ImageLock;
pub use memory::MemoryDevice;
pub use qcow2::{Backing, Qcow2, Qcow2Header};
pub use raw::{Access, RawFile};
pub use zero::is_zero;

/// How large a device is and which requests suit it.
pub trait Geometry: Send + Sync + Debug {
    /// Size in bytes; need not be a multiple of anything.
    fn size(&self) -> u64;

    /// The granule, in bytes and a power of two, at which requests are cheap and
    /// [`Discard::discard`] frees space. Other requests work too.
    fn alignment(&self) -> u64 {
        1
    }
}

/// Reading at an offset.
pub trait ReadAt: Geometry {
    /// Fill `buf` with the bytes from `offset` on.
    ///
    /// # Errors
    ///
    /// If any byte cannot be read; `buf` is then unspecified.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()>;
}

/// Knowing, without reading, which parts of a device are zero.
pub trait BlockStatus: Geometry {
    /// What lies at `offset`, and for how many of the next `len` bytes that holds.
    ///
    /// The answer is never empty unless `len` is 0. It may be cautious: two neighbouring extents
    /// may have the same status, and [`Status::Data`] may turn out to be zeroes.
    ///
    /// # Errors
    ///
    /// If the range is outside the device or the status cannot be found out.
    fn block_status(&self, offset: u64, len: u64) -> Result<Extent> {
        check_range(Operation::Status, self.size(), offset, len)?;
        Ok(Extent {
            status: Status::Data,
            len,
        })
    }
}

/// Writing at an offset.
pub trait WriteAt: Geometry {
    /// Write all of `buf` from `offset` on.
    ///
    /// # Errors
    ///
    /// If not everything could be written; what the range holds is then unspecified.
    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()>;

    /// Make `len` bytes from `offset` on read as zeroes, giving back their space where possible.
    ///
    /// # Errors
    ///
    /// As for [`WriteAt::write_at`].
    fn write_zeroes(&self, offset: u64, len: u64) -> Result<()>;

    /// Make `len` bytes from `offset` on read as zeroes, keeping or taking their space: a later write
    /// there does not run out of it.
    ///
    /// # Errors
    ///
    /// As for [`WriteAt::write_at`].
    fn write_zeroes_allocated(&self, offset: u64, len: u64) -> Result<()> {
        check_range(Operation::WriteZeroes, self.size(), offset, len)?;
        zero::in_pieces(offset, len, |zeroes, offset| self.write_at(zeroes, offset))
    }

    /// Write `len` bytes of `file` from `place` on to `offset`, by sharing its blocks. `false`: they cannot be shared, and
    /// what the range holds is unspecified.
    ///
    /// # Errors
    ///
    /// As for [`WriteAt::write_at`].
    fn share_from(&self, _file: &File, _place: u64, _offset: u64, _len: u64) -> Result<bool> {
        Ok(false)
    }

    /// Return when everything that was written before is on stable storage.
    ///
    /// # Errors
    ///
    /// If that cannot be promised. The lost writes are not necessarily reported again by the next
    /// call, so do not retry.
    fn flush(&self) -> Result<()>;
}

/// Giving back space.
pub trait Discard: Geometry {
    /// Tell the device that the content of a range is of no use any more. What it reads as
    /// afterwards is unspecified. A device that cannot give back space does nothing.
    ///
    /// # Errors
    ///
    /// If the range is outside the device or the device fails.
    fn discard(&self, offset: u64, len: u64) -> Result<()>;
}

/// What can be backed up: readable, with block status.
pub trait ReadDevice: ReadAt + BlockStatus {}
impl<T: ReadAt + BlockStatus + ?Sized> ReadDevice for T {}

/// What a guest can use as a disk.
pub trait BlockDevice: ReadDevice + WriteAt + Discard {}
impl<T: ReadDevice + WriteAt + Discard + ?Sized> BlockDevice for T {}

/// Whether bytes are known to be zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a consumer must handle every status"
)]
pub enum Status {
    /// Must be read to be known.
    Data,
    /// Reads as zeroes.
    Zero,
}

/// A run of bytes of one [`Status`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a pair that devices construct")]
pub struct Extent {
    /// What the bytes are.
    pub status: Status,
    /// How many bytes.
    pub len: u64,
}

/// Refuse a range that is not inside `0..size`.
///
/// # Errors
///
/// [`ErrorKind::OutOfBounds`] with the operation and the offset.
pub fn check_range(operation: Operation, size: u64, offset: u64, len: u64) -> Result<()> {
    match offset.checked_add(len) {
        Some(end) if end <= size => Ok(()),
        _ => Err(Error::new(ErrorKind::OutOfBounds, operation)
            .at(offset)
            .because(format!(
                "{len} bytes do not fit into a device of {size} bytes"
            ))),
    }
}

impl<T: Geometry + ?Sized> Geometry for Arc<T> {
    fn size(&self) -> u64 {
        (**self).size()
    }

    fn alignment(&self) -> u64 {
        (**self).alignment()
    }
}

impl<T: ReadAt + ?Sized> ReadAt for Arc<T> {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        (**self).read_at(buf, offset)
    }
}

impl<T: BlockStatus + ?Sized> BlockStatus for Arc<T> {
    fn block_status(&self, offset: u64, len: u64) -> Result<Extent> {
        (**self).block_status(offset, len)
    }
}

impl<T: WriteAt + ?Sized> WriteAt for Arc<T> {
    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        (**self).write_at(buf, offset)
    }

    fn write_zeroes(&self, offset: u64, len: u64) -> Result<()> {
        (**self).write_zeroes(offset, len)
    }

    fn write_zeroes_allocated(&self, offset: u64, len: u64) -> Result<()> {
        (**self).write_zeroes_allocated(offset, len)
    }

    fn share_from(&self, file: &File, place: u64, offset: u64, len: u64) -> Result<bool> {
        (**self).share_from(file, place, offset, len)
    }

    fn flush(&self) -> Result<()> {
        (**self).flush()
    }
}

impl<T: Discard + ?Sized> Discard for Arc<T> {
    fn discard(&self, offset: u64, len: u64) -> Result<()> {
        (**self).discard(offset, len)
    }
}
