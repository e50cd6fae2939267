//! Entry points for the fuzz targets: everything that the other side may send, without a socket.

use std::io::{self, Read, Write};

use crate::client::handshake::handshake;
use crate::client::receive::receive_all;
use crate::client::requests::{Operation, Requests};

/// A server's side of a handshake, with whatever the client makes of it.
pub fn client_handshake(data: &[u8]) {
    // Hostile input is expected to fail; that it ends without a panic is what counts.
    let _ = handshake(Peer { input: data }, "disk");
}

/// Replies to a few requests that are under way.
pub fn client_replies(data: &[u8]) {
    let requests = Requests::default();
    let waiting: Vec<_> = (0..4)
        .flat_map(|i| {
            [
                Operation::read(i, vec![0; 64]),
                Operation::Trim,
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
