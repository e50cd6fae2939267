//! Which parts of the export hold data.

use super::Client;
use super::requests::Operation;
use crate::error::Error;
use crate::extent::Extent;
use crate::protocol::request;

/// Longest range that one request asks about: what 32 bits hold, less what makes it a multiple
/// of every minimum block size (at most 64 KiB).
const MAX_STATUS_LENGTH: u64 = (1 << 32) - (1 << 16);

impl Client {
    /// The status of all bytes of a range, in order (context `base:allocation`). Neighbours
    /// differ. If the server does not know the context, everything is data.
    ///
    /// Asks as often as the server's answers need. The range must be aligned like a read's.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest) for a range outside the
    /// export, those of [`Pending::wait`](super::Pending::wait) otherwise.
    pub fn block_status(&self, offset: u64, length: u64) -> Result<Vec<Extent>, Error> {
        let mut extents = Vec::new();
        let mut at = offset;
        let mut rest = length;
        while rest > 0 {
            let step = rest.min(MAX_STATUS_LENGTH);
            let found = self.status_once(at, step)?;
            for extent in found {
                // The last extent may reach beyond what was asked for.
                let length = extent.length.min(rest);
                at = at.saturating_add(length);
                rest = rest.saturating_sub(length);
                push(&mut extents, Extent { length, ..extent });
            }
        }
        Ok(extents)
    }

    /// At least one extent from `offset` on, none of them empty.
    fn status_once(&self, offset: u64, length: u64) -> Result<Vec<Extent>, Error> {
        let short = self.check_range("query", offset, length, u32::MAX)?;
        if !self.can_block_status() {
            return Ok(vec![Extent::data(length)]);
        }
        let pending = self.submit(request::BLOCK_STATUS, offset, short, |connection| {
            Operation::status(connection.base_allocation)
        })?;
        match pending.wait_for_operation()? {
            Operation::Status { extents, .. } => Ok(extents),
            _ => Err(Error::protocol(
                "another request's reply to a block status request",
            )),
        }
    }
}

fn push(extents: &mut Vec<Extent>, extent: Extent) {
    match extents.last_mut() {
        Some(last) if (last.hole, last.zero) == (extent.hole, extent.zero) => {
            last.length = last.length.saturating_add(extent.length);
        }
        _ if extent.length == 0 => {}
        _ => extents.push(extent),
    }
}
