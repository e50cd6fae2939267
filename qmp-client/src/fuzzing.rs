//! Entry points for fuzz targets; no part of the API.

use crate::framer::{Framer, Junk};
use crate::message::Message;

/// Takes `data` as what a server (or, with `agent`, a guest agent) sends, in one piece and in
/// two, and checks that the cut makes no difference.
#[expect(clippy::panic, reason = "that is how a fuzz target reports")]
pub fn messages(data: &[u8], cut: usize, agent: bool) {
    let junk = if agent { Junk::Skip } else { Junk::Refuse };
    let (first, second) = data.split_at_checked(cut).unwrap_or((data, &[]));
    let whole = read(junk, &[data]);
    let halves = read(junk, &[first, second]);
    if whole != halves {
        panic!("cut at {cut}: {halves:?} instead of {whole:?}");
    }
    for message in whole.0 {
        let _ = Message::parse(&message);
    }
}

/// The messages up to the first error, and whether there was one.
fn read(junk: Junk, pieces: &[&[u8]]) -> (Vec<Vec<u8>>, bool) {
    let mut framer = Framer::new(junk);
    let mut messages = Vec::new();
    for piece in pieces {
        let mut input = *piece;
        loop {
            match framer.next(&mut input) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(_) => return (messages, true),
            }
        }
    }
    (messages, false)
}

/// Takes `data` as the reply to `query-qmp-schema` and asks it everything.
pub fn schema(data: &[u8]) {
    let Ok(schema) = serde_json::from_slice::<crate::Schema>(data) else {
        return;
    };
    let _ = schema.has_argument("transaction", &["actions", "data", "filter-node-name"]);
    let _ = schema.has_value("transaction", &["actions", "type"], "blockdev-backup");
    let _ = schema.has_blockdev_option("copy-before-write", "on-cbw-error");
}
