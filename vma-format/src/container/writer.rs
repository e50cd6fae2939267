//! Compressing on several threads into independent frames.

use std::io::{self, Write};

use super::Written;
#[cfg(feature = "zstd")]
use super::seek_table::{SKIPPABLE_HEADER_SIZE, SeekTable, skippable};
use crate::error::{Error, ErrorKind, Result};
use crate::ordered::Ordered;
use crate::threads::default_threads;

/// How to compress.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FrameOptions {
    /// The compressor's level.
    pub level: i32,
    /// How many bytes go into one frame: the unit of parallel work and of random access.
    pub frame_size: usize,
    /// How many threads compress; 0 for one each processor, as far as memory allows.
    pub threads: usize,
}

impl Default for FrameOptions {
    /// Level 3, frames of 1 MiB, and as many threads as is good.
    fn default() -> Self {
        Self {
            level: 3,
            frame_size: 1 << 20,
            threads: 0,
        }
    }
}

/// How many threads compress if nobody says: each takes up to 9 MiB, and 20 at slow levels of zstd,
/// of 96 for everything.
const MAX_THREADS: (usize, usize) = (6, 3);

/// The last level of zstd with small tables.
#[cfg(feature = "zstd")]
const FAST_LEVEL: i32 = 4;

impl FrameOptions {
    /// Sets the level.
    #[must_use]
    pub const fn with_level(mut self, level: i32) -> Self {
        self.level = level;
        self
    }

    /// Sets the frame size in bytes; frames up to 4 MiB are decompressed in parallel.
    #[must_use]
    pub const fn with_frame_size(mut self, frame_size: usize) -> Self {
        self.frame_size = frame_size;
        self
    }

    /// Sets the number of threads.
    #[must_use]
    pub const fn with_threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// How many threads there are, whose tables are small or not.
    fn threads(&self, small: bool) -> usize {
        let most = if small { MAX_THREADS.0 } else { MAX_THREADS.1 };
        match self.threads {
            0 => default_threads().min(most),
            given => given,
        }
    }
}

/// A compressing [`Write`]: frames of equal size, compressed in parallel, written in order.
///
/// The output depends on input, level and frame size only, not on the number of threads nor on how
/// the input is cut into writes. [`finish`](Self::finish) must be called; without it the output
/// lacks its end.
#[derive(Debug)]
pub struct FrameWriter<W> {
    out: W,
    workers: Ordered<Vec<u8>, Frame>,
    frame: Vec<u8>,
    frame_size: usize,
    max_pending: usize,
    spare: Vec<Vec<u8>>,
    #[cfg(feature = "zstd")]
    table: Option<SeekTable>,
    written: Written,
}

/// A compressed frame, and the buffer that its contents came in.
struct Frame {
    bytes: Vec<u8>,
    plain: Vec<u8>,
}

impl<W: Write> FrameWriter<W> {
    /// Zstd frames with a seek table at the end; any zstd tool decompresses them.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for an unknown level, [`ErrorKind::Io`] without threads.
    #[cfg(feature = "zstd")]
    pub fn zstd(out: W, options: &FrameOptions) -> Result<Self> {
        let levels = ::zstd::compression_level_range();
        check_level(options.level, levels.contains(&options.level))?;
        let level = options.level;
        let make = move || {
            let mut compressor = ::zstd::bulk::Compressor::new(level).map_err(failed)?;
            compressor.include_checksum(true).map_err(failed)?;
            Ok(move |plain: Vec<u8>| {
                let mut bytes = Vec::with_capacity(::zstd::zstd_safe::compress_bound(plain.len()));
                compressor
                    .compress_to_buffer(&plain, &mut bytes)
                    .map_err(failed)?;
                Ok(Frame { bytes, plain })
            })
        };
        let threads = options.threads(level <= FAST_LEVEL);
        let workers = Ordered::new(threads, make)?;
        let mut writer = Self::new(out, options.frame_size, threads, workers);
        writer.table = Some(SeekTable::default());
        Ok(writer)
    }

    /// Gzip members; any gzip tool decompresses them.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for a level outside 0 to 9, [`ErrorKind::Io`] without threads.
    #[cfg(feature = "gzip")]
    pub fn gzip(out: W, options: &FrameOptions) -> Result<Self> {
        let level = u32::try_from(options.level).unwrap_or(u32::MAX);
        check_level(options.level, level <= 9)?;
        let make = move || {
            Ok(move |plain: Vec<u8>| {
                let mut bytes = Vec::with_capacity(plain.len() / 2);
                let level = flate2::Compression::new(level);
                let mut encoder = flate2::bufread::GzEncoder::new(&plain[..], level);
                io::Read::read_to_end(&mut encoder, &mut bytes).map_err(failed)?;
                Ok(Frame { bytes, plain })
            })
        };
        let threads = options.threads(true);
        let workers = Ordered::new(threads, make)?;
        Ok(Self::new(out, options.frame_size, threads, workers))
    }

    fn new(out: W, frame_size: usize, threads: usize, workers: Ordered<Vec<u8>, Frame>) -> Self {
        Self {
            out,
            workers,
            frame: Vec::new(),
            frame_size: frame_size.max(1),
            // Enough for every thread to find its next job while the oldest is being written.
            max_pending: threads.saturating_add(2),
            spare: Vec::new(),
            #[cfg(feature = "zstd")]
            table: None,
            written: Written::default(),
        }
    }

    /// Puts data that decompressors skip into a zstd stream, at the next frame boundary.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for gzip and for 4 GiB or more, [`ErrorKind::Io`].
    #[cfg(feature = "zstd")]
    pub fn skippable(&mut self, magic: u32, data: &[u8]) -> Result<()> {
        if self.table.is_none() {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "gzip has no skippable frames",
            ));
        }
        let mut bytes = Vec::with_capacity(data.len().saturating_add(SKIPPABLE_HEADER_SIZE));
        skippable(&mut bytes, magic, data)?;
        self.workers.submit_done(Frame {
            bytes,
            plain: Vec::new(),
        });
        self.drain(self.max_pending)
    }

    /// What has been written to the output so far.
    #[must_use]
    pub const fn written(&self) -> Written {
        self.written
    }

    /// Compresses what is left, appends the seek table, and gives the flushed output back.
    ///
    /// # Errors
    /// [`ErrorKind::Io`].
    pub fn finish(mut self) -> Result<(W, Written)> {
        if !self.frame.is_empty() || self.written.frames == 0 && self.workers.pending() == 0 {
            self.submit();
        }
        self.drain(0)?;
        #[cfg(feature = "zstd")]
        if let Some(table) = self.table.take() {
            let bytes = table.encode()?;
            self.put(&bytes)?;
        }
        self.out.flush().map_err(cannot_write)?;
        Ok((self.out, self.written))
    }

    fn submit(&mut self) {
        let empty = self.spare.pop().unwrap_or_default();
        let frame = std::mem::replace(&mut self.frame, empty);
        self.workers.submit(frame);
    }

    /// Writes out finished frames until at most `left` are pending.
    fn drain(&mut self, left: usize) -> Result<()> {
        while self.workers.pending() > left {
            let Some(frame) = self.workers.take() else {
                break;
            };
            let Frame { bytes, mut plain } = frame?;
            #[cfg(feature = "zstd")]
            if let Some(table) = &mut self.table {
                table.push(bytes.len(), plain.len())?;
            }
            self.put(&bytes)?;
            self.written.plain = self.written.plain.saturating_add(plain.len() as u64);
            if !plain.is_empty() {
                self.written.frames = self.written.frames.saturating_add(1);
            }
            plain.clear();
            self.spare.push(plain);
        }
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).map_err(cannot_write)?;
        self.written.compressed = self.written.compressed.saturating_add(bytes.len() as u64);
        Ok(())
    }
}

impl<W: Write> Write for FrameWriter<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let room = self.frame_size.saturating_sub(self.frame.len());
        let part = data.get(..room).unwrap_or(data);
        self.frame
            .reserve_exact(self.frame_size.saturating_sub(self.frame.len()));
        self.frame.extend_from_slice(part);
        if self.frame.len() >= self.frame_size {
            self.submit();
            self.drain(self.max_pending)?;
        }
        Ok(part.len())
    }

    /// Flushes what is compressed. It does not end a frame, which would change the output.
    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn check_level(level: i32, known: bool) -> Result<()> {
    if known {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Unsupported,
        format!("compression level {level} does not exist"),
    ))
}

fn failed(source: io::Error) -> Error {
    Error::io("compression failed", source)
}

fn cannot_write(source: io::Error) -> Error {
    Error::io("cannot write the compressed archive", source)
}
