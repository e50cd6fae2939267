//! The connections of a client, each with the thread that reads it.

use std::io::{self, BufReader, IoSlice, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use super::handshake::{Agreement, handshake};
use super::options::Options;
use super::receive::receive_all;
use super::requests::Requests;
use crate::error::{Error, ErrorKind};
use crate::stream::{Address, Stream, Timed};

/// Bytes that the reader takes ahead. Several small replies fit, and what it costs to copy the
/// start of a large one does not count; the rest goes straight into the request's buffer.
const READ_AHEAD: usize = 4096;

/// What the callers, the readers and the pending requests have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) requests: Requests,
    pub(super) connections: Vec<Connection>,
}

#[derive(Debug)]
pub(super) struct Connection {
    stream: Stream,
    /// Held while one request is written.
    writing: Mutex<()>,
    /// Id of the metadata context that block status is asked of.
    pub(super) context: Option<u32>,
}

impl Shared {
    /// Fails the client with this cause, unless it has failed already.
    pub(super) fn fail(&self, failure: Error) {
        self.requests.fail(failure);
        for connection in &self.connections {
            connection.stream.shutdown();
        }
    }
}

impl Connection {
    /// Sends a request with its data, if it has any, in one piece where the socket takes it.
    pub(super) fn send(&self, request: &[u8], data: &[u8]) -> io::Result<()> {
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stream = &self.stream;
        if data.is_empty() {
            return stream.write_all(request);
        }
        let sent = loop {
            match stream.write_vectored(&[IoSlice::new(request), IoSlice::new(data)]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                sent => break sent?,
            }
        };
        stream.write_all(request.get(sent..).unwrap_or_default())?;
        let sent = sent.saturating_sub(request.len());
        stream.write_all(data.get(sent..).unwrap_or_default())
    }
}

pub(super) fn connect_one(
    address: &Address,
    export: &str,
    options: &Options,
) -> Result<(Connection, Agreement), Error> {
    let stream = Stream::connect(address, options.connect_timeout)?;
    let agreement = {
        let stream = Timed::new(&stream, options.connect_timeout);
        handshake(stream, export, options.context().as_deref())?
    };
    stream
        .set_read_timeout(None)
        .and_then(|()| stream.set_write_timeout(options.request_timeout))
        .map_err(|error| Error::connection("setting up the connection", error))?;
    let context = agreement.context;
    Ok((
        Connection {
            stream,
            writing: Mutex::new(()),
            context,
        },
        agreement,
    ))
}

pub(super) fn spawn_reader(shared: &Arc<Shared>, index: usize) -> Result<JoinHandle<()>, Error> {
    let shared = Arc::clone(shared);
    let receive = move || {
        if let Some(connection) = shared.connections.get(index) {
            let input = BufReader::with_capacity(READ_AHEAD, &connection.stream);
            shared.fail(receive_all(input, &shared.requests));
        }
    };
    thread::Builder::new()
        .name("nbd-reader".to_owned())
        .spawn(receive)
        .map_err(|error| Error::with_source(ErrorKind::Connect, "cannot start a thread", error))
}
