//! How encrypted files begin.

/// The first line.
pub(crate) const VERSION: &[u8] = b"age-encryption.org/v1\n";
/// How all versions begin.
pub(crate) const MAGIC: &[u8] = b"age-encryption.org/";
/// The first line of a file as text.
pub(crate) const ARMOR: &[u8] = b"-----BEGIN AGE ENCRYPTED FILE-----";

/// Whether a file that begins so is encrypted with age; 40 bytes tell.
#[must_use]
pub fn is_encrypted(start: &[u8]) -> bool {
    start.starts_with(MAGIC) || start.starts_with(ARMOR)
}
