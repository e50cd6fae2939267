//! An object in the making.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use md5::{Digest as _, Md5};

use crate::error::{Error, ErrorKind};
use crate::http::Stop;
use crate::lock::Lock;
use crate::multipart::{Part, Sent};
use crate::store::{Store, Sums, exists, hex};

const MIB: u64 = 1 << 20;

/// An object has at most 10,000 parts; some are kept for what the size was not known to be.
const PARTS: u64 = 9000;

/// Smaller parts cost more requests than they save memory.
const SMALLEST: u64 = 16 * MIB;

/// What S3 takes at most as one part.
const LARGEST: u64 = 5 << 30;

/// Parts in flight: so many that they have this much in all, but at least [`FEWEST`] and at most [`MOST`].
const IN_FLIGHT: u64 = 64 * MIB;
const FEWEST: u64 = 2;
const MOST: u64 = 4;

/// How long an abort waits for parts that are under way.
const LAST_CHANCE: Duration = Duration::from_secs(3);

/// The size of parts, in bytes, of an object that has at most `bound` bytes: whole MiB.
#[must_use]
pub fn part_size(bound: u64) -> u64 {
    let needed = bound.div_ceil(PARTS).div_ceil(MIB).saturating_mul(MIB);
    needed.clamp(SMALLEST, LARGEST)
}

/// How an object is made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct UploadOptions {
    /// The size of its parts in bytes.
    pub part: u64,
    /// Its lock.
    pub lock: Option<Lock>,
    /// Go on with an upload of that key that was not finished: parts that are there are not sent again.
    pub resume: bool,
}

impl Default for UploadOptions {
    fn default() -> Self {
        Self {
            part: SMALLEST,
            lock: None,
            resume: false,
        }
    }
}

/// What was found when an object was complete.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checked {
    /// Its size in bytes.
    pub size: u64,
    /// Bytes that were there already, of an upload that was gone on with.
    pub resumed: u64,
    /// Whether the store has confirmed a checksum of all parts.
    pub by_checksum: bool,
}

/// An object that appears on [`Upload::commit`]; dropped before, it is aborted.
#[derive(Debug)]
pub struct Upload {
    store: Arc<Store>,
    key: String,
    id: String,
    lock: Option<Lock>,
    part: usize,
    buffer: Vec<u8>,
    next: u32,
    written: u64,
    jobs: Option<Sender<(u32, Vec<u8>)>>,
    free: Receiver<Vec<u8>>,
    workers: Vec<JoinHandle<()>>,
    shared: Arc<Shared>,
    over: bool,
    keep: bool,
}

#[derive(Debug, Default)]
struct Shared {
    sent: Mutex<BTreeMap<u32, Sent>>,
    failed: Mutex<Option<Error>>,
    stop: Stop,
    resumed: Mutex<u64>,
}

impl Shared {
    fn fail(&self, error: Error) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        // What comes later is a consequence.
        if failed.is_none() {
            *failed = Some(error);
        }
        self.stop.set();
    }

    fn take(&self) -> Option<Error> {
        self.failed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

impl Store {
    /// Begins an object that appears when it is complete.
    ///
    /// # Errors
    /// Those of the store; kind [`ErrorKind::Exists`] if something has its name.
    pub fn begin(self: &Arc<Self>, key: &str, options: &UploadOptions) -> Result<Upload, Error> {
        Upload::begin(Arc::clone(self), key, options)
    }
}

impl Upload {
    fn begin(store: Arc<Store>, key: &str, options: &UploadOptions) -> Result<Self, Error> {
        match store.look(key) {
            Ok(Some(_)) => return Err(exists(key)),
            // Who may only write is told nothing; whether it exists shows at the end.
            Err(error) if error.kind() != ErrorKind::Denied => return Err(error),
            _ => {}
        }
        let begun = match options.resume {
            true => store.unfinished(key)?,
            false => Vec::new(),
        };
        let mut begun: Vec<_> = begun
            .into_iter()
            .filter(|upload| upload.key == key)
            .collect();
        begun.sort_by_key(|upload| upload.begun);
        let (id, known) = match begun.pop() {
            Some(upload) => {
                let parts = store.parts(key, &upload.id)?;
                (upload.id, parts)
            }
            None => (store.create_upload(key, options.lock.as_ref())?, Vec::new()),
        };
        let part = options.part.clamp(5 * MIB, LARGEST);
        let count = IN_FLIGHT
            .checked_div(part)
            .unwrap_or(FEWEST)
            .clamp(FEWEST, MOST);
        let shared = Arc::new(Shared::default());
        let (jobs, todo) = bounded::<(u32, Vec<u8>)>(0);
        let (give, free) = bounded(usize::try_from(count).unwrap_or(2));
        let known: Arc<BTreeMap<u32, Part>> =
            Arc::new(known.into_iter().map(|part| (part.number, part)).collect());
        let mut upload = Self {
            store,
            key: key.to_owned(),
            id,
            lock: options.lock,
            part: usize::try_from(part).unwrap_or(usize::MAX),
            buffer: Vec::new(),
            next: 1,
            written: 0,
            jobs: Some(jobs),
            free,
            workers: Vec::new(),
            shared,
            over: false,
            keep: false,
        };
        for _ in 0..count {
            // There is room for as many as there are.
            let _ = give.try_send(Vec::new());
            let worker = Worker {
                store: Arc::clone(&upload.store),
                key: upload.key.clone(),
                id: upload.id.clone(),
                known: Arc::clone(&known),
                shared: Arc::clone(&upload.shared),
                todo: todo.clone(),
                give: give.clone(),
            };
            let spawned = thread::Builder::new()
                .name("upload".into())
                .spawn(move || worker.run());
            let failed = |error| Error::caused(ErrorKind::Config, "cannot start a thread", error);
            upload.workers.push(spawned.map_err(failed)?);
        }
        Ok(upload)
    }

    /// From now on, parts that are there stay if this is dropped, so that the upload can be gone on with.
    pub fn keep(&mut self) {
        self.keep = true;
    }

    /// The upload's id, for a record.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Sends what is left, and waits until the store has all parts.
    ///
    /// # Errors
    /// The first that was met.
    pub fn sync(&mut self) -> Result<(), Error> {
        // An object has one part at least, and only the last may be small.
        if self.jobs.is_some() && (!self.buffer.is_empty() || self.next == 1) {
            self.send()?;
        }
        drop(self.jobs.take());
        for worker in self.workers.drain(..) {
            if worker.join().is_err() {
                return Err(Error::new(ErrorKind::Cancelled, "a thread has panicked"));
            }
        }
        self.shared.take().map_or(Ok(()), Err)
    }

    /// Makes the object appear, unless there is one of its name, and compares its size and, where the store tells one, its
    /// checksum.
    ///
    /// # Errors
    /// Those of the store; kind [`ErrorKind::Exists`]. There is no object of ours then.
    pub fn commit(mut self) -> Result<Checked, Error> {
        self.sync()?;
        let sent = self
            .shared
            .sent
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let parts: Vec<(u32, Sent)> = sent.iter().map(|(n, sent)| (*n, sent.clone())).collect();
        drop(sent);
        let mut all = Md5::new();
        for (_, sent) in &parts {
            all.update(sent.sums.md5);
        }
        let etag = format!("{}-{}", hex(&all.finalize()), parts.len());
        let is_md5 = parts.iter().all(|(_, sent)| sent.is_md5);
        let is_there = |object: &crate::store::Object| {
            object.size == self.written && (!is_md5 || object.etag == etag)
        };
        let to = (self.key.as_str(), self.id.as_str());
        // Stores that do not know the condition take no notice of it, or refuse it.
        if let Ok(Some(_)) = self.store.look(&self.key) {
            return Err(exists(&self.key));
        }
        let mut done = self.store.complete(to, &parts, true);
        if let Err(refused) = &done
            && refused.error.kind() == ErrorKind::Refused
            && refused.error.to_string().contains("NotImplemented")
        {
            done = self.store.complete(to, &parts, false);
        }
        if let Err(refused) = done {
            let lost = matches!(
                refused.error.kind(),
                ErrorKind::Exists | ErrorKind::NotFound
            ) || refused.error.kind().is_transient();
            // An answer may have been lost on the way.
            let ours = refused.again
                && lost
                && matches!(self.store.look(&self.key), Ok(Some(object)) if is_md5 && is_there(&object));
            if !ours {
                return Err(match refused.error.kind() {
                    ErrorKind::Exists => exists(&self.key),
                    _ => refused.error,
                });
            }
        }
        self.over = true;
        let by_checksum = match self.store.look(&self.key) {
            Ok(Some(object)) if is_there(&object) => {
                self.hold(object.lock)?;
                is_md5 && object.etag == etag
            }
            Ok(_) => {
                let message = format!("the store has something else than was sent as {}", self.key);
                // It is not what anybody wants to restore from. One that cannot be removed is named all the same.
                let _ = self.store.delete(&self.key);
                return Err(Error::new(ErrorKind::Corrupt, message));
            }
            // Who may only write cannot look.
            Err(error) if error.kind() == ErrorKind::Denied => false,
            Err(error) => return Err(error),
        };
        let resumed = *self
            .shared
            .resumed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Ok(Checked {
            size: self.written,
            resumed,
            by_checksum,
        })
    }

    /// Sees to it that the object is locked for as long as was asked for: a store may take no notice of what was said of that
    /// when the upload was begun.
    fn hold(&self, held: Option<Lock>) -> Result<(), Error> {
        let Some(wanted) = self.lock else {
            return Ok(());
        };
        let holds = |held: Option<Lock>| held.is_some_and(|held| held.holds(&wanted));
        if holds(held) {
            return Ok(());
        }
        self.store.lock(&self.key, &wanted)?;
        match self.store.look(&self.key)? {
            Some(object) if holds(object.lock) => Ok(()),
            _ => {
                let message = format!("{} is complete, but the store does not lock it", self.key);
                Err(Error::new(ErrorKind::Refused, message))
            }
        }
    }

    /// Hands the part in the making on, and waits for room for the next.
    fn send(&mut self) -> Result<(), Error> {
        let gone = || Error::new(ErrorKind::Cancelled, "the upload has ended");
        let part = std::mem::take(&mut self.buffer);
        let number = self.next;
        self.next = number.saturating_add(1);
        let sent = self.jobs.as_ref().map(|jobs| jobs.send((number, part)));
        let free = match sent {
            Some(Ok(())) => self.free.recv().ok(),
            _ => None,
        };
        if let Some(error) = self.shared.take() {
            self.jobs = None;
            return Err(error);
        }
        self.buffer = free.ok_or_else(gone)?;
        Ok(())
    }
}

/// The size of the part of this number: what is larger than it was said to be still fits into 10,000 parts.
fn grown(part: usize, number: u32) -> usize {
    let is_step = u64::from(number) >= PARTS && number.is_multiple_of(100);
    let larger = part
        .saturating_mul(2)
        .min(usize::try_from(LARGEST).unwrap_or(usize::MAX));
    if is_step { larger } else { part }
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(error) = self.shared.take() {
            self.jobs = None;
            return Err(error.into());
        }
        if self.buffer.len() >= self.part {
            self.send()?;
            self.part = grown(self.part, self.next);
        }
        if self.buffer.capacity() < self.part {
            // A short object needs less; a long one gets its room once.
            let more = self
                .part
                .min(self.buffer.len().saturating_mul(2).max(bytes.len()));
            self.buffer
                .reserve_exact(more.saturating_sub(self.buffer.len()));
        }
        let room = self.part.saturating_sub(self.buffer.len()).min(bytes.len());
        self.buffer
            .extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        self.written = self.written.saturating_add(room as u64);
        Ok(room)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        self.shared.stop.set();
        drop(self.jobs.take());
        let end = Instant::now().checked_add(LAST_CHANCE);
        while self.workers.iter().any(|worker| !worker.is_finished())
            && end.is_some_and(|end| Instant::now() < end)
        {
            thread::sleep(Duration::from_millis(10));
        }
        if !self.keep
            && let Err(error) = self.store.abort(&self.key, &self.id)
        {
            tracing::warn!(key = self.key, %error, "an upload stays");
        }
    }
}

struct Worker {
    store: Arc<Store>,
    key: String,
    id: String,
    known: Arc<BTreeMap<u32, Part>>,
    shared: Arc<Shared>,
    todo: Receiver<(u32, Vec<u8>)>,
    give: Sender<Vec<u8>>,
}

impl Worker {
    fn run(self) {
        for (number, mut part) in &self.todo {
            if !self.shared.stop.is_set() {
                match self.send(number, &part) {
                    Ok(sent) => {
                        let mut all = self
                            .shared
                            .sent
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner);
                        all.insert(number, sent);
                    }
                    Err(error) => self.shared.fail(error),
                }
            }
            part.clear();
            let _ = self.give.try_send(part);
        }
    }

    fn send(&self, number: u32, part: &[u8]) -> Result<Sent, Error> {
        let sums = Sums::of(part);
        if let Some(there) = self.known.get(&number)
            && there.size == part.len() as u64
            && there.etag == sums.hex()
        {
            let mut resumed = self
                .shared
                .resumed
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *resumed = resumed.saturating_add(there.size);
            return Ok(Sent {
                etag: there.etag.clone(),
                sums,
                is_md5: true,
            });
        }
        let to = (self.key.as_str(), self.id.as_str());
        self.store
            .send_part(to, number, part, sums, &self.shared.stop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_larger_than_was_said_still_fits() {
        let mut part = usize::try_from(part_size(1 << 40)).unwrap();
        let mut sum = 0;
        for number in 1..=10_000 {
            part = grown(part, number);
            sum += part as u64;
            assert!(part as u64 <= LARGEST);
        }
        assert!(sum > 4 << 40, "{sum}");
    }

    #[test]
    fn parts_are_large_enough_for_every_object_and_no_larger() {
        assert_eq!(part_size(0), 16 << 20);
        assert_eq!(part_size(9000 * (16 << 20)), 16 << 20);
        assert_eq!(part_size(9000 * (16 << 20) + 1), 17 << 20);
        for bound in [1 << 40, 5 << 40, 20 << 40] {
            let part = part_size(bound);
            assert!(bound.div_ceil(part) <= 9000 && part.is_multiple_of(1 << 20));
        }
    }
}
