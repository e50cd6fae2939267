//! The key of one file, and what is derived from it (C2SP age, "File key", "Header MAC", "Payload").

use std::fmt;

use ring::hmac;
use zeroize::Zeroizing;

use crate::chunk::NONCE;
use crate::error::Result;
use crate::payload::PayloadKey;
use crate::primitives::{derive, random};

/// Bytes of a file key.
pub(crate) const FILE_KEY: usize = 16;

/// The key of one file.
pub(crate) struct FileKey(Zeroizing<[u8; FILE_KEY]>);

impl fmt::Debug for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileKey")
    }
}

impl FileKey {
    /// What was unwrapped; `None` if it has another length.
    pub(crate) fn unwrapped(key: &[u8]) -> Option<Self> {
        Some(Self(Zeroizing::new(key.try_into().ok()?)))
    }

    /// A new one.
    pub(crate) fn random() -> Result<Self> {
        let mut key = Zeroizing::new([0; FILE_KEY]);
        random(key.as_mut_slice())?;
        Ok(Self(key))
    }

    /// What recipients wrap.
    pub(crate) fn to_wrap(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// Authenticates a header, of which `text` is all up to the dashes before the code.
    pub(crate) fn header_mac(&self, text: &[u8]) -> Result<Vec<u8>> {
        Ok(hmac::sign(&self.header_key()?, text).as_ref().to_vec())
    }

    /// Whether `mac` authenticates the header; as fast for a wrong one.
    pub(crate) fn has_header(&self, text: &[u8], mac: &[u8]) -> Result<bool> {
        Ok(hmac::verify(&self.header_key()?, text, mac).is_ok())
    }

    fn header_key(&self) -> Result<hmac::Key> {
        let key = derive(self.to_wrap(), &[], b"header")?;
        Ok(hmac::Key::new(hmac::HMAC_SHA256, key.as_slice()))
    }

    /// The key of the payload that begins with `nonce`.
    pub(crate) fn payload(&self, nonce: &[u8; NONCE]) -> Result<PayloadKey> {
        PayloadKey::new(&*derive(self.to_wrap(), nonce, b"payload")?)
    }
}
