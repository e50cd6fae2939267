//! A target beside whose archive a signed list of its pieces appears.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use fleece_encryption::signature::{Signer, SigningKey, beside};
use fleece_staged_file::{remove_stale, temporary_name};

use crate::report::error::{Error, ErrorKind};
use crate::target::place::{Staged, Target};
use crate::target::staged::{ArchiveFile, FileOptions};

/// Signs what goes to another target: a list of the digests of its pieces, beside it, by which it is checked without a
/// secret key.
#[derive(Clone, Debug)]
pub struct SignedTarget {
    target: Arc<dyn Target>,
    key: SigningKey,
    options: FileOptions,
}

impl SignedTarget {
    /// Signs what goes to `target`, which must be a file; the list is written with `options`.
    #[must_use]
    pub fn new(target: Arc<dyn Target>, key: SigningKey, options: FileOptions) -> Self {
        Self {
            target,
            key,
            options,
        }
    }
}

impl Target for SignedTarget {
    fn path(&self) -> Option<&Path> {
        self.target.path()
    }

    fn begin(&self, most: u64) -> Result<Box<dyn Staged>, Error> {
        let path = self.path().ok_or_else(|| {
            let why =
                "what does not go to a file cannot be signed: there is no place for the signature";
            Error::new(ErrorKind::Request, why)
        })?;
        let name = path.file_name().and_then(|name| name.to_str());
        let list = beside(path);
        // What a killed process left. What cannot be removed is in the way of the next step, which says so.
        let _ = remove_stale(&temporary_name(&list));
        let archive = self.target.begin(most)?;
        let list = ArchiveFile::create_with(&list, &self.options)?;
        let signer = Signer::new(list, name.unwrap_or_default(), &self.key).map_err(failed)?;
        Ok(Box::new(Signed {
            archive,
            list: List::Open(Box::new(signer)),
        }))
    }

    fn begin_index(&self) -> Result<Option<Box<dyn Staged>>, Error> {
        self.target.begin_index()
    }
}

#[derive(Debug)]
struct Signed {
    archive: Box<dyn Staged>,
    list: List,
}

#[derive(Debug)]
enum List {
    Open(Box<Signer<ArchiveFile>>),
    Whole(ArchiveFile),
    /// It could not be written.
    Gone,
}

impl Write for Signed {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.archive.write(buffer)?;
        if let List::Open(signer) = &mut self.list {
            signer.update(buffer.get(..count).unwrap_or_default())?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.archive.flush()
    }
}

impl Staged for Signed {
    fn keep_partial(&mut self) {
        self.archive.keep_partial();
    }

    fn stored(&self) -> Option<u64> {
        self.archive.stored()
    }

    /// The list first: an archive that is there is signed.
    fn sync(&mut self) -> Result<(), Error> {
        if let List::Open(signer) = std::mem::replace(&mut self.list, List::Gone) {
            let mut list = signer.finish().map_err(failed)?;
            list.sync()?;
            self.list = List::Whole(list);
        }
        self.archive.sync()
    }

    fn commit(mut self: Box<Self>) -> Result<Option<String>, Error> {
        if let List::Open(_) = &self.list {
            self.sync()?;
        }
        let List::Whole(list) = self.list else {
            let why = "the signature of the archive could not be written";
            return Err(Error::new(ErrorKind::Target, why));
        };
        let warning = self.archive.commit()?;
        Ok(match list.commit() {
            Ok(committed) => warning.or_else(|| committed.warning().map(str::to_owned)),
            Err(error) => Some(format!(
                "the archive is complete and has no signature: {}",
                error.chain()
            )),
        })
    }
}

fn failed(error: fleece_encryption::Error) -> Error {
    Error::caused(ErrorKind::Target, "cannot sign the archive", error)
}
