//! How parts of an older archive get into a new one.

use std::io;

/// Puts parts of the base at the end of an archive's output.
pub trait TakeOver<W>: Send {
    /// Puts `bytes` at the end of `out`. The base has the same, by its index, from `place` on, a multiple of 4096,
    /// in its file: they can be shared if that is true, or must be written.
    ///
    /// # Errors
    /// Those of writing.
    fn take_over(&mut self, out: &mut W, place: u64, bytes: &[u8]) -> io::Result<()>;

    /// Puts `length` bytes of the base from `place` on, both multiples of 4096, at the end of `out`. Nobody has read
    /// them; they are what the index knows, or the archive that is made is worthless.
    ///
    /// # Errors
    /// Those of reading and writing.
    fn take_unread(&mut self, out: &mut W, place: u64, length: u64) -> io::Result<()>;

    /// Puts a compressed frame at the end of `out`: so many bytes of the base's file, from a multiple of 4096 on.
    ///
    /// # Errors
    /// Those of reading and writing.
    fn take_frame(&mut self, out: &mut W, place: u64, length: u64) -> io::Result<()>;
}
