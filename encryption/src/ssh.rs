//! Keys of SSH as recipients ("ssh-ed25519" and "ssh-rsa", as age's own documentation describes them).
//!
//! These tell whose they are: the first four bytes of the SHA-256 of the public key are in the header.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use curve25519_dalek::edwards::CompressedEdwardsY;
use ring::digest::{SHA256, SHA512, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use rsa::BoxedUint;
use rsa::oaep::{DecryptingKey, EncryptingKey};
use rsa::rand_core::{TryCryptoRng, TryRng};
use rsa::traits::{RandomizedDecryptor as _, RandomizedEncryptor as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, Result};
use crate::file_key::FileKey;
use crate::primitives::{Secret, agree, derive, public, random};
use crate::ssh_key::{PrivateKey, PrivatePart, PublicKey, PublicPart};
use crate::stanza::Stanza;
use crate::wrapped::{unwrap, wrap};

const ED25519_INFO: &[u8] = b"age-encryption.org/v1/ssh-ed25519";
const RSA_LABEL: &[u8] = b"age-encryption.org/v1/ssh-rsa";
/// Bits of a modulus: fewer can be broken, and nobody has more than half the most.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// A public key to encrypt for.
#[derive(Clone)]
pub(crate) struct Public {
    key: PublicKey,
    kind: PublicKind,
}

#[derive(Clone)]
enum PublicKind {
    /// Its point on Curve25519.
    Ed25519([u8; 32]),
    Rsa(Box<rsa::PublicKey>),
}

/// A private key to decrypt with.
pub(crate) struct Private {
    key: PublicKey,
    kind: PrivateKind,
}

enum PrivateKind {
    Ed25519(Secret),
    Rsa(Box<rsa::PrivateKey>),
}

impl Public {
    /// From a line of `authorized_keys`; otherwise, what it is instead.
    pub(crate) fn parse(line: &str) -> std::result::Result<Self, String> {
        Self::new(PublicKey::parse(line)?)
    }

    fn new(key: PublicKey) -> std::result::Result<Self, String> {
        let kind = match &key.key {
            PublicPart::Ed25519(point) => {
                let point = CompressedEdwardsY(*point).decompress();
                let point = point.ok_or_else(|| "no public key of SSH".to_owned())?;
                PublicKind::Ed25519(point.to_montgomery().to_bytes())
            }
            PublicPart::Rsa { exponent, modulus } => {
                PublicKind::Rsa(Box::new(rsa_key(exponent, modulus)?))
            }
        };
        Ok(Self { key, kind })
    }

    pub(crate) fn to_line(&self) -> String {
        self.key.to_line()
    }

    /// `None` for a key with which there is no shared secret.
    pub(crate) fn wrap(&self, file_key: &FileKey) -> Result<Option<Stanza>> {
        let mut args = vec![STANDARD_NO_PAD.encode(tag(&self.key.wire))];
        let body = match &self.kind {
            PublicKind::Ed25519(point) => {
                let mut ephemeral = Secret::default();
                random(ephemeral.as_mut_slice())?;
                let share = public(&ephemeral);
                let Some(shared) = agree(&ephemeral, point) else {
                    return Ok(None);
                };
                args.push(STANDARD_NO_PAD.encode(share));
                let Some(key) = ed25519_key(&self.key.wire, &shared, &share, point)? else {
                    return Ok(None);
                };
                wrap(&key, file_key)?
            }
            PublicKind::Rsa(public) => {
                EncryptingKey::<Sha256>::new_with_label((**public).clone(), RSA_LABEL)
                    .encrypt_with_rng(&mut System, file_key.to_wrap())
                    .map_err(|_| Error::new(ErrorKind::Recipient, "an RSA key cannot encrypt"))?
            }
        };
        Ok(Some(Stanza {
            tag: self.key.kind().to_owned(),
            args,
            body,
        }))
    }
}

impl Private {
    /// From the text of a private key's file; the error does not repeat it.
    pub(crate) fn parse(text: &str) -> std::result::Result<Self, String> {
        let PrivateKey { public, key } = PrivateKey::parse(text)?;
        let kind = match (&key, &public.key) {
            (PrivatePart::Ed25519(seed), _) => {
                let hash = digest(&SHA512, seed.as_slice());
                let scalar = hash.as_ref().first_chunk::<32>();
                PrivateKind::Ed25519(Zeroizing::new(*scalar.ok_or("this is no key")?))
            }
            (
                PrivatePart::Rsa {
                    exponent: secret,
                    primes,
                },
                PublicPart::Rsa { exponent, modulus },
            ) => {
                rsa_key(exponent, modulus)?;
                let key = rsa::PrivateKey::from_components(
                    number(modulus),
                    number(exponent),
                    number(secret),
                    primes.iter().map(|prime| number(prime)).collect(),
                );
                PrivateKind::Rsa(Box::new(key.map_err(|_| "this is no whole RSA key")?))
            }
            _ => return Err("this is no key".to_owned()),
        };
        Ok(Self { key: public, kind })
    }

    pub(crate) fn unwrap(&self, stanza: &Stanza) -> Option<FileKey> {
        let [named, args @ ..] = stanza.args.as_slice() else {
            return None;
        };
        if stanza.tag != self.key.kind() || *named != STANDARD_NO_PAD.encode(tag(&self.key.wire)) {
            return None;
        }
        match (&self.kind, args) {
            (PrivateKind::Ed25519(scalar), [share]) => {
                let share: [u8; 32] = STANDARD_NO_PAD.decode(share).ok()?.try_into().ok()?;
                let shared = agree(scalar, &share)?;
                let key = ed25519_key(&self.key.wire, &shared, &share, &public(scalar)).ok()??;
                unwrap(&key, &stanza.body)
            }
            (PrivateKind::Rsa(private), []) => {
                let key = DecryptingKey::<Sha256>::new_with_label((**private).clone(), RSA_LABEL);
                let opened = key.decrypt_with_rng(&mut System, &stanza.body).ok()?;
                FileKey::unwrapped(&Zeroizing::new(opened))
            }
            _ => None,
        }
    }
}

/// The tag by which a header names a key.
fn tag(wire: &[u8]) -> Vec<u8> {
    let hash = digest(&SHA256, wire);
    hash.as_ref().iter().take(4).copied().collect()
}

/// What wraps the file key: derived from the shared secret, once more multiplied by a scalar that depends on the SSH key.
fn ed25519_key(
    wire: &[u8],
    shared: &Secret,
    share: &[u8; 32],
    point: &[u8; 32],
) -> Result<Option<Secret>> {
    let tweak = derive(&[], wire, ED25519_INFO)?;
    match agree(&tweak, shared) {
        Some(shared) => {
            let salt = [*share, *point].concat();
            derive(shared.as_slice(), &salt, ED25519_INFO).map(Some)
        }
        None => Ok(None),
    }
}

fn rsa_key(exponent: &[u8], modulus: &[u8]) -> std::result::Result<rsa::PublicKey, String> {
    let modulus = number(modulus);
    let bits = modulus.bit_width();
    let bits = usize::try_from(bits).unwrap_or(usize::MAX);
    if !RSA_BITS.contains(&bits) {
        return Err(format!(
            "an RSA key of {bits} bits; those of {} to {} are taken",
            RSA_BITS.start(),
            RSA_BITS.end()
        ));
    }
    rsa::PublicKey::new_with_size_limits(modulus, number(exponent), RSA_BITS)
        .map_err(|_| "no sound RSA key".to_owned())
}

fn number(bytes: &[u8]) -> BoxedUint {
    BoxedUint::from_be_slice_vartime(bytes)
}

/// The system's random numbers, for RSA's padding and blinding.
struct System;

impl TryRng for System {
    type Error = io::Error;

    fn try_next_u32(&mut self) -> std::result::Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_ne_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> std::result::Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_ne_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> std::result::Result<(), Self::Error> {
        let filled = SystemRandom::new().fill(bytes);
        filled.map_err(|_| io::Error::other("the system has no random numbers"))
    }
}

impl TryCryptoRng for System {}
