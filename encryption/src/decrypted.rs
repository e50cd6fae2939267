//! Reading an encrypted file at any offset.

use std::fmt;
use std::io;
use std::sync::{Mutex, PoisonError};

use crate::chunk::{BATCH, CHUNK, Layout, NONCE, SEALED, TAG};
use crate::error::{Error, ErrorKind, Result};
use crate::header::{Header, MAX_HEADER};
use crate::identities::Identities;
use crate::payload::PayloadKey;
use crate::source::Source;

/// How many decrypted chunks are kept: for reads that are smaller than a chunk, a few for each thread; 2 MiB.
const SLOTS: usize = 32;
/// Bytes of a chunk, as an offset.
const LENGTH: u64 = CHUNK as u64;
/// The number of slots, as a chunk's number.
const SLOTS_U64: u64 = SLOTS as u64;
/// How many buffers for encrypted chunks are kept; up to 2 MiB.
const BUFFERS: usize = 2;

/// The plain text of an encrypted file, of which any part can be read, by many threads.
///
/// The end is authenticated when it is opened: it is the whole file. Each part is authenticated when it is read.
pub struct Decrypted<S> {
    source: S,
    key: PayloadKey,
    layout: Layout,
    /// Where the first chunk is.
    start: u64,
    slots: Vec<Mutex<Slot>>,
    buffers: Mutex<Vec<Vec<u8>>>,
}

#[derive(Default)]
struct Slot {
    chunk: Option<u64>,
    plain: Vec<u8>,
}

impl<S: Source> Decrypted<S> {
    /// Reads the header and the last chunk.
    ///
    /// # Errors
    /// Kinds [`ErrorKind::Foreign`], [`ErrorKind::Unsupported`], [`ErrorKind::NoIdentity`], [`ErrorKind::WrongIdentity`],
    /// [`ErrorKind::Damaged`], [`ErrorKind::Io`].
    pub fn open(source: S, identities: &Identities) -> Result<Self> {
        let size = source.size().map_err(Error::reading)?;
        let first = usize::try_from(size).map_or(FIRST, |size| size.min(FIRST));
        let mut start = read(&source, first)?;
        let header = match Header::parse(&start) {
            Ok(header) => header,
            // Longer than usual, or really so.
            Err(error) if error.kind() == ErrorKind::Damaged && first == FIRST => {
                let length = usize::try_from(size).map_or(MAX_HEADER, |size| size.min(MAX_HEADER));
                start = read(&source, length)?;
                Header::parse(&start)?
            }
            Err(error) => return Err(error),
        };
        let key = header.unwrap(identities)?;
        let mut nonce = [0; NONCE];
        source
            .read_exact_at(&mut nonce, header.length() as u64)
            .map_err(cut)?;
        let start = (header.length() as u64).saturating_add(NONCE as u64);
        let layout = Layout::of(size.saturating_sub(start)).ok_or_else(no_end)?;
        let decrypted = Self {
            source,
            key: key.payload(&nonce)?,
            layout,
            start,
            slots: (0..SLOTS).map(|_| Mutex::default()).collect(),
            buffers: Mutex::default(),
        };
        decrypted.with_chunk(layout.chunks.saturating_sub(1), |_| ())?;
        Ok(decrypted)
    }

    /// How many bytes of plain text there are.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.layout.plain()
    }

    /// Fills `buffer` with the plain text from `offset` on.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] behind the end; [`io::ErrorKind::InvalidData`] with an [`Error`] for what is not
    /// authentic; whatever the source says. What is in `buffer` then is of no use.
    pub fn read_exact_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.size()) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        while !buffer.is_empty() {
            let chunk = offset / LENGTH;
            let within = usize::try_from(offset % LENGTH).unwrap_or_default();
            let whole = match within {
                0 => (buffer.len() / CHUNK).min(BATCH),
                _ => 0,
            };
            let done = if whole > 1 {
                let length = whole.saturating_mul(CHUNK);
                let part = buffer.get_mut(..length).unwrap_or_default();
                self.read_chunks(chunk, part)?;
                length
            } else {
                self.with_chunk(chunk, |plain| {
                    let from = plain.get(within..).unwrap_or_default();
                    let count = from.len().min(buffer.len());
                    if let (Some(to), Some(from)) = (buffer.get_mut(..count), from.get(..count)) {
                        to.copy_from_slice(from);
                    }
                    count
                })?
            };
            // A chunk that is shorter than the layout says.
            if done == 0 {
                return Err(no_end().into());
            }
            buffer = buffer.get_mut(done..).unwrap_or_default();
            offset = offset.saturating_add(done as u64);
        }
        Ok(())
    }

    /// Does something with the plain text of a chunk, which is kept for whoever reads on there.
    fn with_chunk<T>(&self, chunk: u64, then: impl FnOnce(&[u8]) -> T) -> Result<T> {
        let slot = usize::try_from(chunk % SLOTS_U64).unwrap_or_default();
        let slot = self.slots.get(slot).ok_or_else(no_end)?;
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.chunk != Some(chunk) {
            slot.chunk = None;
            let end = self.layout.is_last(chunk);
            let length = match end {
                true => self.layout.last,
                false => CHUNK,
            };
            slot.plain.resize(length.saturating_add(TAG), 0);
            self.source
                .read_exact_at(&mut slot.plain, self.place(chunk))
                .map_err(cut)?;
            self.key.open(chunk, &mut slot.plain, end)?;
            slot.plain.truncate(length);
            slot.chunk = Some(chunk);
        }
        Ok(then(&slot.plain))
    }

    /// Reads whole chunks, at most [`BATCH`].
    fn read_chunks(&self, first: u64, buffer: &mut [u8]) -> Result<()> {
        let kept = |buffers: &Mutex<Vec<_>>| {
            let mut buffers = buffers.lock().unwrap_or_else(PoisonError::into_inner);
            buffers.pop()
        };
        let mut sealed = kept(&self.buffers).unwrap_or_else(|| vec![0; BATCH * SEALED]);
        let read = self.decrypt_chunks(first, buffer, &mut sealed);
        let mut buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        if buffers.len() < BUFFERS {
            buffers.push(sealed);
        }
        read
    }

    fn decrypt_chunks(&self, first: u64, buffer: &mut [u8], sealed: &mut [u8]) -> Result<()> {
        let count = buffer.len() / CHUNK;
        let numbers = first..=u64::MAX;
        let last = first.saturating_add(count as u64).saturating_sub(1);
        let short = match self.layout.is_last(last) {
            true => CHUNK.saturating_sub(self.layout.last),
            false => 0,
        };
        let length = count.saturating_mul(SEALED).saturating_sub(short);
        let sealed = sealed.get_mut(..length).ok_or_else(no_end)?;
        self.source
            .read_exact_at(sealed, self.place(first))
            .map_err(cut)?;
        let chunks = sealed.chunks_mut(SEALED).zip(buffer.chunks_mut(CHUNK));
        for (number, (chunk, to)) in numbers.zip(chunks) {
            let plain = self.key.open(number, chunk, self.layout.is_last(number))?;
            to.get_mut(..plain.len())
                .ok_or_else(no_end)?
                .copy_from_slice(plain);
        }
        Ok(())
    }

    fn place(&self, chunk: u64) -> u64 {
        self.start
            .saturating_add(chunk.saturating_mul(SEALED as u64))
    }
}

impl<S> fmt::Debug for Decrypted<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decrypted")
            .field("layout", &self.layout)
            .finish_non_exhaustive()
    }
}

/// How much of a file is read for its header at first: a few keys.
const FIRST: usize = 4 << 10;

fn read(source: &impl Source, length: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    source
        .read_exact_at(&mut bytes, 0)
        .map_err(Error::reading)?;
    Ok(bytes)
}

fn no_end() -> Error {
    Error::new(
        ErrorKind::Damaged,
        "the encrypted file was cut off: it has no authentic end",
    )
}

fn cut(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => no_end(),
        _ => Error::reading(error),
    }
}
