//! An object that is read at any offset.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::error::{Error, ErrorKind};
use crate::http::Stop;
use crate::store::Store;

/// What is asked for at once, and kept.
const BLOCK: u64 = 1 << 20;

/// Blocks of one request when an object is read in sequence.
const RUN: u64 = 4;

/// Requests that read ahead at once.
const AHEAD: usize = 2;

/// Blocks that are kept.
const KEPT: usize = 40;

/// An object, read by ranges. Blocks of 1 MiB are kept, 40 of them; whoever reads in sequence gets the next ones while
/// still busy with these. Clones share them.
#[derive(Clone, Debug)]
pub struct ObjectReader {
    inner: Arc<Inner>,
}

/// What reading has cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cost {
    /// Requests.
    pub requests: u64,
    /// Bytes that were fetched.
    pub bytes: u64,
}

#[derive(Debug)]
struct Inner {
    store: Arc<Store>,
    key: String,
    size: u64,
    etag: String,
    cache: Mutex<Cache>,
    changed: Condvar,
    stop: Stop,
}

#[derive(Debug, Default)]
struct Cache {
    blocks: BTreeMap<u64, Block>,
    clock: u64,
    /// The block that was read last, and how many in sequence.
    last: u64,
    sequence: u64,
    ahead: usize,
    cost: Cost,
}

#[derive(Debug)]
enum Block {
    /// Somebody is fetching it.
    Coming,
    /// It is there, and was used then.
    There(Arc<[u8]>, u64),
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop.set();
    }
}

impl ObjectReader {
    /// Opens an object, with one request, which gets its first block too.
    ///
    /// # Errors
    /// Those of the store; kind [`ErrorKind::NotFound`].
    pub fn open(store: Arc<Store>, key: &str) -> Result<Self, Error> {
        let stop = Stop::default();
        let first = match store.get_range(key, (0, BLOCK), None, &stop) {
            // Of an empty object there is no range.
            Err(error) if error.kind() == ErrorKind::Refused => match store.look(key)? {
                Some(object) if object.size == 0 => crate::store::Piece {
                    bytes: Vec::new(),
                    total: 0,
                    etag: object.etag,
                },
                _ => return Err(error),
            },
            first => first?,
        };
        let mut cache = Cache::default();
        cache.cost.requests = 1;
        cache.cost.bytes = first.bytes.len() as u64;
        cache.blocks.insert(0, Block::There(first.bytes.into(), 0));
        Ok(Self {
            inner: Arc::new(Inner {
                store,
                key: key.to_owned(),
                size: first.total,
                etag: first.etag,
                cache: Mutex::new(cache),
                changed: Condvar::new(),
                stop,
            }),
        })
    }

    /// Its size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.inner.size
    }

    /// What changes with its contents.
    #[must_use]
    pub fn etag(&self) -> &str {
        &self.inner.etag
    }

    /// What it has cost so far.
    #[must_use]
    pub fn cost(&self) -> Cost {
        self.inner.lock().cost
    }

    /// Fills `buffer` with the bytes from `offset` on.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] behind the end; those of the store, with an [`Error`] inside.
    pub fn read_exact_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buffer.is_empty() {
            let number = offset.checked_div(BLOCK).unwrap_or(0);
            let block = self.block(number)?;
            let from = usize::try_from(offset % BLOCK).unwrap_or(usize::MAX);
            let there = block.get(from..).filter(|there| !there.is_empty());
            let there = there.ok_or(io::ErrorKind::UnexpectedEof)?;
            let count = there.len().min(buffer.len());
            let (now, later) = buffer.split_at_mut(count);
            now.copy_from_slice(there.get(..count).unwrap_or_default());
            buffer = later;
            offset = offset.saturating_add(count as u64);
        }
        Ok(())
    }

    fn block(&self, number: u64) -> Result<Arc<[u8]>, Error> {
        if number.saturating_mul(BLOCK) >= self.inner.size {
            return Ok(Arc::new([]));
        }
        let mut cache = self.inner.lock();
        if number != cache.last {
            let follows = number == cache.last.saturating_add(1);
            cache.sequence = if follows {
                cache.sequence.saturating_add(1)
            } else {
                0
            };
            cache.last = number;
        }
        let is_sequence = cache.sequence >= 2;
        loop {
            cache.clock = cache.clock.saturating_add(1);
            let now = cache.clock;
            match cache.blocks.get_mut(&number) {
                Some(Block::There(bytes, used)) => {
                    *used = now;
                    let bytes = Arc::clone(bytes);
                    if is_sequence {
                        self.read_ahead(&mut cache, number);
                    }
                    return Ok(bytes);
                }
                Some(Block::Coming) => {
                    cache = self
                        .inner
                        .changed
                        .wait(cache)
                        .unwrap_or_else(PoisonError::into_inner);
                }
                None => {
                    let run = if is_sequence { RUN } else { 1 };
                    let count = cache.claim(number, run, self.inner.size);
                    if is_sequence {
                        self.read_ahead(&mut cache, number);
                    }
                    drop(cache);
                    self.inner.fetch(number, count)?;
                    cache = self.inner.lock();
                }
            }
        }
    }

    /// Has others fetch what comes behind `number`.
    fn read_ahead(&self, cache: &mut MutexGuard<'_, Cache>, number: u64) {
        // As much as two requests bring, and some.
        let end = number.saturating_add(RUN.saturating_mul(3));
        let mut next = number.saturating_add(1);
        while cache.ahead < AHEAD && next < end {
            if cache.blocks.contains_key(&next) || next.saturating_mul(BLOCK) >= self.inner.size {
                next = next.saturating_add(1);
                continue;
            }
            let count = cache.claim(next, RUN, self.inner.size);
            cache.ahead = cache.ahead.saturating_add(1);
            let (inner, first) = (Arc::clone(&self.inner), next);
            let spawned = thread::Builder::new()
                .name("read ahead".into())
                .spawn(move || {
                    // Who needs it asks again, and is told.
                    let _ = inner.fetch(first, count);
                    let mut cache = inner.lock();
                    cache.ahead = cache.ahead.saturating_sub(1);
                });
            if spawned.is_err() {
                cache.ahead = cache.ahead.saturating_sub(1);
                cache.forget(first, count);
                return;
            }
            next = next.saturating_add(count);
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gets blocks that are claimed.
    fn fetch(&self, first: u64, count: u64) -> Result<(), Error> {
        let range = (first.saturating_mul(BLOCK), count.saturating_mul(BLOCK));
        let piece = self
            .store
            .get_range(&self.key, range, Some(&self.etag), &self.stop);
        let mut cache = self.lock();
        cache.forget(first, count);
        let result = piece.map(|piece| {
            cache.cost.requests = cache.cost.requests.saturating_add(1);
            cache.cost.bytes = cache.cost.bytes.saturating_add(piece.bytes.len() as u64);
            let now = cache.clock;
            let size = usize::try_from(BLOCK).unwrap_or(usize::MAX);
            for (bytes, number) in piece.bytes.chunks(size).zip(first..) {
                cache.blocks.insert(number, Block::There(bytes.into(), now));
            }
            cache.shrink();
        });
        drop(cache);
        self.changed.notify_all();
        result
    }
}

impl Cache {
    /// Marks up to `most` blocks from `first` on that nobody has; says how many.
    fn claim(&mut self, first: u64, most: u64, size: u64) -> u64 {
        let mut count = 0_u64;
        while count < most {
            let number = first.saturating_add(count);
            if self.blocks.contains_key(&number) || number.saturating_mul(BLOCK) >= size {
                break;
            }
            self.blocks.insert(number, Block::Coming);
            count = count.saturating_add(1);
        }
        count
    }

    fn forget(&mut self, first: u64, count: u64) {
        for number in first..first.saturating_add(count) {
            if matches!(self.blocks.get(&number), Some(Block::Coming)) {
                self.blocks.remove(&number);
            }
        }
    }

    /// Drops what was used longest ago.
    fn shrink(&mut self) {
        while self.blocks.len() > KEPT {
            let oldest = self
                .blocks
                .iter()
                .filter_map(|(number, block)| match block {
                    Block::There(_, used) => Some((*used, *number)),
                    Block::Coming => None,
                });
            match oldest.min() {
                Some((_, number)) => self.blocks.remove(&number),
                None => return,
            };
        }
    }
}
