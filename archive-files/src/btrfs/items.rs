//! Trees of items, sorted by their keys.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::chunks::Chunks;
use crate::bytes::{Fields, size};
use crate::error::{Error, Result};
use crate::source::{Shared, bytes_at};
use crate::tree::Recent;

/// How many levels a tree has at most.
const MAX_LEVEL: u8 = 8;

/// The lengths of a node's head, of an item's and of a pointer to another node.
const HEAD: usize = 101;
const ITEM: usize = 25;
const POINTER: usize = 33;

const CHUNK: u8 = 228;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) object: u64,
    pub(super) kind: u8,
    pub(super) offset: u64,
}

impl Key {
    pub(super) const fn new(object: u64, kind: u8, offset: u64) -> Self {
        Self {
            object,
            kind,
            offset,
        }
    }

    fn parse(raw: &[u8]) -> Result<Self> {
        Ok(Self::new(raw.le64(0)?, raw.byte(8)?, raw.le64(9)?))
    }
}

type Each<'e> = &'e mut dyn FnMut(Key, &[u8]) -> Result<ControlFlow<()>>;

#[derive(Debug)]
pub(super) struct Volume {
    source: Shared,
    chunks: Chunks,
    node_len: u64,
    nodes: Recent<u64, Node>,
}

#[derive(Debug)]
struct Node {
    raw: Vec<u8>,
    level: u8,
    count: usize,
}

impl Node {
    const fn width(&self) -> usize {
        if self.level == 0 { ITEM } else { POINTER }
    }

    fn entry(&self, place: usize) -> Result<&[u8]> {
        let at = place.saturating_mul(self.width()).saturating_add(HEAD);
        self.raw.part(at, self.width())
    }

    fn key(&self, place: usize) -> Result<Key> {
        Key::parse(self.entry(place)?)
    }

    /// How many entries have keys before this one, or up to it.
    fn before(&self, key: Key, or_equal: bool) -> Result<usize> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low.midpoint(high);
            let found = self.key(middle)?;
            match found < key || (or_equal && found == key) {
                true => low = middle.saturating_add(1),
                false => high = middle,
            }
        }
        Ok(low)
    }

    fn child(&self, place: usize) -> Result<u64> {
        self.entry(place)?.le64(17)
    }

    fn data(&self, place: usize) -> Result<&[u8]> {
        let entry = self.entry(place)?;
        let at = size(u64::from(entry.le32(17)?)).saturating_add(HEAD);
        self.raw.part(at, size(u64::from(entry.le32(21)?)))
    }
}

impl Volume {
    pub(super) fn new(source: Shared, chunks: Chunks, node_len: u64) -> Self {
        Self {
            source,
            chunks,
            node_len,
            nodes: Recent::default(),
        }
    }

    /// Adds the chunks that are in a tree.
    pub(super) fn read_chunks(&mut self, root: u64, device: u64) -> Result<()> {
        let mut found = Vec::new();
        self.from(root, Key::new(0, 0, 0), &mut |key, data| {
            if key.kind == CHUNK {
                found.push((key.offset, data.to_vec()));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        for (start, item) in found {
            self.chunks.add(start, &item, device)?;
        }
        Ok(())
    }

    /// Bytes at an address.
    pub(super) fn bytes(&self, address: u64, len: u64) -> Result<Vec<u8>> {
        let (place, left) = self.chunks.place(address)?;
        match len <= left {
            true => bytes_at(&self.source, place, len),
            false => Err(Error::damaged("something is longer than its chunk")),
        }
    }

    /// Fills a buffer with the bytes at an address.
    pub(super) fn read(&self, address: u64, buffer: &mut [u8]) -> Result<()> {
        let (mut at, mut rest) = (address, buffer);
        while !rest.is_empty() {
            let (place, left) = self.chunks.place(at)?;
            let len = size(left).min(rest.len());
            let (now, later) = rest.split_at_mut(len);
            self.source.read_at(place, now)?;
            at = at.saturating_add(len as u64);
            rest = later;
        }
        Ok(())
    }

    fn node(&self, address: u64, level: Option<u8>) -> Result<Arc<Node>> {
        let node = self.nodes.get(address, || {
            let raw = self.bytes(address, self.node_len)?;
            if raw.le64(0x30)? != address {
                return Err(Error::damaged("a node of a tree is not where it says"));
            }
            let level = raw.byte(100)?;
            let mut node = Node {
                level,
                count: size(u64::from(raw.le32(96)?)),
                raw,
            };
            let room = node
                .raw
                .len()
                .saturating_sub(HEAD)
                .checked_div(node.width());
            node.count = node.count.min(room.unwrap_or_default());
            Ok(node)
        })?;
        let is_right = level.map_or(node.level <= MAX_LEVEL, |level| node.level == level);
        match is_right {
            true => Ok(node),
            false => Err(Error::damaged("a tree is not as deep as it says")),
        }
    }

    /// Gives all items from a key on to `each`, until that has enough.
    pub(super) fn from(&self, root: u64, key: Key, each: Each<'_>) -> Result<()> {
        let root = self.node(root, None)?;
        self.within(&root, key, each).map(drop)
    }

    fn within(&self, node: &Node, key: Key, each: Each<'_>) -> Result<ControlFlow<()>> {
        if node.level == 0 {
            for place in node.before(key, false)?..node.count {
                if each(node.key(place)?, node.data(place)?)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            return Ok(ControlFlow::Continue(()));
        }
        // The key may be below the last one that is not behind it.
        let first = node.before(key, true)?.saturating_sub(1);
        for place in first..node.count {
            let below = self.node(node.child(place)?, node.level.checked_sub(1))?;
            if self.within(&below, key, each)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The last key that is not behind this one.
    pub(super) fn floor(&self, root: u64, key: Key) -> Result<Option<Key>> {
        let mut node = self.node(root, None)?;
        loop {
            let Some(place) = node.before(key, true)?.checked_sub(1) else {
                return Ok(None);
            };
            if node.level == 0 {
                return node.key(place).map(Some);
            }
            node = self.node(node.child(place)?, node.level.checked_sub(1))?;
        }
    }
}
