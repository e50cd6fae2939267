//! Reading an encrypted file from front to back.

use std::fmt;
use std::io::{self, Read};

use crate::chunk::{BATCH, NONCE, SEALED, TAG};
use crate::error::{Error, ErrorKind, Result};
use crate::header::Header;
use crate::identities::Identities;
use crate::payload::PayloadKey;

/// Decrypts what comes from a reader.
///
/// What it gives is authentic; whether it is all is known at the end, which is an error if the file was cut off.
pub struct Decryptor<R> {
    input: R,
    key: PayloadKey,
    /// Encrypted chunks, and one byte more, by which it is known that they are not the last.
    batch: Vec<u8>,
    /// How much of it is there.
    filled: usize,
    /// The number of the next chunk.
    next: u64,
    plain: Vec<u8>,
    /// How much of it was given.
    given: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Reading,
    /// The last chunk was authentic.
    Ended,
    /// Nothing is given after an error.
    Failed,
}

impl<R: Read> Decryptor<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// Kinds [`ErrorKind::Foreign`], [`ErrorKind::Unsupported`], [`ErrorKind::NoIdentity`], [`ErrorKind::WrongIdentity`],
    /// [`ErrorKind::Damaged`], [`ErrorKind::Io`].
    pub fn new(mut input: R, identities: &Identities) -> Result<Self> {
        let header = Header::read(&mut input)?;
        let key = header.unwrap(identities)?;
        let mut nonce = [0; NONCE];
        input.read_exact(&mut nonce).map_err(cut)?;
        Ok(Self {
            input,
            key: key.payload(&nonce)?,
            batch: vec![0; BATCH * SEALED + 1],
            filled: 0,
            next: 0,
            plain: Vec::new(),
            given: 0,
            state: State::Reading,
        })
    }

    /// Decrypts the next chunks.
    fn refill(&mut self) -> io::Result<()> {
        while self.filled < self.batch.len() {
            let rest = self.batch.get_mut(self.filled..).unwrap_or_default();
            match self.input.read(rest) {
                Ok(0) => break,
                Ok(got) => self.filled = self.filled.saturating_add(got),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let more = self.filled == self.batch.len();
        let length = self.filled.saturating_sub(usize::from(more));
        self.plain.clear();
        self.given = 0;
        if length == 0 {
            // Nothing at all: the file ends where a chunk should begin.
            return Err(no_end().into());
        }
        let sealed = self.batch.get_mut(..length).unwrap_or_default();
        let mut chunks = sealed.chunks_mut(SEALED).peekable();
        while let Some(chunk) = chunks.next() {
            let end = !more && chunks.peek().is_none();
            // An empty chunk ends only what is empty.
            if chunk.len() < TAG || (chunk.len() == TAG && self.next > 0) {
                return Err(no_end().into());
            }
            self.plain
                .extend_from_slice(self.key.open(self.next, chunk, end)?);
            self.next = self
                .next
                .checked_add(1)
                .ok_or(io::ErrorKind::FileTooLarge)?;
        }
        self.filled = 0;
        match more {
            // The byte behind them is the first of the next ones.
            true => {
                let byte = self.batch.last().copied();
                if let (Some(first), Some(byte)) = (self.batch.first_mut(), byte) {
                    *first = byte;
                }
                self.filled = 1;
            }
            false => self.state = State::Ended,
        }
        Ok(())
    }
}

impl<R: Read> Read for Decryptor<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given >= self.plain.len() && !buffer.is_empty() {
            match self.state {
                State::Ended => return Ok(0),
                State::Failed => return Err(no_end().into()),
                State::Reading => {
                    if let Err(error) = self.refill() {
                        self.plain.clear();
                        self.state = State::Failed;
                        return Err(error);
                    }
                }
            }
        }
        let rest = self.plain.get(self.given..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        self.given = self.given.saturating_add(count);
        Ok(count)
    }
}

impl<R> fmt::Debug for Decryptor<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decryptor")
            .field("next", &self.next)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
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
