//! How an archive is opened: a file or a pipe, which a job that is cancelled reads no further.

#[cfg(test)]
#[cfg(unix)]
mod tests;

use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _};
use std::path::{Path, PathBuf};

use fleece_cancel::CancelToken;
use fleece_staged_file::regular::{self, Links};
use fleece_vma_format::container::{self, Container, Seekable, Stream};
use fleece_vma_format::verify::{Verified, Watch, verify, verify_headers};
use fleece_vma_format::{self as format, Archive, ReadAt, index};

use crate::cancellable::{Cancellable, Pipe};
use crate::error::{Error, ErrorKind};
#[cfg(feature = "object-storage")]
use crate::object::Object;
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
}

#[derive(Debug)]
enum Source {
    /// Can only be read once, from front to back.
    Pipe(Option<Pipe>),
    File(File),
    #[cfg(feature = "object-storage")]
    Object(Object),
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
            return Ok(Self::new(None, stdin, false, cancel));
        }
        #[cfg(feature = "object-storage")]
        if let Some(object) = Object::open(path) {
            return Ok(Self::of_object(path, object.map_err(failed)?, cancel));
        }
        let file = system::without_waiting(path).map_err(failed)?;
        let kind = file.metadata().map_err(failed)?.file_type();
        if kind.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        let is_file = kind.is_file() || (&file).stream_position().is_ok();
        Ok(Self::new(Some(path), file, is_file, cancel))
    }

    /// Opens `path` if it is a regular file, or a symbolic link to one.
    ///
    /// # Errors
    /// Whatever the system says; [`io::ErrorKind::InvalidInput`] for something else.
    pub fn open_regular(path: &Path, cancel: &CancelToken) -> io::Result<Self> {
        #[cfg(feature = "object-storage")]
        if let Some(object) = Object::open(path) {
            return Ok(Self::of_object(path, object?, cancel));
        }
        let file = regular::open(path, Links::Follow)?;
        Ok(Self::new(Some(path), file, true, cancel))
    }

    #[cfg(feature = "object-storage")]
    fn of_object(path: &Path, object: Object, cancel: &CancelToken) -> Self {
        Self {
            path: Some(path.to_owned()),
            source: Source::Object(object),
            cancel: cancel.clone(),
        }
    }

    fn new(path: Option<&Path>, file: File, is_file: bool, cancel: &CancelToken) -> Self {
        Self {
            path: path.map(Path::to_owned),
            source: if is_file {
                Source::File(file)
            } else {
                Source::Pipe(Some(Pipe::new(file, cancel)))
            },
            cancel: cancel.clone(),
        }
    }

    /// Whether it can be read anywhere and again.
    #[must_use]
    pub const fn is_file(&self) -> bool {
        !matches!(self.source, Source::Pipe(_))
    }

    /// The file itself, for sharing its blocks; `None` for a pipe.
    #[must_use]
    pub fn shared_file(&self) -> Option<File> {
        self.file()?.try_clone().ok()
    }

    /// Who may read it, as the permission bits of its mode; `None` for a pipe.
    #[must_use]
    pub fn mode(&self) -> Option<u32> {
        system::mode(self.file()?)
    }

    /// How many bytes it has, compressed as it is; `None` for a pipe.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        #[cfg(feature = "object-storage")]
        if let Source::Object(object) = &self.source {
            return Some(object.len());
        }
        ReadAt::size(self.file()?).ok()
    }

    /// Lets the system forget what it has of the file in memory, so that it is read from the disk; no more than a wish.
    pub fn forget_cached(&self) {
        if let Source::File(file) = &self.source {
            system::forget_cached(file);
        }
    }

    /// What is in it, decompressed, from front to back. A pipe gives it once.
    ///
    /// # Errors
    /// As [`container::open`].
    pub fn stream(&mut self) -> format::Result<Stream<'static>> {
        match &mut self.source {
            Source::Pipe(pipe) => container::open(taken(pipe)?),
            Source::File(file) => {
                let file = again(file)?;
                let input = Forward { file, offset: 0 };
                container::open(Cancellable::new(input, &self.cancel))
            }
            #[cfg(feature = "object-storage")]
            Source::Object(object) => {
                container::open(Cancellable::new(object.forward(), &self.cancel))
            }
        }
    }

    /// The archive, with the index beside it if there is one. A pipe gives it once.
    ///
    /// # Errors
    /// As [`format::open_reader`].
    pub fn archive(&mut self) -> format::Result<Archive<'static>> {
        match &mut self.source {
            Source::Pipe(pipe) => format::open_reader(taken(pipe)?),
            Source::File(file) => {
                let input = Cancellable::new(again(file)?, &self.cancel);
                let archive = format::open_read_at(input)?;
                // The index is a help; one that cannot be had is not needed.
                Ok(match self.index_beside() {
                    Ok(Some((_, index))) => archive.with_index(index),
                    _ => archive,
                })
            }
            #[cfg(feature = "object-storage")]
            Source::Object(object) => {
                let input = Cancellable::new(object.clone(), &self.cancel);
                let archive = format::open_read_at(input)?;
                // One that is compressed has it inside; asking for another would cost a request.
                if archive.container() != Container::Plain {
                    return Ok(archive);
                }
                Ok(match self.object_beside() {
                    Ok(Some((_, index))) => archive.with_index(index),
                    _ => archive,
                })
            }
        }
    }

    /// Looks for all damage. Without an index to check the payload against, the headers of an uncompressed file are
    /// all that is read, unless they show damage.
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
    pub fn forgiving(&self) -> Option<Seekable<File>> {
        let zstd = Seekable::open(self.file()?.try_clone().ok()?).ok()??;
        Some(zstd.forgiving())
    }

    /// The index: the one inside, or the one beside.
    ///
    /// # Errors
    /// [`format::ErrorKind::Io`], [`format::ErrorKind::Container`].
    pub fn index(&self) -> format::Result<Option<Index>> {
        #[cfg(feature = "object-storage")]
        if let Source::Object(object) = &self.source {
            return match container::embedded_index(object.clone())? {
                Some(index) => Ok(Some((IndexPlace::Inside, Box::new(BufReader::new(index))))),
                None => Ok(self.object_beside()?.map(|(path, index)| {
                    let index: Box<dyn Read + Send> = Box::new(BufReader::new(index.forward()));
                    (IndexPlace::Beside(path), index)
                })),
            };
        }
        let Some(file) = self.file() else {
            return Ok(None);
        };
        match container::embedded_index(again(file)?)? {
            Some(index) => Ok(Some((IndexPlace::Inside, Box::new(BufReader::new(index))))),
            None => Ok(self.index_beside()?.map(|(path, file)| {
                let index: Box<dyn Read + Send> = Box::new(BufReader::new(file));
                (IndexPlace::Beside(path), index)
            })),
        }
    }

    #[cfg(feature = "object-storage")]
    fn object_beside(&self) -> format::Result<Option<(PathBuf, Object)>> {
        let Some(path) = self.path.as_deref().map(index::beside) else {
            return Ok(None);
        };
        match Object::open(&path) {
            None => Ok(None),
            Some(Ok(object)) => Ok(Some((path, object))),
            Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Some(Err(error)) => {
                let what = format!("can't open index {}", path.display());
                Err(format::Error::io(what, error))
            }
        }
    }

    fn index_beside(&self) -> format::Result<Option<(PathBuf, File)>> {
        let Some(path) = self.path.as_deref().map(index::beside) else {
            return Ok(None);
        };
        match regular::open(&path, Links::Follow) {
            Ok(file) => Ok(Some((path, file))),
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
    pub const fn file(&self) -> Option<&File> {
        match &self.source {
            Source::File(file) => Some(file),
            Source::Pipe(_) => None,
            #[cfg(feature = "object-storage")]
            Source::Object(_) => None,
        }
    }
}

fn cannot_open(path: &Path, error: io::Error) -> Error {
    let message = format!("cannot open the archive {}", path.display());
    Error::caused(ErrorKind::Archive, message, error)
}

fn again(file: &File) -> format::Result<File> {
    let again = file.try_clone();
    again.map_err(|error| format::Error::io("cannot read the archive", error))
}

fn taken(pipe: &mut Option<Pipe>) -> format::Result<Pipe> {
    pipe.take().ok_or_else(|| {
        let read = io::Error::other("it has been read");
        format::Error::io("a pipe gives an archive only once", read)
    })
}

/// Reads a file from its start, whatever others do with the position that all its descriptors share.
struct Forward {
    file: File,
    offset: u64,
}

impl Read for Forward {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = system::read_at(&self.file, buffer, self.offset)?;
        self.offset = self.offset.saturating_add(got as u64);
        Ok(got)
    }
}
