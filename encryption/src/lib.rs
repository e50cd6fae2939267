//! Files in the age format: encrypted on many threads, read at any offset.
//!
//! | to | there is |
//! |---|---|
//! | say for whom | [`Recipients`] |
//! | write an encrypted file | [`Encryptor`], around any [`Write`](std::io::Write) |
//! | have the secret keys | [`Identities`] |
//! | read one from front to back | [`Decryptor`], around any [`Read`](std::io::Read) |
//! | read one anywhere | [`Decrypted`], from many threads |
//! | see for whom one is | [`Header`] |
//! | let somebody check one who cannot read it | [`signature::Signer`], [`signature::check`] |
//!
//! The format is age's, version 1, as `age-encryption.org/v1` (C2SP) describes it. The ciphers are those of
//! `ring`, `curve25519-dalek` and `rsa`; the format is our own code, because the crate `age` encrypts on one thread, and brings 180
//! crates along.
//!
//! What a file says is believed only once it is authenticated: each chunk of 64 KiB in itself and at its place, the end
//! when [`Decrypted`] is opened, or when [`Decryptor`] comes to it. What a `Decryptor` gives before that is genuine, but
//! perhaps not all: what is made of it should not have its final name until the end is reached without an error.
//!
//! All calls block as the files below do. [`Encryptor`] has up to four threads of its own and 1 MiB for twice as many
//! pieces; the other two have no threads. [`Decrypted`] holds up to 4 MiB. File keys and what is derived from them are
//! wiped from memory when they are dropped, except for the copy that `ring` holds while it works.
#![doc = ""]
#![doc = include_str!("../README.md")]

mod chunk;
mod decrypted;
mod decryptor;
mod encryptor;
mod error;
mod file_key;
#[doc(hidden)]
pub mod fuzzing;
mod header;
mod identities;
mod magic;
mod payload;
mod primitives;
mod recipients;
pub mod signature;
mod source;
mod ssh;
mod ssh_key;
mod stanza;
mod wrapped;
mod x25519;

pub use decrypted::Decrypted;
pub use decryptor::Decryptor;
pub use encryptor::Encryptor;
pub use error::{Error, ErrorKind, Result};
pub use header::{Header, MAX_HEADER};
pub use identities::Identities;
pub use magic::is_encrypted;
pub use recipients::Recipients;
pub use source::Source;
