//! Random numbers, derived keys, and Diffie-Hellman, which the recipients' keys have in common.

use curve25519_dalek::montgomery::MontgomeryPoint;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf;
use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, Result};
use crate::file_key::FileKey;

/// 32 bytes that are wiped when they are dropped.
pub(crate) type Secret = Zeroizing<[u8; 32]>;

/// Random bytes of the system.
pub(crate) fn random(bytes: &mut [u8]) -> Result<()> {
    let filled = SystemRandom::new().fill(bytes);
    filled.map_err(|_| Error::new(ErrorKind::Io, "the system has no random numbers"))
}

/// HKDF with SHA-256 (RFC 5869).
pub(crate) fn derive(key: &[u8], salt: &[u8], what: &[u8]) -> Result<Secret> {
    let mut derived = Secret::default();
    hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
        .extract(key)
        .expand(&[what], hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(derived.as_mut_slice()))
        .map_err(|_| unable())?;
    Ok(derived)
}

/// X25519 (RFC 7748) with somebody's public key; `None` if that contributes nothing, as no honest one does.
pub(crate) fn agree(secret: &Secret, public: &[u8; 32]) -> Option<Secret> {
    let shared = MontgomeryPoint(*public).mul_clamped(**secret);
    let shared = Zeroizing::new(shared.to_bytes());
    let any = shared.iter().fold(0, |any, byte| any | byte);
    (any != 0).then_some(shared)
}

/// The public key of a secret one for [`agree`].
pub(crate) fn public(secret: &Secret) -> [u8; 32] {
    MontgomeryPoint::mul_base_clamped(**secret).to_bytes()
}

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

fn unable() -> Error {
    Error::new(ErrorKind::Io, "a key cannot be derived")
}
