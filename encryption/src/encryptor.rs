//! Writing an encrypted file.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};

use crate::chunk::{BATCH, CHUNK, NONCE, SEALED, TAG};
use crate::error::{Error, ErrorKind, Result};
use crate::header::Header;
use crate::payload::PayloadKey;
use crate::primitives::random;
use crate::recipients::Recipients;

/// More threads than this are never busy: one encrypts more in a second than targets take.
const MAX_THREADS: usize = 4;

/// Encrypts what is written, and writes it on.
///
/// Its output is no whole file until [`Encryptor::finish`]; of one that is dropped before, readers say that it was cut off.
pub struct Encryptor<W: Write> {
    out: W,
    key: Arc<PayloadKey>,
    /// Chunks that are being filled, each with room for its tag.
    batch: Vec<u8>,
    /// How much plain text is in it.
    filled: usize,
    /// The number of its first chunk.
    first: u64,
    /// Sealed in this order, on threads that are started when there is more than a batch.
    pending: VecDeque<Receiver<Sealed>>,
    jobs: Option<Sender<Job>>,
    spare: Vec<Vec<u8>>,
    threads: usize,
    failed: bool,
}

type Sealed = Result<Vec<u8>>;

struct Job {
    first: u64,
    batch: Vec<u8>,
    done: Sender<Sealed>,
}

impl<W: Write> Encryptor<W> {
    /// Begins a file for `recipients`: writes its header.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Recipient`] if there is none; [`ErrorKind::Io`].
    pub fn new(mut out: W, recipients: &Recipients) -> Result<Self> {
        let (header, key) = Header::new(recipients)?;
        let mut nonce = [0; NONCE];
        random(&mut nonce)?;
        let key = Arc::new(key.payload(&nonce)?);
        out.write_all(&header.to_bytes())
            .and_then(|()| out.write_all(&nonce))
            .map_err(|error| Error::io("cannot write the encrypted file", error))?;
        let threads = thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            out,
            key,
            batch: empty(),
            filled: 0,
            first: 0,
            pending: VecDeque::new(),
            jobs: None,
            spare: Vec::new(),
            threads: threads.min(MAX_THREADS),
            failed: false,
        })
    }

    /// What is written to.
    pub const fn get_ref(&self) -> &W {
        &self.out
    }

    /// What is written to. Whatever else is written there damages the file.
    pub const fn get_mut(&mut self) -> &mut W {
        &mut self.out
    }

    /// Ends the file, and gives back what it was written to.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Io`].
    pub fn finish(mut self) -> Result<W> {
        if self.failed {
            return Err(Error::new(ErrorKind::Io, "the encrypted file is not whole"));
        }
        self.drain(0)
            .map_err(|error| Error::io("cannot write the encrypted file", error))?;
        let chunks = self.filled.div_ceil(CHUNK).max(1);
        self.batch
            .truncate(self.filled.saturating_add(chunks.saturating_mul(TAG)));
        self.key.seal(self.first, &mut self.batch, true)?;
        self.out
            .write_all(&self.batch)
            .map_err(|error| Error::io("cannot write the encrypted file", error))?;
        Ok(self.out)
    }

    /// Has the batch, which is full and not the last, sealed.
    fn dispatch(&mut self) -> io::Result<()> {
        let fresh = self.spare.pop().unwrap_or_else(empty);
        let mut batch = std::mem::replace(&mut self.batch, fresh);
        let first = self.first;
        self.first = first
            .checked_add(BATCH as u64)
            .ok_or(io::ErrorKind::FileTooLarge)?;
        self.filled = 0;
        if self.threads < 2 {
            self.key.seal(first, &mut batch, false)?;
            self.out.write_all(&batch)?;
            self.spare.push(batch);
            return Ok(());
        }
        let jobs = match &self.jobs {
            Some(jobs) => jobs,
            None => self.jobs.insert(start(self.threads, &self.key)?),
        };
        let (done, sealed) = bounded(1);
        let job = Job { first, batch, done };
        jobs.send(job).map_err(|_| died())?;
        self.pending.push_back(sealed);
        self.drain(self.threads.saturating_mul(2))
    }

    /// Writes what is sealed, and waits until no more than so many batches are not.
    fn drain(&mut self, waiting: usize) -> io::Result<()> {
        while let Some(front) = self.pending.front() {
            let sealed = match front.try_recv() {
                Ok(sealed) => sealed,
                Err(TryRecvError::Empty) if self.pending.len() <= waiting => return Ok(()),
                Err(_) => front.recv().map_err(|_| died())?,
            }?;
            self.pending.pop_front();
            self.out.write_all(&sealed)?;
            self.spare.push(sealed);
        }
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.filled >= BATCH * CHUNK {
            self.dispatch()?;
        }
        // Up to the end of a chunk, behind which its tag goes.
        let within = self.filled % CHUNK;
        let chunk = (self.filled / CHUNK).saturating_mul(SEALED);
        let count = bytes.len().min(CHUNK.saturating_sub(within));
        let from = chunk.saturating_add(within);
        let place = self.batch.get_mut(from..from.saturating_add(count));
        let part = bytes.get(..count).unwrap_or_default();
        place.ok_or_else(died)?.copy_from_slice(part);
        self.filled = self.filled.saturating_add(count);
        Ok(count)
    }
}

impl<W: Write> Write for Encryptor<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.failed {
            return Err(io::Error::other("writing the encrypted file has failed"));
        }
        let put = self.put(bytes);
        self.failed = put.is_err();
        put
    }

    /// Flushes what is below. What is not a whole chunk yet cannot be written.
    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl<W: Write> fmt::Debug for Encryptor<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encryptor")
            .field("first", &self.first)
            .field("filled", &self.filled)
            .finish_non_exhaustive()
    }
}

fn empty() -> Vec<u8> {
    vec![0; BATCH * SEALED]
}

/// Threads that end when nobody has jobs for them.
fn start(threads: usize, key: &Arc<PayloadKey>) -> io::Result<Sender<Job>> {
    let (jobs, queue) = bounded::<Job>(threads);
    for _ in 0..threads {
        let (queue, key) = (queue.clone(), Arc::clone(key));
        thread::Builder::new()
            .name("encrypt".into())
            .spawn(move || {
                for mut job in queue {
                    let sealed = key.seal(job.first, &mut job.batch, false);
                    let _ = job.done.send(sealed.map(|()| job.batch));
                }
            })?;
    }
    Ok(jobs)
}

fn died() -> io::Error {
    io::Error::other("a thread that encrypts has ended")
}
