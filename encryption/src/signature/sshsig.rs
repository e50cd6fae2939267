//! Signatures in the format of `ssh-keygen -Y` (OpenSSH, `PROTOCOL.sshsig`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::keys::{SigningKey, VerifyingKeys};
use crate::ssh_key::{ED25519, take, take_number};

pub(super) const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
const END: &str = "-----END SSH SIGNATURE-----";
const MAGIC: &[u8] = b"SSHSIG";
const VERSION: u32 = 1;
/// What the signature is for: one of a letter or of a commit is none of a list.
const NAMESPACE: &str = "fleece-archive";
const HASH: &str = "sha512";
const COLUMNS: usize = 70;

/// The signature of what has this SHA-512, as text.
pub(super) fn sign(key: &SigningKey, hash: &[u8]) -> String {
    let mut signature = Vec::new();
    put(&mut signature, ED25519.as_bytes());
    put(&mut signature, &key.sign(&signed(hash)));
    let mut blob = MAGIC.to_vec();
    blob.extend(VERSION.to_be_bytes());
    put(&mut blob, key.wire());
    put(&mut blob, NAMESPACE.as_bytes());
    put(&mut blob, b"");
    put(&mut blob, HASH.as_bytes());
    put(&mut blob, &signature);
    let mut text = format!("{BEGIN}\n");
    for line in STANDARD.encode(blob).as_bytes().chunks(COLUMNS) {
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    text.push_str(END);
    text.push('\n');
    text
}

/// Who of `keys` has signed what has this SHA-512; otherwise, what is wrong.
pub(super) fn signer(
    text: &str,
    hash: &[u8],
    keys: &VerifyingKeys,
) -> Result<String, &'static str> {
    let damaged = "the signature is not whole";
    let text = text.strip_suffix('\n').unwrap_or(text);
    let body = text
        .strip_prefix(BEGIN)
        .and_then(|text| text.strip_suffix(END))
        .ok_or(damaged)?;
    let body: String = body.split('\n').collect();
    let blob = STANDARD.decode(body).map_err(|_| damaged)?;
    let mut rest = blob.strip_prefix(MAGIC).ok_or(damaged)?;
    let rest = &mut rest;
    let version = take_number(rest);
    let mut next = || take(rest).ok_or(damaged);
    let (key, namespace, reserved, algorithm) = (next()?, next()?, next()?, next()?);
    let mut signature = next()?;
    let signature = &mut signature;
    let (kind, bytes) = (take(signature), take(signature).ok_or(damaged)?);
    let ours = version == Some(VERSION)
        && namespace == NAMESPACE.as_bytes()
        && reserved.is_empty()
        && algorithm == HASH.as_bytes()
        && kind == Some(ED25519.as_bytes())
        && signature.is_empty()
        && rest.is_empty();
    if !ours {
        return Err("the signature is of another kind, or for something else");
    }
    keys.signer(key, &signed(hash), bytes)
        .ok_or("it is not signed by any of the keys given, or was changed")
}

/// What the key signs.
fn signed(hash: &[u8]) -> Vec<u8> {
    let mut message = MAGIC.to_vec();
    put(&mut message, NAMESPACE.as_bytes());
    put(&mut message, b"");
    put(&mut message, HASH.as_bytes());
    put(&mut message, hash);
    message
}

fn put(blob: &mut Vec<u8>, string: &[u8]) {
    // Nothing here is longer than a key.
    let length = u32::try_from(string.len()).unwrap_or(u32::MAX);
    blob.extend(length.to_be_bytes());
    blob.extend(string);
}
