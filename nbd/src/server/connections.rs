//! The open connections of a server.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::stream::Stream;

/// Time for a thread to notice that its connection was cut.
const AFTER_CUT: Duration = Duration::from_secs(1);

/// The open connections of a server.
#[derive(Debug, Default)]
pub(super) struct Connections {
    open: Mutex<Open>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct Open {
    closed: bool,
    next_id: u64,
    by_id: HashMap<u64, Connection>,
}

#[derive(Debug)]
struct Connection {
    stream: Arc<Stream>,
    /// The export that is being served, after the handshake.
    export: Option<String>,
}

/// The entry of one connection; it goes when this is dropped.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    connections: &'a Connections,
    id: u64,
}

impl Connections {
    /// Enters a connection. `None` if there are `limit` already, or the server is shutting down.
    pub(super) fn enter(&self, stream: &Arc<Stream>, limit: usize) -> Option<Entry<'_>> {
        let mut open = self.open();
        if open.closed || open.by_id.len() >= limit {
            return None;
        }
        let id = open.next_id;
        open.next_id = id.wrapping_add(1);
        open.by_id.insert(
            id,
            Connection {
                stream: Arc::clone(stream),
                export: None,
            },
        );
        Some(Entry {
            connections: self,
            id,
        })
    }

    pub(super) fn count(&self) -> usize {
        self.open().by_id.len()
    }

    /// Lets no connection in any more.
    pub(super) fn close(&self) {
        self.open().closed = true;
    }

    /// Ends the connections to `export`, or all: those that shake hands at once, the others
    /// when the requests that they have sent are answered, but after `grace` in any case.
    /// Returns whether all have ended; a request that hangs in its export outlives this.
    pub(super) fn end(&self, export: Option<&str>, grace: Duration) -> bool {
        let concerns =
            |connection: &Connection| export.is_none() || connection.export.as_deref() == export;
        let open = self.open();
        for connection in open
            .by_id
            .values()
            .filter(|connection| concerns(connection))
        {
            match connection.export {
                Some(_) => connection.stream.shutdown_read(),
                None => connection.stream.shutdown(),
            }
        }
        let open = self.wait(open, grace, concerns);
        for connection in open
            .by_id
            .values()
            .filter(|connection| concerns(connection))
        {
            connection.stream.shutdown();
        }
        let open = self.wait(open, AFTER_CUT, concerns);
        !open.by_id.values().any(concerns)
    }

    fn wait<'a>(
        &'a self,
        mut open: MutexGuard<'a, Open>,
        limit: Duration,
        concerns: impl Fn(&Connection) -> bool,
    ) -> MutexGuard<'a, Open> {
        let start = Instant::now();
        while open.by_id.values().any(&concerns) {
            let Some(left) = limit
                .checked_sub(start.elapsed())
                .filter(|left| !left.is_zero())
            else {
                break;
            };
            let waited = self.ended.wait_timeout(open, left);
            open = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        open
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry<'_> {
    /// Notes which export is served from now on.
    pub(super) fn serves(&self, export: &str) {
        if let Some(connection) = self.connections.open().by_id.get_mut(&self.id) {
            connection.export = Some(export.to_owned());
        }
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.connections.open().by_id.remove(&self.id);
        self.connections.ended.notify_all();
    }
}
