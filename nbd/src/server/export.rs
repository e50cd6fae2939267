//! What a server can serve.

use std::io;

use crate::extent::Extent;
use crate::protocol::DEFAULT_MAX_PAYLOAD;
use crate::sizes::BlockSizes;
use crate::zeroing::Zeroing;

/// A disk that a [`Server`](super::Server) serves.
///
/// The server calls it from several threads at once and in any order. It checks every request
/// first: ranges are not empty, within [`Export::size`], aligned to the minimum block size, and
/// nothing that writes reaches a read-only export. An error goes to the client as the nearest
/// number that the protocol has (`EIO` if there is none), with its text where the client takes
/// texts; the connection goes on.
pub trait Export: Send + Sync {
    /// Size in bytes. It must not change while the export is served.
    fn size(&self) -> u64;

    /// Sizes that clients have to keep to.
    fn block_sizes(&self) -> BlockSizes {
        BlockSizes::default()
    }

    /// Whether everything that writes is refused.
    fn read_only(&self) -> bool {
        true
    }

    /// Whether clients may use several connections at once: a flush on one of them covers what
    /// was written over all (`NBD_FLAG_CAN_MULTI_CONN`).
    fn multi_conn(&self) -> bool {
        true
    }

    /// Fills the buffer with what is at `offset`. Every byte must be written: the buffer is
    /// used again and holds what another request left in it.
    ///
    /// # Errors
    /// Whatever the client should hear.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Writes the data at `offset`. It need not be on stable storage before [`Export::flush`].
    ///
    /// # Errors
    /// Whatever the client should hear.
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let _ = (offset, data);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Makes everything durable that was written before the call.
    ///
    /// # Errors
    /// Whatever the client should hear.
    fn flush(&self) -> io::Result<()> {
        Ok(())
    }

    /// Takes the hint that the contents of a range are not needed any more.
    ///
    /// # Errors
    /// Whatever the client should hear.
    fn trim(&self, offset: u64, length: u64) -> io::Result<()> {
        let _ = (offset, length);
        Ok(())
    }

    /// Makes a range read as zeroes.
    ///
    /// # Errors
    /// Whatever the client should hear; [`io::ErrorKind::Unsupported`] where only a fast way
    /// is wanted and there is none.
    fn write_zeroes(&self, offset: u64, length: u64, zeroing: Zeroing) -> io::Result<()> {
        if zeroing.only_if_fast {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let zeroes = [0; 64 << 10];
        let mut done = 0;
        while done < length {
            let step = length.saturating_sub(done).min(zeroes.len() as u64);
            let piece = usize::try_from(step)
                .ok()
                .and_then(|step| zeroes.get(..step));
            self.write_at(offset.saturating_add(done), piece.unwrap_or(&zeroes))?;
            done = done.saturating_add(step);
        }
        Ok(())
    }

    /// Status of a range from its start on: at least one extent, none of them empty. It may
    /// stop before the end of the range; the client asks again.
    ///
    /// # Errors
    /// Whatever the client should hear.
    fn block_status(&self, offset: u64, length: u64) -> io::Result<Vec<Extent>> {
        let _ = offset;
        Ok(vec![Extent::data(length)])
    }
}

/// Largest data of one read or write, whatever the export says.
pub(super) fn max_payload(export: &dyn Export) -> u32 {
    export.block_sizes().max_payload.min(DEFAULT_MAX_PAYLOAD)
}
