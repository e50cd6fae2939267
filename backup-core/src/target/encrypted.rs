//! A target that encrypts what it is given, on the way to another.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use fleece_encryption::{Encryptor, Recipients};

use crate::report::error::{Error, ErrorKind};
use crate::target::place::{Staged, Target};

/// Encrypts archives for whoever has the secret keys of `recipients`, with age.
///
/// No byte in clear reaches the target. There is no index beside such an archive, since that would tell what is in it,
/// nothing is shared with older archives, and a part of one that was not finished is not worth keeping.
#[derive(Clone, Debug)]
pub struct EncryptedTarget {
    target: Arc<dyn Target>,
    recipients: Recipients,
}

impl EncryptedTarget {
    /// Encrypts what goes to `target`.
    #[must_use]
    pub fn new(target: Arc<dyn Target>, recipients: Recipients) -> Self {
        Self { target, recipients }
    }
}

impl Target for EncryptedTarget {
    fn path(&self) -> Option<&Path> {
        self.target.path()
    }

    fn begin(&self, most: u64) -> Result<Box<dyn Staged>, Error> {
        if self.recipients.is_empty() {
            let why =
                "the archive is to be encrypted, and there is no public key to encrypt it for";
            return Err(Error::new(ErrorKind::Request, why));
        }
        let below = Below {
            staged: self.target.begin(most)?,
            written: 0,
        };
        let encryptor = Encryptor::new(below, &self.recipients).map_err(failed)?;
        Ok(Box::new(Encrypted {
            file: File::Open(encryptor),
        }))
    }
}

/// What the encrypted bytes are written to, and how many.
#[derive(Debug)]
struct Below {
    staged: Box<dyn Staged>,
    written: u64,
}

impl Write for Below {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.staged.write(buffer)?;
        self.written = self.written.saturating_add(count as u64);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.staged.flush()
    }
}

#[derive(Debug)]
struct Encrypted {
    file: File,
}

#[derive(Debug)]
enum File {
    Open(Encryptor<Below>),
    /// With its authentic end.
    Whole(Below),
    /// It could not be ended.
    Gone,
}

impl Encrypted {
    /// Writes the end.
    fn end(&mut self) -> Result<&mut Below, Error> {
        if let File::Open(_) = &self.file
            && let File::Open(encryptor) = std::mem::replace(&mut self.file, File::Gone)
        {
            self.file = File::Whole(encryptor.finish().map_err(failed)?);
        }
        match &mut self.file {
            File::Whole(below) => Ok(below),
            _ => Err(gone()),
        }
    }
}

impl Write for Encrypted {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match &mut self.file {
            File::Open(encryptor) => encryptor.write(buffer),
            _ => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Staged for Encrypted {
    fn sync(&mut self) -> Result<(), Error> {
        self.end()?.staged.sync()
    }

    fn stored(&self) -> Option<u64> {
        match &self.file {
            File::Whole(below) => Some(below.written),
            _ => None,
        }
    }

    fn commit(mut self: Box<Self>) -> Result<Option<String>, Error> {
        self.end()?;
        match self.file {
            File::Whole(below) => below.staged.commit(),
            _ => Err(gone()),
        }
    }
}

fn failed(error: fleece_encryption::Error) -> Error {
    let kind = match error.kind() {
        fleece_encryption::ErrorKind::Recipient => ErrorKind::Request,
        _ => ErrorKind::Target,
    };
    Error::caused(kind, "cannot encrypt the archive", error)
}

fn gone() -> Error {
    Error::new(ErrorKind::Target, "the encrypted archive has no end")
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use fleece_encryption::{Decryptor, Identities};

    use super::*;
    use crate::target::place::FileTarget;

    const PUBLIC: &str = "age1ljcdyhumve349rx595da06rw0lg6psd09aq7z3cu95mz54lzxsrsf6rmrx";
    const SECRET: &str =
        "AGE-SECRET-KEY-1WZNYFFY6UQ3SREZKGZ8N6ARPXCK0UUJM5RRA4KKK9J73UFR6DY9SMGEZZA";

    #[test]
    fn only_cipher_text_reaches_the_disk_and_all_of_it_is_there_when_it_has_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.vma.age");
        let mut recipients = Recipients::new();
        recipients.add(PUBLIC).unwrap();
        let target = EncryptedTarget::new(Arc::new(FileTarget::new(&path)), recipients);
        assert!(target.begin_index().unwrap().is_none());
        let mut staged = target.begin(0).unwrap();
        let plain = b"secrets of the guest ".repeat(300_000);
        staged.write_all(&plain).unwrap();
        let clear = |name: &Path| {
            let bytes = std::fs::read(name).unwrap();
            bytes.windows(8).any(|window| window == b"secrets ")
        };
        for entry in std::fs::read_dir(dir.path()).unwrap() {
            assert!(!clear(&entry.unwrap().path()));
        }
        staged.sync().unwrap();
        let stored = staged.stored();
        staged.commit().unwrap();
        assert_eq!(stored, Some(path.metadata().unwrap().len()));
        assert!(!clear(&path));
        let mut identities = Identities::new();
        identities.add(SECRET).unwrap();
        let file = std::fs::File::open(&path).unwrap();
        let mut read = Vec::new();
        let mut decryptor = Decryptor::new(file, &identities).unwrap();
        decryptor.read_to_end(&mut read).unwrap();
        assert!(read == plain);
    }

    #[test]
    fn nothing_is_begun_for_nobody_and_nothing_is_left_of_what_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let file = Arc::new(FileTarget::new(dir.path().join("a.vma.age")));
        let target = EncryptedTarget::new(Arc::<FileTarget>::clone(&file), Recipients::new());
        assert_eq!(target.begin(0).unwrap_err().kind(), ErrorKind::Request);
        let mut recipients = Recipients::new();
        recipients.add(PUBLIC).unwrap();
        let mut staged = EncryptedTarget::new(file, recipients).begin(0).unwrap();
        staged.write_all(b"something").unwrap();
        staged.keep_partial();
        drop(staged);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
