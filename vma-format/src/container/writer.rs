//! Compressing on several threads into independent frames.

use std::io::{self, Write};

use super::Written;
#[cfg(feature = "zstd")]
use super::seek_table::{FramePlace, SKIPPABLE_HEADER_SIZE, SeekTable, skippable};
use crate::error::{Error, ErrorKind, Result};
#[cfg(feature = "zstd")]
use crate::layout::BLOCK_SIZE;
use crate::ordered::Ordered;
use crate::take_over::TakeOver;
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

/// The magic of skippable frames that bring the next frame to a boundary.
#[cfg(feature = "zstd")]
const PADDING_MAGIC: u32 = 0x184D_2A50;

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
pub struct FrameWriter<W> {
    out: W,
    workers: Ordered<Plain, Frame>,
    frame: Vec<u8>,
    frame_size: usize,
    max_pending: usize,
    spare: Vec<Vec<u8>>,
    #[cfg(feature = "zstd")]
    table: Option<SeekTable>,
    /// Puts frames of an older archive there.
    take_over: Option<Box<dyn TakeOver<W>>>,
    written: Written,
}

/// What goes into a frame.
struct Plain {
    bytes: Vec<u8>,
    /// Whether the frame begins on a boundary of blocks.
    #[cfg(feature = "zstd")]
    aligned: bool,
}

enum Frame {
    /// A compressed frame, and what was in it.
    Made { bytes: Vec<u8>, plain: Plain },
    /// One of an older archive.
    #[cfg(feature = "zstd")]
    Taken(FramePlace),
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
            Ok(move |plain: Plain| {
                let bound = ::zstd::zstd_safe::compress_bound(plain.bytes.len());
                let mut bytes = Vec::with_capacity(bound);
                compressor
                    .compress_to_buffer(&plain.bytes, &mut bytes)
                    .map_err(failed)?;
                Ok(Frame::Made { bytes, plain })
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
            Ok(move |plain: Plain| {
                let mut bytes = Vec::with_capacity(plain.bytes.len() / 2);
                let level = flate2::Compression::new(level);
                let mut encoder = flate2::bufread::GzEncoder::new(&plain.bytes[..], level);
                io::Read::read_to_end(&mut encoder, &mut bytes).map_err(failed)?;
                Ok(Frame::Made { bytes, plain })
            })
        };
        let threads = options.threads(true);
        let workers = Ordered::new(threads, make)?;
        Ok(Self::new(out, options.frame_size, threads, workers))
    }

    fn new(out: W, frame_size: usize, threads: usize, workers: Ordered<Plain, Frame>) -> Self {
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
            take_over: None,
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
        let (plain, aligned) = (Vec::new(), false);
        self.workers.submit_done(Frame::Made {
            bytes,
            plain: Plain {
                bytes: plain,
                aligned,
            },
        });
        self.drain(self.max_pending)
    }

    /// From now on frames of an older archive can be taken.
    pub(crate) fn take_over_with(&mut self, take_over: Box<dyn TakeOver<W>>) {
        self.take_over = Some(take_over);
    }

    /// Puts bytes into a frame of their own, which begins on a boundary of blocks.
    #[cfg(feature = "zstd")]
    pub(crate) fn aligned_frame(&mut self, bytes: &[u8]) -> Result<()> {
        self.end_frame();
        self.frame.extend_from_slice(bytes);
        let mut plain = self.plain();
        plain.aligned = true;
        self.workers.submit(plain);
        self.drain(self.max_pending)
    }

    /// Puts a frame of the older archive there, on a boundary of blocks.
    #[cfg(feature = "zstd")]
    pub(crate) fn take_frame(&mut self, place: FramePlace) -> Result<()> {
        self.end_frame();
        self.workers.submit_done(Frame::Taken(place));
        self.drain(self.max_pending)
    }

    #[cfg(feature = "zstd")]
    fn end_frame(&mut self) {
        if !self.frame.is_empty() {
            self.submit();
        }
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
        let plain = self.plain();
        self.workers.submit(plain);
    }

    /// What the next frame is made of.
    fn plain(&mut self) -> Plain {
        let empty = self.spare.pop().unwrap_or_default();
        Plain {
            bytes: std::mem::replace(&mut self.frame, empty),
            #[cfg(feature = "zstd")]
            aligned: false,
        }
    }

    /// Writes out finished frames until at most `left` are pending.
    fn drain(&mut self, left: usize) -> Result<()> {
        while self.workers.pending() > left {
            let Some(frame) = self.workers.take() else {
                break;
            };
            match frame? {
                Frame::Made { bytes, plain } => {
                    #[cfg(feature = "zstd")]
                    self.account(plain.aligned, bytes.len(), plain.bytes.len())?;
                    self.put(&bytes)?;
                    self.count(plain.bytes.len());
                    let mut spare = plain.bytes;
                    spare.clear();
                    self.spare.push(spare);
                }
                #[cfg(feature = "zstd")]
                Frame::Taken(FramePlace { at, size }) => {
                    let (length, plain) = (size.compressed as usize, size.plain as usize);
                    self.account(true, length, plain)?;
                    let length = length as u64;
                    let take_over = self.take_over.as_mut().ok_or_else(nothing_to_take)?;
                    take_over
                        .take_frame(&mut self.out, at, length)
                        .map_err(cannot_write)?;
                    self.written.compressed = self.written.compressed.saturating_add(length);
                    self.count(plain);
                }
            }
        }
        Ok(())
    }

    /// Counts a frame whose contents were so long.
    fn count(&mut self, plain: usize) {
        self.written.plain = self.written.plain.saturating_add(plain as u64);
        if plain > 0 {
            self.written.frames = self.written.frames.saturating_add(1);
        }
    }

    /// Notes the sizes of the next frame, and brings it to a boundary before.
    #[cfg(feature = "zstd")]
    fn account(&mut self, aligned: bool, compressed: usize, plain: usize) -> Result<()> {
        let Some(table) = &mut self.table else {
            return Ok(());
        };
        let mut padding = Vec::new();
        if let Some(length) = aligned.then(|| padded(self.written.compressed)).flatten() {
            let room = vec![0; length.saturating_sub(SKIPPABLE_HEADER_SIZE)];
            skippable(&mut padding, PADDING_MAGIC, &room)?;
            table.push(padding.len(), 0)?;
        }
        table.push(compressed, plain)?;
        self.put(&padding)
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

impl<W> std::fmt::Debug for FrameWriter<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("FrameWriter");
        shown
            .field("written", &self.written)
            .finish_non_exhaustive()
    }
}

/// How long a skippable frame must be that ends on the next boundary; `None` on one.
#[cfg(feature = "zstd")]
fn padded(at: u64) -> Option<usize> {
    let block = BLOCK_SIZE as u64;
    let least = at.saturating_add(SKIPPABLE_HEADER_SIZE as u64);
    let length = least.next_multiple_of(block).saturating_sub(at);
    (!at.is_multiple_of(block)).then(|| usize::try_from(length).unwrap_or(BLOCK_SIZE))
}

#[cfg(feature = "zstd")]
fn nothing_to_take() -> Error {
    let detail = "this output takes nothing over of another archive";
    Error::new(ErrorKind::Unsupported, detail)
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
