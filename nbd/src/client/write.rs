//! Requests that change the export.

use super::Client;
use super::pending::Pending;
use super::requests::Operation;
use crate::error::{Error, ErrorKind};
use crate::protocol::{request, transmission_flag};
use crate::sizes::MAX_LENGTH;
use crate::zeroing::Zeroing;

/// Bytes that are sent at once where zeroes must be written as data.
const ZEROES: usize = 1 << 20;

impl Client {
    /// Sends a write of `data` at `offset`. It returns when the data is on its way, before the server has answered;
    /// [`Pending::wait`] then tells whether it was written.
    ///
    /// What was written is durable after a [flush](Client::flush) that was sent after its reply.
    /// Writes under way at once that overlap leave one of them or a mixture.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if the export is read-only; [`ErrorKind::InvalidRequest`] if the range is empty,
    /// outside the export, not aligned, or longer than [`BlockSizes::max_payload`](crate::BlockSizes::max_payload);
    /// otherwise the client's failure.
    pub fn submit_write(&self, offset: u64, data: &[u8]) -> Result<Pending, Error> {
        self.check_writable()?;
        let limit = self.block_sizes().max_payload;
        let length = self.check_range("write", offset, data.len() as u64, limit)?;
        let request = (request::WRITE, 0);
        self.submit(request, offset, length, data, |_| Operation::NoData)
    }

    /// Sends the order that a range reads as zeroes from now on.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if the export is read-only, or its server has no such request
    /// ([`Client::can_write_zeroes`]) or no way to promise [`Zeroing::only_if_fast`];
    /// [`ErrorKind::InvalidRequest`] for a range that is empty, outside the export, not aligned, or longer than
    /// 4 GiB less one byte; otherwise the client's failure.
    pub fn submit_write_zeroes(
        &self,
        offset: u64,
        length: u64,
        zeroing: Zeroing,
    ) -> Result<Pending, Error> {
        self.check_writable()?;
        if !self.can_write_zeroes() {
            return Err(unsupported("the NBD server cannot write zeroes by itself"));
        }
        if zeroing.only_if_fast && !self.agreement.has(transmission_flag::SEND_FAST_ZERO) {
            return Err(unsupported(
                "the NBD server does not tell whether zeroing is fast",
            ));
        }
        let length = self.check_range("zero", offset, length, u32::MAX)?;
        let flag = |set, flag| if set { flag } else { 0 };
        let flags = flag(zeroing.keep_allocated, request::FLAG_NO_HOLE)
            | flag(zeroing.only_if_fast, request::FLAG_FAST_ZERO);
        let request = (request::WRITE_ZEROES, flags);
        self.submit(request, offset, length, &[], |_| Operation::NoData)
    }

    /// Sends the hint that the server may free this range; it reads as anything afterwards.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if the server has no trim ([`Client::can_trim`]);
    /// [`ErrorKind::InvalidRequest`] for a range that is empty, outside the export, not aligned, or longer than
    /// 4 GiB less one byte; otherwise the client's failure.
    pub fn submit_trim(&self, offset: u64, length: u64) -> Result<Pending, Error> {
        if !self.can_trim() {
            return Err(unsupported("the NBD export does not take trims"));
        }
        let length = self.check_range("trim", offset, length, u32::MAX)?;
        let request = (request::TRIM, 0);
        self.submit(request, offset, length, &[], |_| Operation::NoData)
    }

    /// Sends the order to make everything durable whose reply has come before, over whichever connection.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if the server has no flush ([`Client::can_flush`]); otherwise the client's
    /// failure.
    pub fn submit_flush(&self) -> Result<Pending, Error> {
        if !self.can_flush() {
            return Err(unsupported("the NBD export cannot be flushed"));
        }
        let request = (request::FLUSH, 0);
        self.submit(request, 0, 0, &[], |_| Operation::NoData)
    }

    /// Writes data of any length and waits until it is written.
    ///
    /// # Errors
    /// Those of [`Client::submit_write`] and [`Pending::wait`]. After an error a part may be written.
    pub fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        let mut offset = offset;
        for piece in data.chunks(self.block_sizes().largest(usize::MAX)) {
            self.submit_write(offset, piece)?.wait()?;
            offset = offset.saturating_add(piece.len() as u64);
        }
        Ok(())
    }

    /// Makes a range of any length read as zeroes and waits for it. Zeroes are sent as data to a server that has
    /// no request for this, unless that is not [fast](Zeroing::only_if_fast) enough.
    ///
    /// # Errors
    /// Those of [`Client::submit_write_zeroes`] and [`Pending::wait`]. After an error a part may be zeroed.
    pub fn write_zeroes(&self, offset: u64, length: u64, zeroing: Zeroing) -> Result<(), Error> {
        if self.can_write_zeroes() || zeroing.only_if_fast {
            return self.in_pieces(offset, length, MAX_LENGTH, |offset, length| {
                self.submit_write_zeroes(offset, length, zeroing)
            });
        }
        let zeroes = vec![0; self.block_sizes().largest(ZEROES)];
        self.in_pieces(offset, length, zeroes.len() as u64, |offset, length| {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            self.submit_write(offset, zeroes.get(..length).unwrap_or(&zeroes))
        })
    }

    /// Gives the hint that the server may free a range of any length, and waits until it was heard. A server
    /// that takes no such hints is not asked.
    ///
    /// # Errors
    /// Those of [`Client::submit_trim`] and [`Pending::wait`].
    pub fn trim(&self, offset: u64, length: u64) -> Result<(), Error> {
        if !self.can_trim() {
            return Ok(());
        }
        self.in_pieces(offset, length, MAX_LENGTH, |offset, length| {
            self.submit_trim(offset, length)
        })
    }

    /// Returns when everything that was written before is on stable storage.
    ///
    /// # Errors
    /// Those of [`Client::submit_flush`] and [`Pending::wait`]. Lost writes may not be reported a second time.
    pub fn flush(&self) -> Result<(), Error> {
        self.submit_flush()?.wait().map(drop)
    }

    /// Does something to a range, in pieces of at most `most` bytes.
    fn in_pieces(
        &self,
        offset: u64,
        length: u64,
        most: u64,
        submit: impl Fn(u64, u64) -> Result<Pending, Error>,
    ) -> Result<(), Error> {
        let mut done = 0;
        while done < length {
            let step = length.saturating_sub(done).min(most);
            submit(offset.saturating_add(done), step)?.wait()?;
            done = done.saturating_add(step);
        }
        Ok(())
    }

    fn check_writable(&self) -> Result<(), Error> {
        match self.is_read_only() {
            true => Err(unsupported("the NBD export is read-only")),
            false => Ok(()),
        }
    }
}

fn unsupported(why: &str) -> Error {
    Error::new(ErrorKind::Unsupported, why)
}
