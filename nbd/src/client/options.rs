//! How to connect.

use std::borrow::Cow;
use std::time::Duration;

use crate::protocol::{BASE_ALLOCATION, DIRTY_BITMAP};

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
    /// Ask for structured replies and `base:allocation`. Without, everything is data, and the server has
    /// no reason to look for holes: QEMU looks for them in the thread that serves its guest, be it for
    /// a read with structured replies, and waits there for a storage that hangs.
    pub block_status: bool,
    /// Ask for this dirty bitmap of QEMU's (`qemu:dirty-bitmap:NAME`, docs/interop/nbd.rst) instead of holes.
    pub dirty_bitmap: Option<String>,
}

impl Default for Options {
    /// Two connections, with holes; 10 seconds for a handshake; 2 minutes for a request, because QEMU may
    /// hold a read for as long as a copy-before-write operation takes (`cbw-timeout`).
    fn default() -> Self {
        Self {
            connections: 2,
            connect_timeout: Duration::from_secs(10),
            request_timeout: Some(Duration::from_secs(120)),
            block_status: true,
            dirty_bitmap: None,
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

    /// Sets whether holes are asked for.
    #[must_use]
    pub fn with_block_status(self, block_status: bool) -> Self {
        Self {
            block_status,
            ..self
        }
    }

    /// Sets the dirty bitmap that [`Client::dirty`](super::Client::dirty) reads.
    #[must_use]
    pub fn with_dirty_bitmap(self, name: impl Into<String>) -> Self {
        Self {
            dirty_bitmap: Some(name.into()),
            ..self
        }
    }

    /// The metadata context to ask for.
    pub(super) fn context(&self) -> Option<Cow<'static, str>> {
        let bitmap = self.dirty_bitmap.as_ref();
        let bitmap = bitmap.map(|name| format!("{DIRTY_BITMAP}{name}").into());
        bitmap.or_else(|| self.block_status.then_some(BASE_ALLOCATION.into()))
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
