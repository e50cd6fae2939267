//! age's own keys (C2SP age, "The X25519 recipient type").

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bech32::{Bech32, Hrp, primitives::decode::CheckedHrpstring};
use zeroize::Zeroizing;

use crate::error::Result;
use crate::file_key::FileKey;
use crate::primitives::{Secret, agree, derive, public, random};
use crate::stanza::Stanza;
use crate::wrapped::{unwrap, wrap};

pub(crate) const TAG: &str = "X25519";
const INFO: &[u8] = b"age-encryption.org/v1/X25519";
const PUBLIC_PREFIX: &str = "age";
const SECRET_PREFIX: &str = "AGE-SECRET-KEY-";

/// A public key.
#[derive(Clone, Copy)]
pub(crate) struct Public([u8; 32]);

/// A secret key.
pub(crate) struct Private(Secret);

impl Public {
    /// From `age1…`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        // Bech32 allows capitals, age does not.
        let lower = text.bytes().all(|byte| !byte.is_ascii_uppercase());
        let key = decode(text, PUBLIC_PREFIX).filter(|_| lower)?;
        Some(Self(*key))
    }

    pub(crate) fn wrap(&self, file_key: &FileKey) -> Result<Option<Stanza>> {
        let mut ephemeral = Secret::default();
        random(ephemeral.as_mut_slice())?;
        let share = public(&ephemeral);
        let Some(shared) = agree(&ephemeral, &self.0) else {
            return Ok(None);
        };
        let key = derive(shared.as_slice(), &[share, self.0].concat(), INFO)?;
        Ok(Some(Stanza {
            tag: TAG.to_owned(),
            args: vec![STANDARD_NO_PAD.encode(share)],
            body: wrap(&key, file_key)?,
        }))
    }
}

impl fmt::Display for Public {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = Hrp::parse(PUBLIC_PREFIX).map_err(|_| fmt::Error)?;
        bech32::encode_to_fmt::<Bech32, _>(f, prefix, &self.0).map_err(|_| fmt::Error)
    }
}

impl Private {
    /// From `AGE-SECRET-KEY-1…`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let upper = text.bytes().all(|byte| !byte.is_ascii_lowercase());
        decode(text, SECRET_PREFIX).filter(|_| upper).map(Self)
    }

    pub(crate) fn unwrap(&self, stanza: &Stanza) -> Option<FileKey> {
        let [share] = stanza.args.as_slice() else {
            return None;
        };
        if stanza.tag != TAG {
            return None;
        }
        let share: [u8; 32] = STANDARD_NO_PAD.decode(share).ok()?.try_into().ok()?;
        let shared = agree(&self.0, &share)?;
        let salt = [share, public(&self.0)].concat();
        unwrap(&derive(shared.as_slice(), &salt, INFO).ok()?, &stanza.body)
    }
}

fn decode(text: &str, prefix: &str) -> Option<Secret> {
    let checked = CheckedHrpstring::new::<Bech32>(text).ok()?;
    if checked.hrp() != Hrp::parse(prefix).ok()? {
        return None;
    }
    let bytes = Zeroizing::new(checked.byte_iter().collect::<Vec<u8>>());
    Some(Zeroizing::new(bytes.as_slice().try_into().ok()?))
}
