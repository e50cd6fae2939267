//! File keys under keys that are used once.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::error::Result;
use crate::file_key::FileKey;
use crate::primitives::{Secret, unable};

/// Wraps a file key under a key that is used once (ChaCha20-Poly1305, RFC 8439, with a nonce of zeroes).
pub(crate) fn wrap(key: &Secret, file_key: &FileKey) -> Result<Vec<u8>> {
    let mut body = file_key.to_wrap().to_vec();
    once(key)?
        .seal_in_place_append_tag(zero(), Aad::empty(), &mut body)
        .map_err(|_| unable())?;
    Ok(body)
}

/// Takes a file key out of what [`wrap`] made; `None` if it was made with another key.
pub(crate) fn unwrap(key: &Secret, body: &[u8]) -> Option<FileKey> {
    let mut body = Zeroizing::new(body.to_vec());
    let opened = once(key).ok()?;
    FileKey::unwrapped(opened.open_in_place(zero(), Aad::empty(), &mut body).ok()?)
}

fn once(key: &Secret) -> Result<LessSafeKey> {
    let unbound = UnboundKey::new(&CHACHA20_POLY1305, key.as_slice());
    Ok(LessSafeKey::new(unbound.map_err(|_| unable())?))
}

fn zero() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}
