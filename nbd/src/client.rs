//! The client: one export, over one or more connections, with many requests under way.

mod connection;
mod coverage;
pub(crate) mod handshake;
mod options;
mod pending;
pub(crate) mod receive;
pub(crate) mod requests;
mod status;
mod write;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use self::options::Options;
pub use self::pending::Pending;

use self::connection::{Connection, Shared, connect_one, spawn_reader};
use self::handshake::Agreement;
use self::requests::{Operation, Requests};
use crate::error::{Error, ErrorKind};
use crate::protocol::request::{self, RequestHeader};
use crate::protocol::transmission_flag;
use crate::sizes::BlockSizes;
use crate::stream::Address;

/// Most connections that a client opens. On QEMU more than two gain nothing.
const MAX_CONNECTIONS: usize = 16;

/// Length of the read that [`Client::submit_prime`] sends.
const PRIMING_READ: usize = 16 << 20;

/// A connected client of one export. Any number of threads may use it at once.
///
/// As soon as one of its connections fails, all of the client has failed: every request under
/// way and every later one ends with the first cause. Dropping it closes the connections.
#[derive(Debug)]
pub struct Client {
    shared: Arc<Shared>,
    agreement: Agreement,
    request_timeout: Option<Duration>,
    next_connection: AtomicUsize,
    readers: Vec<JoinHandle<()>>,
}

impl Client {
    /// Connects to `export` (`""` is the default export) of the server at `address`.
    ///
    /// # Errors
    /// [`ErrorKind::Connect`], [`ErrorKind::UnknownExport`] (the message tells the exports that
    /// exist, if the server lists them), [`ErrorKind::Unsupported`] (a server that demands TLS,
    /// for example), [`ErrorKind::Timeout`], or another one from the handshake.
    pub fn connect(address: &Address, export: &str, options: &Options) -> Result<Self, Error> {
        let (first, agreement) = connect_one(address, export, options)?;
        let count = if agreement.has(transmission_flag::CAN_MULTI_CONN) {
            options.connections.clamp(1, MAX_CONNECTIONS)
        } else {
            1
        };
        let mut connections = vec![first];
        while connections.len() < count {
            let (next, same) = connect_one(address, export, options)?;
            if same.size != agreement.size {
                return Err(Error::protocol(format!(
                    "export {export:?} has {} bytes on one connection and {} on the next",
                    agreement.size, same.size
                )));
            }
            connections.push(next);
        }
        let shared = Arc::new(Shared {
            requests: Requests::default(),
            connections,
        });
        let mut client = Self {
            shared,
            agreement,
            request_timeout: options.request_timeout,
            next_connection: AtomicUsize::new(0),
            readers: Vec::new(),
        };
        for index in 0..count {
            client.readers.push(spawn_reader(&client.shared, index)?);
        }
        Ok(client)
    }

    /// Size of the export in bytes.
    pub fn size(&self) -> u64 {
        self.agreement.size
    }

    /// Whether everything that writes is refused (`NBD_FLAG_READ_ONLY`).
    pub fn is_read_only(&self) -> bool {
        self.agreement.has(transmission_flag::READ_ONLY)
    }

    /// Whether the server takes [`Client::submit_trim`] (`NBD_FLAG_SEND_TRIM`).
    pub fn can_trim(&self) -> bool {
        self.agreement.has(transmission_flag::SEND_TRIM)
    }

    /// Whether the server takes [`Client::submit_write_zeroes`] (`NBD_FLAG_SEND_WRITE_ZEROES`).
    pub fn can_write_zeroes(&self) -> bool {
        self.agreement.has(transmission_flag::SEND_WRITE_ZEROES)
    }

    /// Whether the server takes [`Client::submit_flush`] (`NBD_FLAG_SEND_FLUSH`).
    pub fn can_flush(&self) -> bool {
        self.agreement.has(transmission_flag::SEND_FLUSH)
    }

    /// Whether [`Client::block_status`] knows more than "all data", and [`Client::dirty`] anything.
    pub fn can_block_status(&self) -> bool {
        self.agreement.context.is_some()
    }

    /// The server's limits for requests.
    pub fn block_sizes(&self) -> BlockSizes {
        self.agreement.block_sizes
    }

    /// How many connections are in use.
    pub fn connections(&self) -> usize {
        self.shared.connections.len()
    }

    /// Sends a read of `buffer.len()` bytes at `offset`. The buffer comes back filled from
    /// [`Pending::wait`], so that it can be used again; the data is received straight into it.
    ///
    /// There may be as many requests under way as the caller likes. QEMU works on up to 16 per
    /// connection and lets the others wait.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] if the range is empty, outside the export, not aligned, or
    /// longer than [`BlockSizes::max_payload`]; otherwise the client's failure.
    pub fn submit_read(&self, offset: u64, buffer: Vec<u8>) -> Result<Pending, Error> {
        let limit = self.block_sizes().max_payload;
        let length = self.check_range("read", offset, buffer.len() as u64, limit)?;
        self.submit((request::READ, 0), offset, length, &[], |_| {
            Operation::read(offset, buffer)
        })
    }

    /// Reads a range of any length and waits for it.
    ///
    /// # Errors
    /// Those of [`Client::submit_read`] and [`Pending::wait`].
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let mut offset = offset;
        for piece in buffer.chunks_mut(self.block_sizes().largest(usize::MAX)) {
            piece.copy_from_slice(&self.submit_read(offset, vec![0; piece.len()])?.wait()?);
            offset = offset.saturating_add(piece.len() as u64);
        }
        Ok(())
    }

    /// Sends one big read and throws the result away, which doubles the speed of later reads
    /// from QEMU.
    ///
    /// QEMU allocates a buffer for each request. From 128 KiB on glibc maps fresh memory each
    /// time, with a page fault for every 4 KiB, until the program frees a larger such chunk;
    /// then it keeps memory up to that size for reuse (mallopt(3), `M_MMAP_THRESHOLD`).
    ///
    /// `None`: there is nothing to read.
    ///
    /// # Errors
    /// Those of [`Client::submit_read`].
    pub fn submit_prime(&self) -> Result<Option<Pending>, Error> {
        let size = usize::try_from(self.size()).unwrap_or(usize::MAX);
        let length = self.block_sizes().largest(PRIMING_READ.min(size));
        if length == 0 {
            return Ok(None);
        }
        self.submit_read(0, vec![0; length]).map(Some)
    }

    /// Fails all requests under way and all later ones, and closes the connections at once.
    /// Meant for giving up from another thread.
    pub fn abort(&self) {
        self.shared.fail(Error::new(
            ErrorKind::Disconnected,
            "the NBD client was disconnected",
        ));
    }

    /// Takes leave of the server. Requests under way fail.
    pub fn disconnect(self) {
        let goodbye = RequestHeader::new(request::DISCONNECT, 0, 0, 0);
        for connection in &self.shared.connections {
            // A server that is gone needs no goodbye.
            let _ = connection.send(&goodbye.to_bytes(), &[]);
        }
    }

    /// Sends a request, a command with its flags, over the next connection, which `operation` gets.
    fn submit(
        &self,
        (command, flags): (u16, u16),
        offset: u64,
        length: u32,
        data: &[u8],
        operation: impl FnOnce(&Connection) -> Operation,
    ) -> Result<Pending, Error> {
        let turn = self.next_connection.fetch_add(1, Ordering::Relaxed);
        let index = turn.checked_rem(self.connections()).unwrap_or(0);
        let connection = self
            .shared
            .connections
            .get(index)
            .ok_or_else(|| self.shared.requests.failure())?;
        let (cookie, outcome) = self.shared.requests.add(operation(connection))?;
        let header = RequestHeader {
            flags,
            ..RequestHeader::new(command, cookie, offset, length)
        };
        if let Err(error) = connection.send(&header.to_bytes(), data) {
            self.shared.fail(Error::connection(
                "sending a request to the NBD server",
                error,
            ));
            return Err(self.shared.requests.failure());
        }
        let deadline = self
            .request_timeout
            .and_then(|timeout| Instant::now().checked_add(timeout));
        Ok(Pending::new(Arc::clone(&self.shared), outcome, deadline))
    }

    /// The range as the protocol wants it, if it is one that may be sent.
    fn check_range(&self, what: &str, offset: u64, length: u64, limit: u32) -> Result<u32, Error> {
        let refuse = |why: String| {
            let context = format!("cannot {what} {length} bytes at {offset}: {why}");
            Err(Error::new(ErrorKind::InvalidRequest, context))
        };
        let minimum = u64::from(self.block_sizes().minimum);
        let aligned = |value: u64| value.checked_rem(minimum) == Some(0);
        match (u32::try_from(length), offset.checked_add(length)) {
            (_, Some(end)) if end > self.size() => {
                refuse(format!("the NBD export has {} bytes", self.size()))
            }
            (Ok(short), Some(_)) if short <= limit => match length {
                0 => refuse("there is nothing to do".to_owned()),
                _ if aligned(offset) && aligned(length) => Ok(short),
                _ => refuse(format!("the NBD export wants multiples of {minimum} bytes")),
            },
            _ => refuse(format!("the limit is {limit} bytes")),
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.abort();
        for reader in self.readers.drain(..) {
            // The reader has nothing to tell; its end is all that is waited for.
            let _ = reader.join();
        }
    }
}
