//! Where an archive goes, and how it is compressed on the way.

use std::io::{self, Stdout, Write};
use std::path::PathBuf;
use std::sync::Arc;

use fleece_vma_format::container::{FrameOptions, FrameWriter};

use crate::archive_file::ArchiveFile;
use crate::report::Counters;
use crate::{Error, ErrorKind};

/// How an archive is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// Not at all.
    None,
    /// Independent zstd frames of this level, on all cores, with a seek table; plain zstd to everyone
    /// else.
    Zstd(i32),
}

impl Compression {
    /// What follows `.vma` in a file name.
    #[must_use]
    pub fn ending(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Zstd(_) => ".zst",
        }
    }
}

/// The end of the pipeline.
pub(crate) enum Output {
    Plain(Counted),
    Zstd(Box<FrameWriter<Counted>>),
}

impl Output {
    pub(crate) fn new(
        place: Place,
        compression: Compression,
        counters: Arc<Counters>,
    ) -> Result<Self, Error> {
        let counted = Counted { place, counters };
        Ok(match compression {
            Compression::None => Self::Plain(counted),
            Compression::Zstd(level) => {
                let options = FrameOptions::default().with_level(level);
                let writer = FrameWriter::zstd(counted, &options).map_err(|error| {
                    Error::caused(ErrorKind::Request, "cannot compress with zstd", error)
                })?;
                Self::Zstd(Box::new(writer))
            }
        })
    }

    /// Ends the compressed stream and makes the archive durable. Returns its path, if it has one,
    /// and its size.
    pub(crate) fn commit(self) -> Result<(Option<PathBuf>, u64), Error> {
        let counted = match self {
            Self::Plain(counted) => counted,
            Self::Zstd(writer) => {
                let (counted, _) = writer.finish().map_err(|error| {
                    Error::caused(ErrorKind::Target, "cannot write the archive", error)
                })?;
                counted
            }
        };
        let size = Counters::get(&counted.counters.written);
        match counted.place {
            Place::File(file) => Ok((Some(file.commit()?), size)),
            Place::Stdout(mut stdout) => {
                stdout.flush().map_err(|error| {
                    Error::caused(ErrorKind::Target, "cannot write to standard output", error)
                })?;
                Ok((None, size))
            }
        }
    }
}

impl Write for Output {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(counted) => counted.write(buffer),
            Self::Zstd(writer) => writer.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(counted) => counted.flush(),
            Self::Zstd(writer) => writer.flush(),
        }
    }
}

/// A file, or standard output.
pub(crate) enum Place {
    File(ArchiveFile),
    Stdout(Stdout),
}

/// Counts what arrives, after compression.
pub(crate) struct Counted {
    place: Place,
    counters: Arc<Counters>,
}

impl Write for Counted {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = match &mut self.place {
            Place::File(file) => file.write(buffer),
            Place::Stdout(stdout) => stdout.write(buffer),
        }?;
        Counters::add(&self.counters.written, count as u64);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.place {
            Place::File(file) => file.flush(),
            Place::Stdout(stdout) => stdout.flush(),
        }
    }
}
