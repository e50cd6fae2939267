//! How to connect, and what the server allows.

use std::time::Duration;

use crate::error::Error;
use crate::protocol::DEFAULT_MAX_PAYLOAD;

/// How to connect.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// Connections to spread the requests over. One is used if the server does not promise
    /// that all connections see the same data (`NBD_FLAG_CAN_MULTI_CONN`).
    pub connections: usize,
    /// Limit for the handshake of each connection.
    pub connect_timeout: Duration,
    /// Limit for one request, from sending to the end of its reply. `None` waits for ever.
    pub request_timeout: Option<Duration>,
}

impl Default for Options {
    /// Two connections; 10 seconds for a handshake; 2 minutes for a request, because QEMU may
    /// hold a read for as long as a copy-before-write operation takes (`cbw-timeout`).
    fn default() -> Self {
        Self {
            connections: 2,
            connect_timeout: Duration::from_secs(10),
            request_timeout: Some(Duration::from_secs(120)),
        }
    }
}

impl Options {
    /// Sets the number of connections.
    #[must_use]
    pub fn with_connections(self, connections: usize) -> Self {
        Self {
            connections,
            ..self
        }
    }

    /// Sets the limit for the handshake.
    #[must_use]
    pub fn with_connect_timeout(self, connect_timeout: Duration) -> Self {
        Self {
            connect_timeout,
            ..self
        }
    }

    /// Sets the limit for one request.
    #[must_use]
    pub fn with_request_timeout(self, request_timeout: Option<Duration>) -> Self {
        Self {
            request_timeout,
            ..self
        }
    }
}

/// What the server says about sizes of requests (proto.md, section "Block size constraints").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlockSizes {
    /// Offsets and lengths must be multiples of this many bytes; a power of two.
    pub minimum: u32,
    /// Requests of multiples of this many bytes are efficient; a power of two.
    pub preferred: u32,
    /// Most bytes in one read.
    pub max_payload: u32,
}

impl Default for BlockSizes {
    /// What holds for a server that does not say.
    fn default() -> Self {
        Self {
            minimum: 1,
            preferred: 4096,
            max_payload: DEFAULT_MAX_PAYLOAD,
        }
    }
}

impl BlockSizes {
    /// Largest minimum that a server may ask for (proto.md, section "Block size constraints").
    const MAX_MINIMUM: u32 = 64 << 10;

    pub(super) fn checked(minimum: u32, preferred: u32, max_payload: u32) -> Result<Self, Error> {
        let sound = minimum.is_power_of_two()
            && minimum <= Self::MAX_MINIMUM
            && preferred.is_power_of_two()
            && preferred >= minimum
            && max_payload >= minimum;
        match sound {
            true => Ok(Self {
                minimum,
                preferred,
                max_payload,
            }),
            false => Err(Error::protocol(format!(
                "impossible block sizes: minimum {minimum}, preferred {preferred}, maximum {max_payload}"
            ))),
        }
    }
}
