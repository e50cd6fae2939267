//! What archives come wrapped in: zstd, gzip, lzop; recognised by content, never by name.
//!
//! Reading never seeks and needs bounded memory for every input. Writing makes independent frames
//! on several threads, whose bytes do not depend on how many.

#[cfg(any(feature = "gzip", feature = "lzop", feature = "zstd"))]
mod damage;
#[cfg(all(feature = "index", feature = "zstd"))]
mod embedded;
#[cfg(feature = "gzip")]
mod gzip;
#[cfg(feature = "lzop")]
mod lzop;
#[cfg(feature = "zstd")]
mod seek_table;
#[cfg(feature = "zstd")]
mod seekable;
#[cfg(test)]
#[allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "tests may panic"
)]
mod tests;
#[cfg(any(feature = "gzip", feature = "zstd"))]
mod writer;
#[cfg(feature = "zstd")]
mod zstd;

#[cfg(all(feature = "index", feature = "zstd"))]
pub use embedded::{EmbeddedIndex, embedded_index};
#[cfg(feature = "zstd")]
pub(crate) use seek_table::FramePlace;
#[cfg(feature = "zstd")]
pub use seekable::Seekable;
#[cfg(any(feature = "gzip", feature = "zstd"))]
pub use writer::{FrameOptions, FrameWriter};

pub use crate::threads::default_threads;

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::cannot_read;
use crate::error::{Error, ErrorKind, Result};
use crate::read_at::ReadAt;
use crate::reader::fill;

/// A kind of container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Container {
    /// A bare archive.
    Plain,
    /// Zstandard frames (RFC 8878).
    Zstd,
    /// Gzip members (RFC 1952).
    Gzip,
    /// The format of the lzop program.
    Lzop,
}

/// How deep containers may be nested: an archive that was compressed twice is a mishap, one that
/// was compressed a hundred times an attack.
const MAX_NESTING: usize = 3;

/// The first bytes of each part of a file of lzop.
const LZOP_MAGIC: &[u8; 9] = b"\x89LZO\0\r\n\x1a\n";

/// How many bytes [`Container::detect`] needs to tell the kinds apart.
pub const DETECT_LENGTH: usize = 9;

impl Container {
    /// The container whose first bytes are `start`; [`DETECT_LENGTH`] bytes are enough.
    #[must_use]
    pub fn detect(start: &[u8]) -> Self {
        match start {
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [0x1f, 0x8b, ..] => Self::Gzip,
            _ if start.starts_with(LZOP_MAGIC) => Self::Lzop,
            _ => Self::Plain,
        }
    }
}

impl std::fmt::Display for Container {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Plain => "none",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
            Self::Lzop => "lzop",
        })
    }
}

/// A decompressed stream.
///
/// Its errors are [`io::Error`]s around an [`Error`] that says where the container is damaged;
/// [`Error::io`] takes it out again, as [`Reader`](crate::reader::Reader) does.
#[derive(Debug)]
pub struct Stream<'a> {
    container: Container,
    consumed: Arc<AtomicU64>,
    input: Source<'a>,
}

/// Any input; may move to another thread.
type Input<'a> = Box<dyn Read + Send + 'a>;

struct Source<'a>(Input<'a>);

impl std::fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("dyn Read")
    }
}

impl Stream<'_> {
    /// The outermost container.
    #[must_use]
    pub const fn container(&self) -> Container {
        self.container
    }

    /// How many compressed bytes have been taken from the input; some are read ahead.
    #[must_use]
    pub fn consumed(&self) -> u64 {
        self.consumed.load(Ordering::Relaxed)
    }

    /// A counter of the compressed bytes taken from the input, for progress shown elsewhere.
    #[must_use]
    pub fn counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.consumed)
    }
}

impl Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.input.0.read(buffer)
    }
}

/// Opens whatever the archive is wrapped in, using all processors where the container allows it.
///
/// # Errors
/// [`ErrorKind::Container`] if a container begins but is not whole, [`ErrorKind::Io`].
pub fn open<'a>(input: impl Read + Send + 'a) -> Result<Stream<'a>> {
    let consumed = Arc::new(AtomicU64::new(0));
    let counted = Counted {
        input,
        count: Arc::clone(&consumed),
    };
    let mut input: Input<'a> = Box::new(counted);
    let mut outermost = None;
    for depth in 0..=MAX_NESTING {
        let mut start = [0; DETECT_LENGTH];
        let got =
            fill(&mut input, &mut start).map_err(|e| Error::io("cannot read the archive", e))?;
        let start = start.get(..got).unwrap_or_default().to_vec();
        let container = Container::detect(&start);
        let outer = *outermost.get_or_insert(container);
        let whole: Input<'a> = Box::new(io::Cursor::new(start).chain(input));
        if container == Container::Plain {
            return Ok(Stream {
                container: outer,
                consumed,
                input: Source(whole),
            });
        }
        input = decompressed(container, whole, depth)?;
    }
    let detail = format!("compressed more than {MAX_NESTING} times over");
    Err(Error::new(ErrorKind::Container, detail))
}

/// What can be read anywhere, by many.
pub type Contents<'a> = Arc<dyn ReadAt + 'a>;

/// The outermost container of `source`, and what is in it, if that can be read anywhere: a bare archive, or seekable
/// zstd with one.
///
/// # Errors
/// [`ErrorKind::Container`] if a seek table is wrong, [`ErrorKind::Io`].
pub fn contents(source: Contents<'_>) -> Result<(Container, Option<Contents<'_>>)> {
    match (detect(&source)?, source) {
        (Container::Plain, plain) => Ok((Container::Plain, Some(plain))),
        #[cfg(feature = "zstd")]
        (Container::Zstd, source) => {
            let Some(zstd) = Seekable::open(source)? else {
                return Ok((Container::Zstd, None));
            };
            // Compressed once more, it can only be read in order.
            let bare = detect(&zstd)? == Container::Plain;
            Ok((Container::Zstd, bare.then(|| Arc::new(zstd) as _)))
        }
        (container, _) => Ok((container, None)),
    }
}

/// The container that `source` begins.
fn detect(source: &impl ReadAt) -> Result<Container> {
    let size = source.size().map_err(cannot_read)?;
    let length = usize::try_from(size).map_or(DETECT_LENGTH, |size| size.min(DETECT_LENGTH));
    let mut start = vec![0; length];
    source.read_exact_at(&mut start, 0).map_err(cannot_read)?;
    Ok(Container::detect(&start))
}

/// The index within an archive; `None` without one, and in a build that reads none.
#[cfg(feature = "index")]
pub(crate) fn index_within<'a>(source: Contents<'a>) -> Result<Option<Contents<'a>>> {
    #[cfg(feature = "zstd")]
    if let Some(index) = embedded_index(source)? {
        return Ok(Some(Arc::new(index)));
    }
    #[cfg(not(feature = "zstd"))]
    drop(source);
    Ok(None)
}

/// What is in a container, which is itself in `depth` others.
fn decompressed<'a>(container: Container, input: Input<'a>, depth: usize) -> Result<Input<'a>> {
    match container {
        Container::Plain => Ok(input),
        #[cfg(feature = "zstd")]
        Container::Zstd => {
            let bounds = match depth {
                0 => zstd::OUTERMOST,
                _ => zstd::WITHIN,
            };
            Ok(Box::new(zstd::Reader::new(input, bounds)?))
        }
        #[cfg(feature = "gzip")]
        Container::Gzip => Ok(Box::new(gzip::Reader::new(input))),
        #[cfg(feature = "lzop")]
        Container::Lzop => Ok(Box::new(lzop::Reader::new(input))),
        #[cfg(not(all(feature = "gzip", feature = "lzop", feature = "zstd")))]
        absent => {
            // What only other containers would take.
            drop((input, depth));
            let what = format!("an archive in {absent}");
            Err(Error::absent(&what, &absent.to_string()))
        }
    }
}

/// The account of what has been written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Written {
    /// Bytes that went in.
    pub plain: u64,
    /// Bytes that came out.
    pub compressed: u64,
    /// Frames with data.
    pub frames: u64,
}

/// Counts what passes.
struct Counted<R> {
    input: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.input.read(buffer)?;
        self.count.fetch_add(got as u64, Ordering::Relaxed);
        Ok(got)
    }
}
