//! Opening archives: from a file or a pipe, compressed or not, with or without an index.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::os::unix::fs::{FileExt, MetadataExt as _};
use std::path::{Path, PathBuf};

use fleece_staged_file::regular::{self, Links};
use fleece_vma_format::ErrorKind::{Index, IndexMismatch, Unsupported};
use fleece_vma_format::container::{self, Container, DETECT_LENGTH, Seekable, Stream};
use fleece_vma_format::{RandomAccess, ReadAt};

use super::failure::{Failure, Result, talk};
use super::outfile::MODE;
use fleece_bins::signals;

/// An archive that has been opened.
pub(super) struct Input {
    path: Option<PathBuf>,
    source: Source,
}

enum Source {
    /// Can only be read once, from front to back.
    Pipe(Option<Box<dyn Read + Send>>),
    File(File),
}

/// Contents that can be read anywhere.
pub(super) type Contents = Box<dyn ReadAt>;

/// Where an index is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum IndexPlace {
    Inside,
    Beside(PathBuf),
}

impl Input {
    /// Opens `path`, or standard input for `-`.
    pub(super) fn open(path: &OsStr) -> Result<Self> {
        if path == "-" {
            return Ok(Self {
                path: None,
                source: Source::Pipe(Some(Box::new(io::stdin()))),
            });
        }
        let path = PathBuf::from(path);
        let failed = |e| Failure::io(format!("can't open file {}", path.display()), e);
        // A FIFO waits for its writer.
        let file = signals::at_once(|| File::open(&path)).map_err(failed)?;
        let kind = file.metadata().map_err(failed)?.file_type();
        if kind.is_dir() {
            return Err(Failure::new(format!("{} is a directory", path.display())));
        }
        let seekable = kind.is_file() || (&file).stream_position().is_ok();
        let source = if seekable {
            Source::File(file)
        } else {
            Source::Pipe(Some(Box::new(file)))
        };
        Ok(Self {
            path: Some(path),
            source,
        })
    }

    /// Whether it can be read anywhere and again.
    pub(super) const fn is_file(&self) -> bool {
        matches!(self.source, Source::File(_))
    }

    /// Who may read it, and so what is made of it.
    pub(super) fn mode(&self) -> u32 {
        match &self.source {
            Source::File(file) => file.metadata().map_or(MODE, |file| file.mode() & 0o666),
            Source::Pipe(_) => MODE,
        }
    }

    /// The file's size.
    pub(super) fn file_size(&self) -> Option<u64> {
        match &self.source {
            Source::File(file) => ReadAt::size(file).ok(),
            Source::Pipe(_) => None,
        }
    }

    /// The archive from front to back, decompressed. A pipe gives it once.
    pub(super) fn stream(&mut self) -> Result<Interruptible<Stream<'static>>> {
        let input: Box<dyn Read + Send> = match &mut self.source {
            Source::Pipe(pipe) => pipe
                .take()
                .ok_or_else(|| Failure::new("standard input can be read only once"))?,
            Source::File(file) => {
                let again = file.try_clone();
                let file = again.map_err(|e| Failure::io("cannot read the archive", e))?;
                Box::new(Forward { file, offset: 0 })
            }
        };
        Ok(Interruptible(container::open(input)?))
    }

    /// The archive's contents at any offset, if that is possible.
    pub(super) fn contents(&self) -> Result<Option<(Contents, Container)>> {
        let Source::File(file) = &self.source else {
            return Ok(None);
        };
        let failed = |e| Failure::io("cannot read the archive", e);
        let size = ReadAt::size(file).map_err(failed)?;
        let mut start = vec![0; DETECT_LENGTH.min(usize::try_from(size).unwrap_or(DETECT_LENGTH))];
        ReadAt::read_exact_at(file, &mut start, 0).map_err(failed)?;
        let container = Container::detect(&start);
        let again = Interruptible(file.try_clone().map_err(failed)?);
        Ok(match container {
            Container::Plain => Some((Box::new(again), container)),
            Container::Zstd => {
                Seekable::open(again)?.map(|zstd| (Box::new(zstd) as Contents, container))
            }
            _ => None,
        })
    }

    /// Zstd with a seek table, reading zeroes where it is damaged.
    pub(super) fn forgiving(&self) -> Option<Seekable<File>> {
        let Source::File(file) = &self.source else {
            return None;
        };
        let zstd = Seekable::open(file.try_clone().ok()?).ok()??;
        Some(zstd.forgiving())
    }

    /// Any device at any offset, if that is possible.
    pub(super) fn archive(&self) -> Result<Option<RandomAccess<Contents>>> {
        match self.open_archive()? {
            Some(Err(error)) if error.kind() == Unsupported => Ok(None),
            opened => Ok(opened.transpose()?),
        }
    }

    /// As [`archive`](Self::archive), or an error that says what to do.
    pub(super) fn need_archive(&self) -> Result<RandomAccess<Contents>> {
        let opened = self.open_archive()?.ok_or_else(|| {
            Failure::new(
                "this archive can only be read from front to back; make a seekable one with \
                 `vma reframe` first",
            )
        })?;
        Ok(opened?)
    }

    /// `None` if it can only be read from front to back; [`Unsupported`] if it is too scattered.
    fn open_archive(&self) -> Result<Option<fleece_vma_format::Result<RandomAccess<Contents>>>> {
        let Some((contents, container)) = self.contents()? else {
            return Ok(None);
        };
        if container != Container::Plain
            && let Some((_, index)) = self.index(None)?
        {
            match RandomAccess::open_with_index(contents, index) {
                // The index is a help, not the archive: without it, it is read as any other.
                Err(error) if matches!(error.kind(), Index | IndexMismatch) => {
                    talk(format_args!("vma: warning: {error}"));
                }
                opened => return Ok(Some(opened)),
            }
        }
        let again = self.contents()?;
        Ok(again.map(|(contents, _)| RandomAccess::open(contents)))
    }

    /// The index: `given`, the one inside, or the one beside.
    pub(super) fn index(
        &self,
        given: Option<&Path>,
    ) -> Result<Option<(IndexPlace, Box<dyn Read>)>> {
        if given.is_none()
            && let Source::File(file) = &self.source
        {
            let again = file
                .try_clone()
                .map_err(|e| Failure::io("cannot read the archive", e))?;
            if let Some(index) = container::embedded_index(again)? {
                return Ok(Some((IndexPlace::Inside, Box::new(BufReader::new(index)))));
            }
        }
        let path = match (given, &self.path) {
            (Some(path), _) => path.to_owned(),
            (None, Some(path)) => beside(path),
            (None, None) => return Ok(None),
        };
        // One that was named may come through a pipe; what just lies there is a file.
        let opened = match given {
            Some(_) => signals::at_once(|| File::open(&path)),
            None => regular::open(&path, Links::Follow),
        };
        match opened {
            Ok(file) => Ok(Some((
                IndexPlace::Beside(path),
                Box::new(BufReader::new(file)),
            ))),
            Err(e) if e.kind() == io::ErrorKind::NotFound && given.is_none() => Ok(None),
            Err(e) => Err(Failure::io(
                format!("can't open index {}", path.display()),
                e,
            )),
        }
    }
}

/// Reads a file from its start, whatever others do with the position that all its descriptors share.
struct Forward {
    file: File,
    offset: u64,
}

impl Read for Forward {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = FileExt::read_at(&self.file, buffer, self.offset)?;
        self.offset = self.offset.saturating_add(got as u64);
        Ok(got)
    }
}

/// An input that ends with an error once a signal has come.
pub(super) struct Interruptible<S>(pub(super) S);

impl<S> Interruptible<S> {
    fn go_on(&self) -> io::Result<&S> {
        match signals::token().reason() {
            None => Ok(&self.0),
            // Not `Interrupted`, which readers take as a request to try again.
            Some(_) => Err(io::Error::other("interrupted by a signal")),
        }
    }
}

impl<S: Read> Read for Interruptible<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.go_on()?;
        self.0.read(buffer)
    }
}

impl<S: ReadAt> ReadAt for Interruptible<S> {
    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.go_on()?.read_exact_at(buffer, offset)
    }
}

/// The name of an archive's index.
pub(super) fn beside(archive: &Path) -> PathBuf {
    let mut name = OsString::from(archive);
    name.push(".idx");
    PathBuf::from(name)
}
