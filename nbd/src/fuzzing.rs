//! Entry points for the fuzz targets: everything that the other side may send, without a socket.

use std::io::{self, Read, Write};
use std::sync::Arc;

use crate::client::handshake::handshake;
use crate::client::receive::receive_all;
use crate::client::requests::{Operation, Requests};
use crate::protocol::BASE_ALLOCATION;
use crate::server::Export;
use crate::server::execute::execute;
use crate::server::exports::Exports;
use crate::server::negotiation::negotiate;
use crate::server::receive::{read_data, read_header};

/// A server's side of a handshake, with whatever the client makes of it.
pub fn client_handshake(data: &[u8]) {
    // Hostile input is expected to fail; that it ends without a panic is what counts.
    let _ = handshake(Peer { input: data }, "disk", Some(BASE_ALLOCATION));
}

/// Replies to a few requests that are under way.
pub fn client_replies(data: &[u8]) {
    let requests = Requests::default();
    let waiting: Vec<_> = (0..4)
        .flat_map(|i| {
            [
                Operation::read(i, vec![0; 64]),
                Operation::NoData,
                Operation::status(Some(0)),
            ]
        })
        .map(|operation| requests.add(operation))
        .collect();
    requests.fail(receive_all(data, &requests));
    for (_, outcome) in waiting.into_iter().flatten() {
        // Every request must end, or this hangs.
        let _ = outcome.recv();
    }
}

/// A client's side of a connection: a handshake, then requests.
pub fn server_session(data: &[u8]) {
    let exports = Exports::default();
    // The name is a good one and free.
    let _ = exports.add("disk", Arc::new(Disk));
    let mut peer = Peer { input: data };
    let Ok(Some(agreement)) = negotiate(&mut peer, &exports) else {
        return;
    };
    let (mut data, mut reply) = (Vec::new(), Vec::new());
    let export = &*agreement.export;
    while let Ok(Some(request)) = read_header(&mut peer) {
        let Ok(true) = read_data(&mut peer, &request, export, &mut data) else {
            return;
        };
        execute(&agreement, &request, &data, &mut reply);
    }
}

/// A writable disk of 1 MiB that forgets everything.
struct Disk;

impl Export for Disk {
    fn size(&self) -> u64 {
        1 << 20
    }

    fn read_only(&self) -> bool {
        false
    }

    fn read_at(&self, _offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        buffer.fill(0);
        Ok(())
    }

    fn write_at(&self, _offset: u64, _data: &[u8]) -> io::Result<()> {
        Ok(())
    }
}

/// The other side of a connection that says `input` and listens to nothing.
struct Peer<'a> {
    input: &'a [u8],
}

impl Read for Peer<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.input.read(buffer)
    }
}

impl Write for Peer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
