//! Keys of SSH: public ones (RFC 4253, 6.6; RFC 8709) and private ones in OpenSSH's format (`PROTOCOL.key`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fleece_plain_text::words;
use zeroize::Zeroizing;

use crate::primitives::Secret;

pub(crate) const ED25519: &str = "ssh-ed25519";
pub(crate) const RSA: &str = "ssh-rsa";

const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &str = "-----END OPENSSH PRIVATE KEY-----";
const MAGIC: &[u8] = b"openssh-key-v1\0";

/// A public key, and its bytes as they are on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicKey {
    pub(crate) wire: Vec<u8>,
    pub(crate) key: PublicPart,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PublicPart {
    Ed25519([u8; 32]),
    Rsa { exponent: Vec<u8>, modulus: Vec<u8> },
}

/// A private key with its public one.
pub(crate) struct PrivateKey {
    pub(crate) public: PublicKey,
    pub(crate) key: PrivatePart,
}

pub(crate) enum PrivatePart {
    /// The seed.
    Ed25519(Secret),
    Rsa {
        exponent: Zeroizing<Vec<u8>>,
        primes: [Zeroizing<Vec<u8>>; 2],
    },
}

impl PublicKey {
    /// From a line of `authorized_keys` or `id_….pub`: the kind, the key, and perhaps a comment.
    pub(crate) fn parse(line: &str) -> Result<Self, String> {
        let mut parts = line.split_ascii_whitespace();
        let (Some(kind), Some(key)) = (parts.next(), parts.next()) else {
            return Err("no public key of SSH".to_owned());
        };
        let wire = STANDARD.decode(key).unwrap_or_default();
        let public = Self::from_wire(wire)?;
        match public.kind() == kind {
            true => Ok(public),
            false => Err("no public key of SSH".to_owned()),
        }
    }

    /// From its bytes.
    pub(crate) fn from_wire(wire: Vec<u8>) -> Result<Self, String> {
        let damaged = || "no public key of SSH".to_owned();
        let mut rest = wire.as_slice();
        let kind = take(&mut rest).ok_or_else(damaged)?;
        let key = match kind {
            kind if kind == ED25519.as_bytes() => {
                let point = take(&mut rest).and_then(|point| point.try_into().ok());
                PublicPart::Ed25519(point.ok_or_else(damaged)?)
            }
            kind if kind == RSA.as_bytes() => {
                let exponent = take(&mut rest).ok_or_else(damaged)?.to_vec();
                let modulus = take(&mut rest).ok_or_else(damaged)?.to_vec();
                PublicPart::Rsa { exponent, modulus }
            }
            other => {
                let kind = str::from_utf8(other).map_err(|_| damaged())?;
                return Err(format!(
                    "an SSH key of the kind {}, which cannot be used",
                    words(kind)
                ));
            }
        };
        match rest.is_empty() {
            true => Ok(Self { key, wire }),
            false => Err(damaged()),
        }
    }

    pub(crate) const fn kind(&self) -> &'static str {
        match self.key {
            PublicPart::Ed25519(_) => ED25519,
            PublicPart::Rsa { .. } => RSA,
        }
    }

    /// As in a line of `authorized_keys`.
    pub(crate) fn to_line(&self) -> String {
        format!("{} {}", self.kind(), STANDARD.encode(&self.wire))
    }
}

impl PrivateKey {
    /// From a file of a private key; the error does not repeat it.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        let Some(body) = text
            .strip_prefix(BEGIN)
            .and_then(|text| text.strip_suffix(END))
        else {
            return Err(
                match text.starts_with("-----BEGIN") && text.contains("PRIVATE KEY-----") {
                    true => {
                        "this private key is in an old form; `ssh-keygen -p` on a copy of it writes OpenSSH's"
                    }
                    false => "this is no private key of SSH",
                },
            );
        };
        let body: Zeroizing<String> = Zeroizing::new(body.split_ascii_whitespace().collect());
        let bytes = Zeroizing::new(STANDARD.decode(body.as_bytes()).map_err(|_| DAMAGED)?);
        let mut rest = bytes.strip_prefix(MAGIC).ok_or(DAMAGED)?;
        let cipher = take(&mut rest).ok_or(DAMAGED)?;
        let (_kdf, _options) = (
            take(&mut rest).ok_or(DAMAGED)?,
            take(&mut rest).ok_or(DAMAGED)?,
        );
        if cipher != b"none" {
            return Err(
                "this SSH key is protected by a passphrase, which is not asked for; `ssh-keygen -p` on a copy of it gives one that can be used",
            );
        }
        if take_number(&mut rest) != Some(1) {
            return Err(DAMAGED);
        }
        let wire = take(&mut rest).ok_or(DAMAGED)?.to_vec();
        let public = PublicKey::from_wire(wire)
            .map_err(|_| "an SSH key of this kind cannot be used; Ed25519 and RSA can")?;
        let mut secret = take(&mut rest).ok_or(DAMAGED)?;
        let secret = &mut secret;
        let (check, again) = (take_number(secret), take_number(secret));
        let kind = take(secret).ok_or(DAMAGED)?;
        if check.is_none() || check != again || kind != public.kind().as_bytes() {
            return Err(DAMAGED);
        }
        let key = match &public.key {
            PublicPart::Ed25519(point) => {
                let again = take(secret).ok_or(DAMAGED)?;
                // The seed, and the public key once more.
                let pair = take(secret).ok_or(DAMAGED)?;
                let (seed, third) = pair.split_at_checked(32).ok_or(DAMAGED)?;
                if again != point || third != point {
                    return Err(DAMAGED);
                }
                PrivatePart::Ed25519(Zeroizing::new(seed.try_into().map_err(|_| DAMAGED)?))
            }
            PublicPart::Rsa { .. } => {
                let mut number = || Some(Zeroizing::new(take(secret)?.to_vec()));
                // n, e, d, iqmp, p, q
                let numbers = (number(), number(), number(), number(), number(), number());
                let (Some(_), Some(_), Some(exponent), Some(_), Some(p), Some(q)) = numbers else {
                    return Err(DAMAGED);
                };
                PrivatePart::Rsa {
                    exponent,
                    primes: [p, q],
                }
            }
        };
        Ok(Self { public, key })
    }
}

const DAMAGED: &str = "this is no whole private key of SSH";

/// The next string: its length in four bytes, and its bytes.
pub(crate) fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_number(rest)?).ok()?;
    let (string, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some(string)
}

pub(crate) fn take_number(rest: &mut &[u8]) -> Option<u32> {
    let (number, behind) = rest.split_first_chunk::<4>()?;
    *rest = behind;
    Some(u32::from_be_bytes(*number))
}
