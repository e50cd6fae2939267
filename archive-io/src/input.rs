//! How an archive is opened: a file, an object or a pipe, which a job that is cancelled reads no further.

#[cfg(test)]
#[cfg(unix)]
mod tests;

use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use fleece_cancel::CancelToken;
use fleece_encryption::Identities;
use fleece_vma_format::container::{self, Container, Contents, Seekable, Stream};
use fleece_vma_format::verify::{Verified, Watch, verify, verify_headers};
use fleece_vma_format::{self as format, Archive, ReadAt, index};

use crate::bytes::{Bytes, Forward};
use crate::cancellable::{Cancellable, Pipe};
use crate::encrypted::{self, Inside, is_encrypted};
use crate::error::{Error, ErrorKind};
use crate::system;

/// A file or a pipe with an archive, of which nothing has been read yet.
///
/// Reading ends with an error once the job is cancelled, also from a pipe into which nobody writes. An error that a
/// cancelled job meets is a consequence: look at the token first.
#[derive(Debug)]
pub struct Input {
    /// Unknown for standard input.
    path: Option<PathBuf>,
    source: Source,
    cancel: CancelToken,
    identities: Identities,
    /// What is in an encrypted file.
    inside: OnceLock<Arc<Inside>>,
}

#[derive(Debug)]
enum Source {
    /// Can only be read once, from front to back.
    Pipe(Option<Pipe>),
    /// Can be read anywhere and again.
    Bytes(Bytes),
}

/// Where an index is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no other place")]
pub enum IndexPlace {
    /// Within the archive.
    Inside,
    /// In this file, or object.
    Beside(PathBuf),
}

/// An index, and where it is.
pub type Index = (IndexPlace, Box<dyn Read + Send>);

impl Input {
    /// Opens `path`, `-` being standard input. With object storage, `path` may be an address there.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Archive`].
    pub fn open(path: &Path, cancel: &CancelToken) -> Result<Self, Error> {
        let failed = |error: io::Error| cannot_open(path, error);
        if path.as_os_str() == "-" {
            let stdin = system::stdin().map_err(failed)?;
            return Ok(Self::new(
                None,
                Source::Pipe(Some(Pipe::new(stdin, cancel))),
                cancel,
            ));
        }
        if let Some(object) = Bytes::object(path) {
            let object = object.map_err(failed)?;
            return Ok(Self::new(Some(path), Source::Bytes(object), cancel));
        }
        let file = system::without_waiting(path).map_err(failed)?;
        let kind = file.metadata().map_err(failed)?.file_type();
        if kind.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        let source = match kind.is_file() || (&file).stream_position().is_ok() {
            true => Source::Bytes(Bytes::File(file)),
            false => Source::Pipe(Some(Pipe::new(file, cancel))),
        };
        Ok(Self::new(Some(path), source, cancel))
    }

    /// Opens `path` if it is a regular file, or a symbolic link to one; or an object.
    ///
    /// # Errors
    /// Whatever the system says; [`io::ErrorKind::InvalidInput`] for something else.
    pub fn open_regular(path: &Path, cancel: &CancelToken) -> io::Result<Self> {
        let bytes = Bytes::open(path)?;
        Ok(Self::new(Some(path), Source::Bytes(bytes), cancel))
    }

    fn new(path: Option<&Path>, source: Source, cancel: &CancelToken) -> Self {
        Self {
            path: path.map(Path::to_owned),
            source,
            cancel: cancel.clone(),
            identities: Identities::new(),
            inside: OnceLock::new(),
        }
    }

    /// Gives the secret keys that an encrypted archive is read with.
    #[must_use]
    pub fn with_identities(mut self, identities: &Identities) -> Self {
        self.identities = identities.clone();
        self
    }

    /// For whom it is encrypted, in words; `None` for what is not encrypted, and for a pipe.
    #[must_use]
    pub fn encrypted_for(&self) -> Option<String> {
        let bytes = self.bytes()?;
        if !is_encrypted(bytes).ok()? {
            return None;
        }
        encrypted::header(bytes).map(|header| header.to_string())
    }

    /// Whether it is encrypted, and no secret key was given.
    #[must_use]
    pub fn is_unreadable(&self) -> bool {
        self.identities.is_empty() && self.encrypted_for().is_some()
    }

    /// Whether it can be read anywhere and again.
    #[must_use]
    pub const fn is_file(&self) -> bool {
        matches!(self.source, Source::Bytes(_))
    }

    /// The file itself, for sharing its blocks; `None` for a pipe, for an object, and for an encrypted file,
    /// whose blocks are no archive's.
    #[must_use]
    pub fn shared_file(&self) -> Option<File> {
        let bytes = self.bytes()?;
        match is_encrypted(bytes) {
            Ok(false) => bytes.file()?.try_clone().ok(),
            _ => None,
        }
    }

    /// Who may read it, as the permission bits of its mode; `None` for a pipe and for an object.
    #[must_use]
    pub fn mode(&self) -> Option<u32> {
        system::mode(self.file()?)
    }

    /// How many bytes it has, compressed as it is; `None` for a pipe.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        ReadAt::size(self.bytes()?).ok()
    }

    /// Lets the system forget what it has of the file in memory, so that it is read from the disk; no more than a wish.
    pub fn forget_cached(&self) {
        if let Some(file) = self.file() {
            system::forget_cached(file);
        }
    }

    /// What is in it, decompressed, from front to back. A pipe gives it once.
    ///
    /// # Errors
    /// As [`container::open`].
    pub fn stream(&mut self) -> format::Result<Stream<'static>> {
        match &mut self.source {
            Source::Pipe(pipe) => {
                container::open(encrypted::decrypted(taken(pipe)?, &self.identities)?)
            }
            Source::Bytes(_) => {
                let input: Box<dyn Read + Send> = match self.opened()? {
                    Opened::Plain(bytes) => Box::new(Forward::new(bytes)),
                    Opened::Encrypted(inside) => Box::new(InOrder::new(inside)?),
                };
                container::open(Cancellable::new(input, &self.cancel))
            }
        }
    }

    /// What is in it, decrypted if it is encrypted.
    fn contents(&self) -> format::Result<Contents<'static>> {
        Ok(match self.opened()? {
            Opened::Plain(bytes) => Arc::new(bytes),
            Opened::Encrypted(inside) => inside,
        })
    }

    fn opened(&self) -> format::Result<Opened> {
        let failed = |error| format::Error::io("cannot read the archive", error);
        let none = || failed(io::Error::other("it is a pipe"));
        let bytes = self.bytes().ok_or_else(none)?;
        if let Some(inside) = self.inside.get() {
            return Ok(Opened::Encrypted(Arc::clone(inside)));
        }
        let again = bytes.again().map_err(failed)?;
        if !is_encrypted(bytes).map_err(failed)? {
            return Ok(Opened::Plain(again));
        }
        let inside = Arc::new(Inside::open(again, &self.identities)?);
        let inside = self.inside.get_or_init(|| inside);
        Ok(Opened::Encrypted(Arc::clone(inside)))
    }

    /// The archive, with the index beside it if there is one. A pipe gives it once.
    ///
    /// # Errors
    /// As [`format::open_reader`].
    pub fn archive(&mut self) -> format::Result<Archive<'static>> {
        match &mut self.source {
            Source::Pipe(pipe) => {
                format::open_reader(encrypted::decrypted(taken(pipe)?, &self.identities)?)
            }
            Source::Bytes(bytes) => {
                let is_near = bytes.file().is_some();
                let input = Cancellable::new(self.contents()?, &self.cancel);
                let archive = format::open_read_at(input)?;
                // One that is compressed has it inside: looking for another in object storage would cost a request.
                if !is_near && archive.container() != Container::Plain {
                    return Ok(archive);
                }
                // The index is a help; one that cannot be had is not needed.
                Ok(match self.index_beside() {
                    Ok(Some((_, index))) => archive.with_index(index),
                    _ => archive,
                })
            }
        }
    }

    /// Looks for all damage. Without an index to check the payload against, the headers of an uncompressed file are
    /// all that is read, unless they show damage, or it is encrypted: then every byte is authenticated.
    ///
    /// # Errors
    /// As [`verify`].
    pub fn verify(
        &mut self,
        index: Option<&mut dyn Read>,
        watch: &mut dyn Watch,
    ) -> format::Result<Verified> {
        if index.is_none()
            && self.is_file()
            && self.encrypted_for().is_none()
            && let Some(verified) = self.verify_headers(watch)?
        {
            return Ok(verified);
        }
        verify(self.stream()?, index, watch)
    }

    /// `None` if headers alone do not do, or show damage, which is then looked for in full.
    fn verify_headers(&mut self, watch: &mut dyn Watch) -> format::Result<Option<Verified>> {
        let by_headers = |archive: Archive<'_>| match archive.contents() {
            Some(plain) if archive.container() == Container::Plain => {
                verify_headers(plain, watch).map(Some)
            }
            _ => Ok(None),
        };
        match self.archive().and_then(by_headers) {
            Err(error) if error.kind().is_damage() => Ok(None),
            verified => verified,
        }
    }

    /// The contents of zstd with a seek table, which are zeroes where it is damaged.
    #[must_use]
    pub fn forgiving(&self) -> Option<Seekable<Contents<'static>>> {
        let zstd = Seekable::open(self.contents().ok()?).ok()??;
        Some(zstd.forgiving())
    }

    /// The index: the one inside, or the one beside.
    ///
    /// # Errors
    /// [`format::ErrorKind::Io`], [`format::ErrorKind::Container`].
    pub fn index(&self) -> format::Result<Option<Index>> {
        if !self.is_file() {
            return Ok(None);
        }
        match container::embedded_index(self.contents()?)? {
            Some(index) => Ok(Some((IndexPlace::Inside, Box::new(BufReader::new(index))))),
            None => Ok(self.index_beside()?.map(|(path, bytes)| {
                let index: Box<dyn Read + Send> = Box::new(BufReader::new(Forward::new(bytes)));
                (IndexPlace::Beside(path), index)
            })),
        }
    }

    fn index_beside(&self) -> format::Result<Option<(PathBuf, Bytes)>> {
        // One that lies beside an encrypted archive is not its: that would tell what is in it.
        if self.inside.get().is_some() {
            return Ok(None);
        }
        let Some(path) = self.path.as_deref().map(index::beside) else {
            return Ok(None);
        };
        match Bytes::open(&path) {
            Ok(bytes) => Ok(Some((path, bytes))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                let what = format!("can't open index {}", path.display());
                Err(format::Error::io(what, error))
            }
        }
    }

    /// The job whose end is the end of reading.
    #[must_use]
    pub const fn cancel(&self) -> &CancelToken {
        &self.cancel
    }

    /// The file itself; `None` for what is none.
    #[must_use]
    pub fn file(&self) -> Option<&File> {
        self.bytes()?.file()
    }

    const fn bytes(&self) -> Option<&Bytes> {
        match &self.source {
            Source::Bytes(bytes) => Some(bytes),
            Source::Pipe(_) => None,
        }
    }
}

fn cannot_open(path: &Path, error: io::Error) -> Error {
    let message = format!("cannot open the archive {}", path.display());
    Error::caused(ErrorKind::Archive, message, error)
}

fn taken(pipe: &mut Option<Pipe>) -> format::Result<Pipe> {
    pipe.take().ok_or_else(|| {
        let read = io::Error::other("it has been read");
        format::Error::io("a pipe gives an archive only once", read)
    })
}

/// Bytes, and what it takes to read them.
enum Opened {
    Plain(Bytes),
    Encrypted(Arc<Inside>),
}

/// Reads an encrypted archive from its start to what was its end when it was opened.
struct InOrder {
    inside: Arc<Inside>,
    offset: u64,
    size: u64,
}

impl InOrder {
    fn new(inside: Arc<Inside>) -> format::Result<Self> {
        let size = inside.size();
        Ok(Self {
            inside,
            offset: 0,
            size: size.map_err(|error| format::Error::io("cannot read the archive", error))?,
        })
    }
}

impl Read for InOrder {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.size.saturating_sub(self.offset);
        let count = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let part = buffer.get_mut(..count).unwrap_or_default();
        self.inside.read_exact_at(part, self.offset)?;
        self.offset = self.offset.saturating_add(count as u64);
        Ok(count)
    }
}
