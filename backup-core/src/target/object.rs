//! An archive in object storage, which appears when it is complete.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use fleece_object_storage::{Address, Lock, Upload, UploadOptions, open_address, part_size};
use fleece_vma_format::index::beside;

use crate::report::error::{Error, ErrorKind};
use crate::target::place::{Staged, Target};

/// An object, which must not exist yet.
#[derive(Clone, Debug)]
pub struct ObjectTarget {
    path: PathBuf,
    lock: Option<Lock>,
}

impl ObjectTarget {
    /// The object at an address; `None` if `path` is none.
    #[must_use]
    pub fn new(path: &Path) -> Option<Self> {
        let address = Address::of(path)?;
        Some(Self {
            path: address.to_path(),
            lock: None,
        })
    }

    /// The same, locked against removal from when it is complete.
    #[must_use]
    pub fn locked(mut self, lock: Lock) -> Self {
        self.lock = Some(lock);
        self
    }

    fn upload(&self, path: &Path, most: u64) -> Result<Box<dyn Staged>, Error> {
        let failed = |error| failed("create", path, error);
        let address = Address::of(path).ok_or_else(|| {
            let message = format!("{} is no address of an object", path.display());
            Error::new(ErrorKind::Request, message)
        })?;
        let store = open_address(&address).map_err(failed)?;
        let mut options = UploadOptions::default();
        options.part = part_size(most);
        options.lock = self.lock;
        let upload = store.begin(address.key(), &options).map_err(failed)?;
        Ok(Box::new(StagedObject {
            upload,
            path: path.to_owned(),
        }))
    }
}

impl Target for ObjectTarget {
    fn path(&self) -> Option<&Path> {
        Some(&self.path)
    }

    fn begin(&self, most: u64) -> Result<Box<dyn Staged>, Error> {
        self.upload(&self.path, most)
    }

    fn begin_index(&self) -> Result<Option<Box<dyn Staged>>, Error> {
        self.upload(&beside(&self.path), 0).map(Some)
    }
}

#[derive(Debug)]
struct StagedObject {
    upload: Upload,
    path: PathBuf,
}

impl Write for StagedObject {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.upload.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Staged for StagedObject {
    fn sync(&mut self) -> Result<(), Error> {
        let synced = self.upload.sync();
        synced.map_err(|error| failed("write", &self.path, error))
    }

    fn commit(self: Box<Self>) -> Result<Option<String>, Error> {
        let done = self.upload.commit();
        done.map_err(|error| failed("complete", &self.path, error))?;
        Ok(None)
    }
}

/// The error of a store, as one of the target.
fn failed(what: &str, path: &Path, error: fleece_object_storage::Error) -> Error {
    let message = format!("cannot {what} {}", path.display());
    Error::caused(ErrorKind::Target, message, error)
}
