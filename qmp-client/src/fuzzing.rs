//! Entry points for fuzz targets; no part of the API.

use serde::de::DeserializeOwned;

use crate::command::Command;
use crate::commands::{BlockGraph, QueryBlock, QueryBlockJobs, QueryBlockStats};
use crate::framer::{Framer, Junk};
use crate::message::Message;
use crate::schema::Schema;

/// What a server, or a guest agent, sends. The first byte says where the rest is cut in two,
/// which must make no difference.
pub fn messages(data: &[u8]) {
    let Some((&cut, data)) = data.split_first() else {
        return;
    };
    for junk in [Junk::Refuse, Junk::Skip] {
        for message in messages_in_two(junk, data, cut.into()) {
            if let Ok(Message::Event(event)) = Message::parse(&message) {
                let _ = event.known();
            }
        }
    }
}

/// The reply to a query, taken as each type that there is.
pub fn replies(data: &[u8]) {
    reply::<QueryBlock>(data);
    reply::<QueryBlockJobs>(data);
    reply::<QueryBlockStats>(data);
    if let Some(graph) = parse::<BlockGraph>(data) {
        for node in &graph.nodes {
            let _ = graph.child(&node.name, "file");
            let _ = graph.parents(&node.name).count();
        }
    }
    if let Some(schema) = parse::<Schema>(data) {
        let _ = schema.has_argument("transaction", &["actions", "data", "filter-node-name"]);
        let _ = schema.has_value("transaction", &["actions", "type"], "blockdev-backup");
        let _ = schema.has_blockdev_option("copy-before-write", "on-cbw-error");
    }
}

fn reply<C: Command>(data: &[u8]) {
    let _ = parse::<C::Reply>(data);
}

fn parse<T: DeserializeOwned>(data: &[u8]) -> Option<T> {
    serde_json::from_slice(data).ok()
}

/// The messages up to the first error.
pub(crate) fn messages_in_two(junk: Junk, data: &[u8], cut: usize) -> Vec<Vec<u8>> {
    let (first, second) = data.split_at_checked(cut).unwrap_or((data, &[]));
    let whole = framed(junk, &[data]);
    assert_eq!(framed(junk, &[first, second]), whole, "cut at {cut}");
    whole.0
}

/// The messages up to the first error, and whether there was one.
fn framed(junk: Junk, pieces: &[&[u8]]) -> (Vec<Vec<u8>>, bool) {
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
