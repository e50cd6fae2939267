//! Archives that are encrypted with age.

use std::io::{self, Cursor, Read};

use fleece_encryption::{Decrypted, Decryptor, Error, ErrorKind, Header, Identities};
use fleece_vma_format::{self as format, ReadAt};

use crate::bytes::{Bytes, Forward};

/// How many bytes tell whether something is encrypted.
const START: u64 = 40;

/// Whether what is there is encrypted.
pub(crate) fn is_encrypted(bytes: &Bytes) -> io::Result<bool> {
    let mut start = Vec::new();
    Forward::new(bytes).take(START).read_to_end(&mut start)?;
    Ok(fleece_encryption::is_encrypted(&start))
}

/// For whom it is encrypted.
pub(crate) fn header(bytes: &Bytes) -> Option<Header> {
    Header::read(&mut Forward::new(bytes)).ok()
}

/// What is in an encrypted file or object, anywhere.
#[derive(Debug)]
pub(crate) struct Inside(Decrypted<Bytes>);

impl Inside {
    pub(crate) fn open(bytes: Bytes, identities: &Identities) -> format::Result<Self> {
        Decrypted::open(bytes, identities).map(Self).map_err(failed)
    }
}

impl ReadAt for Inside {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.size())
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset).map_err(told)
    }
}

/// What comes out of a pipe, decrypted if that is encrypted.
pub(crate) fn decrypted(
    mut pipe: impl Read + Send + 'static,
    identities: &Identities,
) -> format::Result<Box<dyn Read + Send>> {
    let mut start = Vec::new();
    pipe.by_ref()
        .take(START)
        .read_to_end(&mut start)
        .map_err(|error| format::Error::io("cannot read the archive", error))?;
    let encrypted = fleece_encryption::is_encrypted(&start);
    let whole = Cursor::new(start).chain(pipe);
    Ok(match encrypted {
        true => Box::new(Stream(Decryptor::new(whole, identities).map_err(failed)?)),
        false => Box::new(whole),
    })
}

struct Stream<R>(Decryptor<R>);

impl<R: Read> Read for Stream<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(told)
    }
}

/// Damage found while reading, as the readers of archives know damage.
fn told(error: io::Error) -> io::Error {
    match error.downcast::<Error>() {
        Ok(error) => failed(error).into(),
        Err(error) => error,
    }
}

fn failed(error: Error) -> format::Error {
    let what = error.to_string();
    match error.kind() {
        ErrorKind::Damaged => format::Error::damaged_container(&what),
        ErrorKind::Io => format::Error::io("cannot read the archive", io::Error::other(error)),
        ErrorKind::NoIdentity => format::Error::wrapped(&what).advise(format::Advice::GiveKey),
        _ => format::Error::wrapped(&what),
    }
}
