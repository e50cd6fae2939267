//! Random access to zstd with a seek table.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::damage::{damaged, undone};
use super::seek_table::{Entries, FramePlace, FrameSize};
use super::zstd::MAX_PARALLEL_FRAME;
use crate::error::Result;
use crate::error::cannot_read;
use crate::read_at::{Cursor, Loan, ReadAt};

/// The decompressed contents of a seekable zstd file, at any offset.
///
/// Each read decompresses the frames it touches; the last few are kept. It needs 8 bytes of memory
/// for each frame.
#[derive(Debug)]
pub struct Seekable<S> {
    source: S,
    frames: Vec<FrameSize>,
    /// Where every [`MARK`]th frame begins.
    marks: Vec<Position>,
    size: u64,
    recent: Mutex<VecDeque<Recent>>,
    idle: Mutex<Idle>,
    forgiving: bool,
}

/// What the next frames are decompressed with: new memory costs more than to decompress into it.
#[derive(Default)]
struct Idle {
    tools: Vec<Tools>,
    /// Of frames that are not kept any more.
    buffers: Vec<Vec<u8>>,
}

/// How many of each are kept: as many threads as restore an archive.
const MAX_IDLE: usize = 6;

/// What one thread decompresses with.
struct Tools {
    decompressor: zstd::bulk::Decompressor<'static>,
    compressed: Vec<u8>,
}

impl std::fmt::Debug for Idle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} tools, {} buffers",
            self.tools.len(),
            self.buffers.len()
        )
    }
}

/// A frame that was read lately, by its number.
#[derive(Debug, Clone)]
struct Recent {
    number: usize,
    plain: Arc<Plain>,
}

/// What is in a frame, once somebody has decompressed it; others who want it wait for that.
type Plain = Mutex<Option<Arc<Vec<u8>>>>;

/// A place in the file and in its contents.
#[derive(Debug, Clone, Copy, Default)]
struct Position {
    at: u64,
    plain: u64,
}

impl Position {
    const fn behind(self, frame: FrameSize) -> Self {
        Self {
            at: self.at.saturating_add(frame.compressed as u64),
            plain: self.plain.saturating_add(frame.plain as u64),
        }
    }
}

/// The distance of marks in frames.
const MARK: usize = 64;

/// How many bytes of decompressed frames are kept.
const KEPT: usize = 8 << 20;

/// The most frames that are kept account of, at 8 bytes each: with ours of 1 MiB, 3 TiB of stored
/// data, or 1.2 TiB if they are aligned. A larger file is read from front to back.
const MAX_FRAMES: usize = 3 << 20;

impl<S: ReadAt> Seekable<S> {
    /// Opens `source` if it ends with a seek table, and its frames are few and small enough to be
    /// kept account of; `None` otherwise.
    ///
    /// # Errors
    /// [`ErrorKind::Container`](crate::error::ErrorKind::Container) if the table is wrong,
    /// [`ErrorKind::Io`](crate::error::ErrorKind::Io).
    pub fn open(source: S) -> Result<Option<Self>> {
        let Some((mut entries, end)) = Entries::find(&source)? else {
            return Ok(None);
        };
        if entries.len() > MAX_FRAMES {
            return Ok(None);
        }
        let mut frames = Vec::with_capacity(entries.len());
        let mut marks = Vec::new();
        let mut position = Position::default();
        while let Some(frame) = entries.next(&source).map_err(cannot_read)? {
            if frame.plain as usize > MAX_PARALLEL_FRAME {
                return Ok(None);
            }
            if frames.len().is_multiple_of(MARK) {
                marks.push(position);
            }
            frames.push(frame);
            position = position.behind(frame);
        }
        if position.at != end {
            return Err(damaged(end, "the seek table does not match the file"));
        }
        Ok(Some(Self {
            source,
            frames,
            marks,
            size: position.plain,
            recent: Mutex::default(),
            idle: Mutex::default(),
            forgiving: false,
        }))
    }

    /// Reads zeroes where a frame is damaged, for recovery.
    #[must_use]
    pub fn forgiving(mut self) -> Self {
        self.forgiving = true;
        self
    }

    /// A sequential reader over the contents.
    pub fn reader(&self) -> impl Read + Send + '_ {
        Cursor::new(self, 0, self.size)
    }

    /// The frame with exactly `length` bytes of the contents from `offset` on: where it is in the file, and how long.
    pub(crate) fn frame_of(&self, offset: u64, length: u64) -> Option<FramePlace> {
        let (number, position) = self.find(offset)?;
        let frame = *self.frames.get(number)?;
        let fits = position.plain == offset && u64::from(frame.plain) == length;
        fits.then_some(FramePlace {
            at: position.at,
            size: frame,
        })
    }

    /// The frame in which `offset` lies, and where it begins.
    fn find(&self, offset: u64) -> Option<(usize, Position)> {
        let after = self.marks.partition_point(|mark| mark.plain <= offset);
        let mark = after.checked_sub(1)?;
        let mut position = *self.marks.get(mark)?;
        let first = mark.saturating_mul(MARK);
        for (frame, number) in self.frames.get(first..)?.iter().zip(first..) {
            let next = position.behind(*frame);
            if next.plain > offset {
                return Some((number, position));
            }
            position = next;
        }
        None
    }

    fn contents(&self, number: usize, at: u64, frame: FrameSize) -> io::Result<Arc<Vec<u8>>> {
        let recent = self.recent(number);
        let mut contents = recent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plain) = &*contents {
            return Ok(Arc::clone(plain));
        }
        let plain = match self.decompress(at, frame) {
            Err(_) if self.forgiving => vec![0; frame.plain as usize],
            other => other?,
        };
        Ok(Arc::clone(contents.insert(Arc::new(plain))))
    }

    /// The place of a frame among those that are kept, for which older ones may have to go.
    fn recent(&self, number: usize) -> Arc<Plain> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = recent.iter().find(|known| known.number == number) {
            return Arc::clone(&known.plain);
        }
        let plain = Arc::<Plain>::default();
        recent.push_back(Recent {
            number,
            plain: Arc::clone(&plain),
        });
        let size = |recent: &Recent| {
            let frame = self.frames.get(recent.number);
            frame.map_or(0, |frame| frame.plain as usize)
        };
        let mut kept: usize = recent.iter().map(size).sum();
        while kept > KEPT
            && let Some(oldest) = recent.pop_front()
        {
            kept = kept.saturating_sub(size(&oldest));
            // Somebody may read it still.
            let plain = Arc::into_inner(oldest.plain);
            let plain =
                plain.and_then(|plain| plain.into_inner().unwrap_or_else(PoisonError::into_inner));
            if let Some(buffer) = plain.and_then(Arc::into_inner) {
                let mut idle = self.idle();
                if idle.buffers.len() < MAX_IDLE {
                    idle.buffers.push(buffer);
                }
            }
        }
        plain
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn decompress(&self, at: u64, frame: FrameSize) -> io::Result<Vec<u8>> {
        let size = frame.plain as usize;
        let compressed = frame.compressed as usize;
        if compressed > zstd::zstd_safe::compress_bound(size).saturating_add(1024) {
            return Err(damaged(at, "a frame is larger than any of its size can be").into());
        }
        let (tools, buffer) = {
            let mut idle = self.idle();
            (idle.tools.pop(), idle.buffers.pop())
        };
        let mut tools = match tools {
            Some(tools) => tools,
            None => Tools {
                decompressor: zstd::bulk::Decompressor::new()?,
                compressed: Vec::new(),
            },
        };
        // What is kept is counted by what is in it, so it has not much more room than that.
        let fits = |buffer: &Vec<u8>| buffer.capacity() <= size.saturating_mul(2);
        let mut plain = buffer.filter(fits).unwrap_or_default();
        plain.clear();
        plain.reserve_exact(size);
        tools.compressed.resize(compressed, 0);
        self.source.read_exact_at(&mut tools.compressed, at)?;
        let done = tools
            .decompressor
            .decompress_to_buffer(&tools.compressed, &mut plain);
        done.map_err(|e| undone(at, e))?;
        if plain.len() != size {
            return Err(damaged(at, "the size of a frame differs from the seek table").into());
        }
        let mut idle = self.idle();
        if idle.tools.len() < MAX_IDLE {
            idle.tools.push(tools);
        }
        Ok(plain)
    }
}

impl<S: ReadAt> ReadAt for Seekable<S> {
    fn size(&self) -> io::Result<u64> {
        Ok(self.size)
    }

    fn read_exact_at(&self, mut buffer: &mut [u8], offset: u64) -> io::Result<()> {
        if buffer.is_empty() {
            return Ok(());
        }
        let end = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let (mut number, mut position) = self.find(offset).ok_or_else(end)?;
        let mut skip = usize::try_from(offset.saturating_sub(position.plain)).unwrap_or(0);
        while !buffer.is_empty() {
            let frame = *self.frames.get(number).ok_or_else(end)?;
            if frame.plain > 0 {
                let plain = self.contents(number, position.at, frame)?;
                let part = plain.get(skip..).unwrap_or_default();
                let length = part.len().min(buffer.len());
                let (now, rest) = buffer.split_at_mut_checked(length).unwrap_or_default();
                now.copy_from_slice(part.get(..length).unwrap_or_default());
                buffer = rest;
                skip = 0;
            }
            position = position.behind(frame);
            number = number.saturating_add(1);
        }
        Ok(())
    }

    fn loan_at(&self, offset: u64) -> io::Result<Option<Loan>> {
        let Some((number, position)) = self.find(offset) else {
            return Ok(None);
        };
        let Some(frame) = self.frames.get(number) else {
            return Ok(None);
        };
        let plain = self.contents(number, position.at, *frame)?;
        let skip = usize::try_from(offset.saturating_sub(position.plain)).unwrap_or(usize::MAX);
        Ok(Some(Loan::new(plain, skip)))
    }
}
