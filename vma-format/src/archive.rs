//! An archive, whatever it is wrapped in and wherever it comes from.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::advice::Advice;
use crate::container::{self, Container, Contents, Stream};
use crate::error::cannot_read;
use crate::error::{Error, ErrorKind, Result};
use crate::header::{Device, Header};
use crate::layout::{CLUSTER_SIZE, DeviceId};
use crate::random_access::RandomAccess;
use crate::read_at::{Cursor, ReadAt};
use crate::reader::Reader;

/// An archive that has been opened: its header is read, and nothing else.
///
/// Of a bare archive in a file, and of zstd with a seek table, as [`Output`](crate::Output) and `vma` write it,
/// each [device](Self::device) can be read at any offset. All others, such as the `.vma.zst`, `.vma.gz` and
/// `.vma.lzo` of Proxmox and whatever comes through a pipe, are read [from front to back](Self::reader);
/// [`copy_device`](Self::copy_device) does what is possible.
///
/// Nothing needs to be closed: dropping it closes what it was opened with. Threads run only while zstd is
/// decompressed, at most 16, and end with the stream; memory stays below 96 MiB for any input.
pub struct Archive<'a> {
    header: Header,
    container: Container,
    source: Source<'a>,
    /// Not yet used.
    #[cfg(feature = "index")]
    index: Mutex<Option<Contents<'a>>>,
    /// Why the index was not used.
    #[cfg(feature = "index")]
    misfit: OnceLock<Error>,
    random: OnceLock<RandomAccess<Contents<'a>>>,
}

enum Source<'a> {
    /// The file as it is, and what is in it, if that can be read anywhere.
    File(Contents<'a>, Option<Contents<'a>>),
    /// A reader behind the header, until it has been taken.
    Once(Mutex<Option<Box<Reader<Stream<'a>>>>>),
}

/// Opens the archive at `path`: a file, a block device or a FIFO. The index beside it is used if there is one.
///
/// # Errors
/// [`ErrorKind::Io`] if it cannot be read, and as [`open_reader`].
#[cfg(any(unix, windows))]
pub fn open(path: impl AsRef<std::path::Path>) -> Result<Archive<'static>> {
    let path = path.as_ref();
    let failed = |e| Error::io(format!("cannot open {}", path.display()), e);
    let file = std::fs::File::open(path).map_err(failed)?;
    if (&file).stream_position().is_err() {
        return open_reader(file);
    }
    let archive = open_read_at(file)?;
    #[cfg(feature = "index")]
    if let Ok(index) = std::fs::File::open(crate::index::beside(path))
        && index.metadata().is_ok_and(|index| index.is_file())
    {
        return Ok(archive.with_index(index));
    }
    Ok(archive)
}

/// Opens an archive that comes through `input`, such as a pipe, and can be read once.
///
/// # Errors
/// As [`Header::parse`]; [`ErrorKind::Foreign`] and [`ErrorKind::Wrapped`] for what is no archive; [`ErrorKind::Container`] for a damaged
/// container, and [`ErrorKind::Unsupported`] for one that this build has no feature for; [`ErrorKind::Io`].
pub fn open_reader<'a>(input: impl Read + Send + 'a) -> Result<Archive<'a>> {
    let stream = container::open(input)?;
    let container = stream.container();
    let reader = Reader::new(stream)?;
    let header = reader.header().clone();
    Ok(Archive::new(
        header,
        container,
        Source::Once(Mutex::new(Some(Box::new(reader)))),
    ))
}

/// Opens an archive in `source`, which can be read anywhere and by many threads: a file, bytes in memory, or
/// something of your own.
///
/// # Errors
/// As [`open_reader`].
pub fn open_read_at<'a>(source: impl ReadAt + 'a) -> Result<Archive<'a>> {
    let file: Contents<'a> = Arc::new(source);
    let (container, contents) = container::contents(Arc::clone(&file))?;
    let header = match &contents {
        Some(contents) => crate::random_access::header(contents)?,
        None => from_start(&file)?.header().clone(),
    };
    let source = Source::File(file, contents);
    Ok(Archive::new(header, container, source))
}

fn from_start<'a>(file: &Contents<'a>) -> Result<Reader<Stream<'a>>> {
    let size = file.size().map_err(cannot_read)?;
    Reader::new(container::open(Cursor::new(Arc::clone(file), 0, size))?)
}

impl<'a> Archive<'a> {
    fn new(header: Header, container: Container, source: Source<'a>) -> Self {
        Self {
            header,
            container,
            source,
            #[cfg(feature = "index")]
            index: Mutex::default(),
            #[cfg(feature = "index")]
            misfit: OnceLock::new(),
            random: OnceLock::new(),
        }
    }

    /// Gives the index that lies beside the archive. It spares [`random_access`](Self::random_access) looking for
    /// every extent, and what is read is checked against it; one that does not fit is not used.
    #[cfg(feature = "index")]
    #[must_use]
    pub fn with_index(self, index: impl ReadAt + 'a) -> Self {
        *self.index.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(index));
        self
    }

    /// The archive's header: identity, time, configs and devices.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// What it is wrapped in.
    #[must_use]
    pub const fn container(&self) -> Container {
        self.container
    }

    /// Whether its devices can be read at any offset.
    #[must_use]
    pub const fn is_seekable(&self) -> bool {
        matches!(self.source, Source::File(_, Some(_)))
    }

    /// What is in its container, at any offset, if that is possible.
    #[must_use]
    pub const fn contents(&self) -> Option<&Contents<'a>> {
        match &self.source {
            Source::File(_, contents) => contents.as_ref(),
            Source::Once(_) => None,
        }
    }

    /// Why [`random_access`](Self::random_access) did without the index that there is.
    #[cfg(feature = "index")]
    #[must_use]
    pub fn index_error(&self) -> Option<&Error> {
        self.misfit.get()
    }

    /// A device, by its name in the archive, such as `drive-scsi0`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], with the names that there are.
    pub fn device(&self, name: &str) -> Result<ArchivedDevice<'_, 'a>> {
        Ok(ArchivedDevice {
            archive: self,
            device: self.header.find_device(name)?,
        })
    }

    /// The archive from front to back, extent by extent, each checked. It can be had again and again if the archive is
    /// a file, and otherwise once.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if it is gone; [`ErrorKind::Io`].
    pub fn reader(&mut self) -> Result<Reader<Stream<'a>>> {
        match &mut self.source {
            Source::File(file, _) => from_start(file),
            Source::Once(reader) => {
                let reader = reader.get_mut().unwrap_or_else(PoisonError::into_inner);
                let gone = || {
                    let detail = "the archive comes through a pipe, and has been read";
                    Error::new(ErrorKind::Unsupported, detail)
                };
                reader.take().map(|reader| *reader).ok_or_else(gone)
            }
        }
    }

    /// All devices at any offset. The first call reads the index, or the headers of all extents; others cost nothing.
    ///
    /// # Errors
    /// [`ErrorKind::NotSeekable`] if it can only be read from front to back, and as [`RandomAccess::open`].
    pub fn random_access(&self) -> Result<&RandomAccess<Contents<'a>>> {
        if let Some(open) = self.random.get() {
            return Ok(open);
        }
        let Source::File(_file, Some(contents)) = &self.source else {
            let detail = "this archive can only be read from front to back";
            let error = Error::new(ErrorKind::NotSeekable, detail);
            return Err(error.advise(Advice::MakeSeekable));
        };
        #[cfg(feature = "index")]
        if let Some(open) = self.by_index(_file, contents)? {
            return Ok(self.random.get_or_init(|| open));
        }
        let open = RandomAccess::open(Arc::clone(contents))?;
        Ok(self.random.get_or_init(|| open))
    }

    /// As [`random_access`](Self::random_access), or `None` for an archive that can only be read from front to back.
    ///
    /// # Errors
    /// As [`RandomAccess::open`].
    pub fn if_random_access(&self) -> Result<Option<&RandomAccess<Contents<'a>>>> {
        match self.random_access() {
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::NotSeekable | ErrorKind::Unsupported
                ) =>
            {
                Ok(None)
            }
            open => open.map(Some),
        }
    }

    /// Without touching every extent, if there is an index that fits.
    #[cfg(feature = "index")]
    fn by_index(
        &self,
        file: &Contents<'a>,
        contents: &Contents<'a>,
    ) -> Result<Option<RandomAccess<Contents<'a>>>> {
        let within = match self.container {
            Container::Plain => None,
            _ => container::index_within(Arc::clone(file))?,
        };
        let beside = self
            .index
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(index) = within.or(beside) else {
            return Ok(None);
        };
        match RandomAccess::open_with_index(Arc::clone(contents), index) {
            // The index is a help, not the archive: without it, it is read as any other.
            Err(error) if matches!(error.kind(), ErrorKind::Index | ErrorKind::IndexMismatch) => {
                let _ = self.misfit.set(error);
                Ok(None)
            }
            opened => opened.map(Some),
        }
    }

    /// Writes a whole device to `out`, from wherever `out` stands: its zeroes are passed over, so that what is there
    /// must read as zeroes, as a new file does. Works for every archive; for one that can be read only once, once.
    ///
    /// It runs on the calling thread, with a buffer of 1 MiB; [`restore`](crate::restore) writes many devices at once.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for a device that is not there, all that [`reader`](Self::reader) and
    /// [`random_access`](Self::random_access) find, and [`ErrorKind::Io`] of `out`.
    pub fn copy_device(&mut self, name: &str, out: impl Write + Seek) -> Result<()> {
        let device = self.header.find_device(name)?.clone();
        let mut out = Sparse::new(out)?;
        match self.random_access() {
            Ok(archive) => copy_stored(archive, device.id(), &mut out)?,
            Err(error) if error.kind() == ErrorKind::NotSeekable => {
                self.copy_in_order(&device, &mut out)?;
            }
            Err(error) => return Err(error),
        }
        out.finish(device.size())
    }

    fn copy_in_order(
        &mut self,
        device: &Device,
        out: &mut Sparse<impl Write + Seek>,
    ) -> Result<()> {
        let mut reader = self.reader()?;
        let mut data = vec![0; CLUSTER_SIZE];
        while let Some(extent) = reader.next_extent()? {
            for cluster in extent.clusters() {
                let entry = cluster.entry();
                if entry.device() == device.id() && entry.mask() != 0 {
                    cluster.copy_to(&mut data);
                    let left = device.size().saturating_sub(entry.offset());
                    let length = usize::try_from(left)
                        .unwrap_or(CLUSTER_SIZE)
                        .min(CLUSTER_SIZE);
                    out.write_at(entry.offset(), data.get(..length).unwrap_or_default())?;
                }
            }
            reader.recycle(extent);
        }
        Ok(())
    }
}

impl std::fmt::Debug for Archive<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Archive")
            .field("header", &self.header)
            .field("container", &self.container)
            .finish_non_exhaustive()
    }
}

/// Writes what is stored of a device.
fn copy_stored(
    archive: &RandomAccess<impl ReadAt>,
    device: DeviceId,
    out: &mut Sparse<impl Write + Seek>,
) -> Result<()> {
    let size = archive.device_size(device).unwrap_or(0);
    let mut buffer = vec![0; BUFFER];
    let mut at = 0;
    while at < size {
        let stretch = archive.stretch_at(device, at)?;
        let mut left = stretch.length;
        while stretch.data && left > 0 {
            let length = usize::try_from(left).unwrap_or(BUFFER).min(BUFFER);
            let part = buffer.get_mut(..length).unwrap_or_default();
            let offset = at.saturating_add(stretch.length.saturating_sub(left));
            archive.read_at(device, offset, part)?;
            out.write_at(offset, part)?;
            left = left.saturating_sub(length as u64);
        }
        at = at.saturating_add(stretch.length);
    }
    Ok(())
}

/// How much is copied at a time, in bytes.
const BUFFER: usize = 1 << 20;

/// Writes here and there, and nothing where there is nothing.
struct Sparse<W> {
    out: W,
    start: u64,
    end: u64,
}

impl<W: Write + Seek> Sparse<W> {
    fn new(mut out: W) -> Result<Self> {
        let start = out.stream_position().map_err(cannot_write)?;
        Ok(Self { out, start, end: 0 })
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> Result<()> {
        let place = SeekFrom::Start(self.start.saturating_add(offset));
        let written = self.out.seek(place).and_then(|_| self.out.write_all(data));
        written.map_err(cannot_write)?;
        self.end = self.end.max(offset.saturating_add(data.len() as u64));
        Ok(())
    }

    /// Gives it its whole `size`.
    fn finish(mut self, size: u64) -> Result<()> {
        if self.end < size {
            self.write_at(size.saturating_sub(1), &[0])?;
        }
        self.out.flush().map_err(cannot_write)
    }
}

fn cannot_write(error: io::Error) -> Error {
    Error::io("cannot write the device", error)
}

/// A device of an archive.
#[derive(Debug)]
pub struct ArchivedDevice<'r, 'a> {
    archive: &'r Archive<'a>,
    device: &'r Device,
}

impl<'r, 'a> ArchivedDevice<'r, 'a> {
    /// What the header says of it: name, size in bytes, id.
    #[must_use]
    pub const fn info(&self) -> &'r Device {
        self.device
    }

    /// Its contents, at any offset. Many readers may be at work at once.
    ///
    /// # Errors
    /// As [`Archive::random_access`].
    pub fn reader(&self) -> Result<DeviceReader<'r, 'a>> {
        let archive = self.archive.random_access()?;
        Ok(DeviceReader {
            archive,
            device: self.device.id(),
            size: archive.device_size(self.device.id()).unwrap_or(0),
            position: 0,
        })
    }
}

/// The contents of a device: [`Read`] and [`Seek`].
///
/// Nothing is read ahead; of a compressed archive the last 8 MiB are kept. Its errors are [`Error`]s within
/// [`io::Error`]s; [`Error::io`] takes them out again.
#[derive(Debug)]
pub struct DeviceReader<'r, 'a> {
    archive: &'r RandomAccess<Contents<'a>>,
    device: DeviceId,
    size: u64,
    position: u64,
}

impl Read for DeviceReader<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.size.saturating_sub(self.position);
        let length = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let part = buffer.get_mut(..length).unwrap_or_default();
        self.archive.read_at(self.device, self.position, part)?;
        self.position = self.position.saturating_add(length as u64);
        Ok(length)
    }
}

impl Seek for DeviceReader<'_, '_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let place = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(distance) => self.size.checked_add_signed(distance),
            SeekFrom::Current(distance) => self.position.checked_add_signed(distance),
        };
        self.position = place.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
