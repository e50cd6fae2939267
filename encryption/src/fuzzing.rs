//! For fuzz targets.

use std::io::{self, Cursor, Read as _};

use crate::decrypted::Decrypted;
use crate::decryptor::Decryptor;
use crate::header::Header;
use crate::identities::Identities;
use crate::signature::check::check;
use crate::signature::keys::VerifyingKeys;

/// A secret key that fuzzing knows; its public key is in the README.
const IDENTITY: &str = "AGE-SECRET-KEY-1WZNYFFY6UQ3SREZKGZ8N6ARPXCK0UUJM5RRA4KKK9J73UFR6DY9SMGEZZA";

/// Whoever signs what, only the right key's word for the right file counts.
///
/// # Panics
///
/// If a list is believed that was not signed.
pub fn signed_list(data: &[u8]) {
    let mut keys = VerifyingKeys::new();
    assert!(keys.add(SIGNER).is_ok());
    let mut list = Cursor::new(data);
    let checked = check(&mut io::empty(), &mut list, "a.age", &keys, &mut |_| Ok(()));
    // The secret key is nobody's, and this is all that it has signed.
    assert!(checked.is_err() || data.starts_with(SIGNED));
    assert!(!checked.is_ok_and(|checked| checked.is_sound()));
}

/// A public key whose secret one was thrown away.
const SIGNER: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEBAn050lMWt/VZ8XO0G2MLtmii9q/lWa7ItM2GAhsb1";

const SIGNED: &[u8] = b"fleece signed pieces 1\nfile a.age\npiece 1048576\n\
    2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\nsize 5\n";

/// Whatever a file is, the two ways of reading it agree, and a header that is read is written the same.
///
/// # Panics
///
/// If not.
pub fn file(data: &[u8]) {
    if let Ok(header) = Header::parse(data) {
        assert!(data.starts_with(&header.to_bytes()));
        let _ = format!("{header}");
    }
    let mut identities = Identities::new();
    assert!(identities.add(IDENTITY).is_ok());
    let mut plain = Vec::new();
    let in_order = Decryptor::new(data, &identities).map(|mut d| d.read_to_end(&mut plain).is_ok());
    let Ok(anywhere) = Decrypted::open(data.to_vec(), &identities) else {
        assert!(!in_order.unwrap_or(false));
        return;
    };
    let mut again = vec![0; usize::try_from(anywhere.size()).unwrap_or_default()];
    let read = anywhere.read_exact_at(&mut again, 0).is_ok();
    assert_eq!(in_order.unwrap_or(false), read);
    assert!(!read || again == plain);
}
