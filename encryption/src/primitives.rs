//! Random numbers, derived keys, and Diffie-Hellman, which the recipients' keys have in common.

use curve25519_dalek::montgomery::MontgomeryPoint;
use ring::hkdf;
use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, Result};

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

/// What the ciphers never say.
pub(crate) fn unable() -> Error {
    Error::new(ErrorKind::Io, "a key cannot be derived")
}
