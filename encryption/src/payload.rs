//! Chunks, encrypted and decrypted: ChaCha20-Poly1305 with a counter (C2SP age, "Payload").

use std::fmt;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::chunk::{SEALED, TAG};
use crate::error::{Error, ErrorKind, Result};

/// The key of a payload.
pub(crate) struct PayloadKey(LessSafeKey);

impl fmt::Debug for PayloadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PayloadKey")
    }
}

impl PayloadKey {
    pub(crate) fn new(key: &[u8; 32]) -> Result<Self> {
        let unbound = UnboundKey::new(&CHACHA20_POLY1305, key)
            .map_err(|_| Error::new(ErrorKind::Io, "no cipher takes the key"))?;
        Ok(Self(LessSafeKey::new(unbound)))
    }

    /// Encrypts chunks in place, of which `first` is the number of the first; each has its plain text in front and room
    /// for the tag behind, and all but the last are full. `end` is whether the last one ends the payload.
    pub(crate) fn seal(&self, first: u64, chunks: &mut [u8], end: bool) -> Result<()> {
        let failed = || Error::new(ErrorKind::Io, "a chunk cannot be encrypted");
        let mut numbers = first..=u64::MAX;
        let mut chunks = chunks.chunks_mut(SEALED).peekable();
        while let Some(chunk) = chunks.next() {
            let nonce = nonce(
                numbers.next().ok_or_else(failed)?,
                end && chunks.peek().is_none(),
            );
            let text = chunk.len().checked_sub(TAG).ok_or_else(failed)?;
            let (text, tag) = chunk.split_at_mut(text);
            let sealed = self
                .0
                .seal_in_place_separate_tag(nonce, Aad::empty(), text)
                .map_err(|_| failed())?;
            tag.copy_from_slice(sealed.as_ref());
        }
        Ok(())
    }

    /// Decrypts a chunk in place, and gives its plain text.
    pub(crate) fn open<'a>(
        &self,
        number: u64,
        chunk: &'a mut [u8],
        end: bool,
    ) -> Result<&'a mut [u8]> {
        self.0
            .open_in_place(nonce(number, end), Aad::empty(), chunk)
            .map_err(|_| match end {
                true => Error::new(
                    ErrorKind::Damaged,
                    format!(
                        "the encrypted file was cut off, or its end changed: chunk {number} is not authentic as its last"
                    ),
                ),
                false => Error::new(
                    ErrorKind::Damaged,
                    format!("the encrypted file was changed: chunk {number} is not authentic"),
                ),
            })
            .map(|text| &mut *text)
    }
}

/// 11 bytes of the chunk's number, and one that tells the last.
fn nonce(number: u64, end: bool) -> Nonce {
    let number = u128::from(number) << 8 | u128::from(end);
    let [_, _, _, _, nonce @ ..] = number.to_be_bytes();
    let nonce: [u8; NONCE_LEN] = nonce;
    Nonce::assume_unique_for_key(nonce)
}
