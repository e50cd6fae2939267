//! Which parts of the export hold data.

use std::collections::VecDeque;

use super::Client;
use super::pending::Pending;
use super::requests::Operation;
use crate::error::{Error, ErrorKind};
use crate::extent::Extent;
use crate::protocol::request;
use crate::sizes::MAX_LENGTH;

/// Requests under way at once where many small ones are sent: as many as QEMU works on per connection, so that
/// others wait for few.
const MAX_UNDER_WAY: usize = 16;

impl Client {
    /// The status of all bytes of a range, in order (context `base:allocation`). Neighbours
    /// differ. If the server does not know the context, everything is data.
    ///
    /// Asks as often as the server's answers need. The range must be aligned like a read's.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`](crate::error::ErrorKind::InvalidRequest) for a range outside the
    /// export, those of [`Pending::wait`](super::Pending::wait) otherwise.
    pub fn block_status(&self, offset: u64, length: u64) -> Result<Vec<Extent>, Error> {
        let mut extents = Vec::new();
        let mut at = offset;
        let mut rest = length;
        while rest > 0 {
            let step = rest.min(MAX_LENGTH);
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

    /// The same, by requests none of which crosses a multiple of `step`, many at a time: for a server
    /// that answers wrongly where it must look at more.
    ///
    /// # Errors
    /// Those of [`Client::block_status`].
    pub fn block_status_in_steps(
        &self,
        offset: u64,
        length: u64,
        step: u64,
    ) -> Result<Vec<Extent>, Error> {
        if !self.can_block_status() {
            return self.block_status(offset, length);
        }
        let end = offset.saturating_add(length);
        let mut extents = Vec::new();
        let mut under_way: VecDeque<(u64, u64, Pending)> = VecDeque::new();
        let mut sent = offset;
        while sent < end || !under_way.is_empty() {
            if sent < end && under_way.len() < MAX_UNDER_WAY {
                let until = end.min(within(sent, step));
                let length = until.saturating_sub(sent);
                under_way.push_back((sent, length, self.submit_status(sent, length)?));
                sent = until;
                continue;
            }
            let Some((mut at, mut rest, pending)) = under_way.pop_front() else {
                break;
            };
            let mut found = status_of(pending)?;
            loop {
                for extent in found {
                    let length = extent.length.min(rest);
                    at = at.saturating_add(length);
                    rest = rest.saturating_sub(length);
                    push(&mut extents, Extent { length, ..extent });
                }
                if rest == 0 {
                    break;
                }
                found = status_of(self.submit_status(at, rest)?)?;
            }
        }
        Ok(extents)
    }

    /// Which parts of a range the dirty bitmap of [`Options::dirty_bitmap`](super::Options) marks, in order: the length
    /// of each, and whether it is dirty. Neighbours differ.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::error::ErrorKind::Unsupported) if the server has no such bitmap, and those of
    /// [`Client::block_status`].
    pub fn dirty(&self, offset: u64, length: u64) -> Result<Vec<(u64, bool)>, Error> {
        if !self.can_block_status() {
            let message = "the NBD server has no such dirty bitmap";
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let extents = self.block_status(offset, length)?;
        // QEMU's only flag for it, NBD_STATE_DIRTY, is the bit that means a hole elsewhere.
        Ok(extents
            .iter()
            .map(|extent| (extent.length, extent.hole))
            .collect())
    }

    /// At least one extent from `offset` on, none of them empty.
    fn status_once(&self, offset: u64, length: u64) -> Result<Vec<Extent>, Error> {
        if !self.can_block_status() {
            self.check_range("query", offset, length, u32::MAX)?;
            return Ok(vec![Extent::data(length)]);
        }
        status_of(self.submit_status(offset, length)?)
    }

    fn submit_status(&self, offset: u64, length: u64) -> Result<Pending, Error> {
        let short = self.check_range("query", offset, length, u32::MAX)?;
        let request = (request::BLOCK_STATUS, 0);
        self.submit(request, offset, short, &[], |connection| {
            Operation::status(connection.context)
        })
    }
}

fn status_of(pending: Pending) -> Result<Vec<Extent>, Error> {
    match pending.wait_for_operation()? {
        Operation::Status { extents, .. } => Ok(extents),
        _ => Err(Error::protocol(
            "another request's reply to a block status request",
        )),
    }
}

/// The first multiple of `step` above `offset`.
fn within(offset: u64, step: u64) -> u64 {
    match offset.checked_rem(step) {
        Some(beyond) => offset.saturating_sub(beyond).saturating_add(step),
        None => u64::MAX,
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
