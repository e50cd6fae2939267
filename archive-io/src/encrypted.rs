//! Archives that are encrypted with age.

use std::borrow::Borrow;
use std::fs::File;
use std::io::{self, Cursor, Read};

use fleece_encryption::{Decrypted, Decryptor, Error, ErrorKind, Header, Identities};
use fleece_vma_format::{self as format, ReadAt};

use crate::system;

/// How many bytes tell whether a file is encrypted.
const START: u64 = 40;

/// Whether a file is encrypted.
///
/// # Errors
/// Whatever the system says.
pub fn is_encrypted(file: &File) -> io::Result<bool> {
    let mut start = Vec::new();
    Forward::new(file).take(START).read_to_end(&mut start)?;
    Ok(fleece_encryption::is_encrypted(&start))
}

/// For whom a file is encrypted.
pub(crate) fn header(file: &File) -> Option<Header> {
    Header::read(&mut Forward::new(file)).ok()
}

/// A file, read from its start whatever others do with the position that all its descriptors share.
pub(crate) struct Forward<F> {
    file: F,
    offset: u64,
}

impl<F> Forward<F> {
    pub(crate) const fn new(file: F) -> Self {
        Self { file, offset: 0 }
    }
}

impl<F: Borrow<File>> Read for Forward<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = system::read_at(self.file.borrow(), buffer, self.offset)?;
        self.offset = self.offset.saturating_add(got as u64);
        Ok(got)
    }
}

/// What is in an encrypted file, anywhere.
#[derive(Debug)]
pub(crate) struct Inside(Decrypted<File>);

impl Inside {
    pub(crate) fn open(file: File, identities: &Identities) -> format::Result<Self> {
        Decrypted::open(file, identities).map(Self).map_err(failed)
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
