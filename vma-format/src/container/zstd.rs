//! Reading zstd: small frames in parallel, large ones as a stream.

use std::io::{self, BufReader, Cursor, Read};

use zstd::stream::read::Decoder;

use super::Input;
use super::damage::{damaged, undone};
use crate::advice::Advice;
use crate::error::{Error, ErrorKind, Result};
use crate::ordered::Ordered;
use crate::reader::fill;
use crate::threads::default_threads;

/// Frames up to this size are decompressed in parallel: our own have 1 MiB. In bytes.
pub(super) const MAX_PARALLEL_FRAME: usize = 4 << 20;

/// How many buffers are kept to be used again.
const MAX_SPARE: usize = 4;

/// Less than a block that does not compress, so that most of its bytes go around the buffer.
const READ_AHEAD: usize = 1 << 14;

/// How much memory a reader may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// The logarithm of the largest window accepted.
    window_log: u32,
    /// How many bytes of frames, compressed and not, may be under way.
    under_way: usize,
}

/// For a file: windows up to 64 MiB, so that memory stays within 96 MiB. Proxmox's archives have
/// 2 MiB, levels up to 19 no more than 8, `zstd --ultra -21` has 64; those beyond (`--ultra -22`,
/// `--long`) are read through a pipe from `zstd -d`, as the error says.
pub(super) const OUTERMOST: Bounds = Bounds {
    window_log: 26,
    under_way: 32 << 20,
};

/// For what has been compressed again, which takes memory for both.
pub(super) const WITHIN: Bounds = Bounds {
    window_log: 23,
    under_way: 8 << 20,
};

/// The largest block in bytes (RFC 8878, 3.1.1.2.4).
const MAX_BLOCK: usize = 128 << 10;

/// Decompresses frames until the input ends.
///
/// The sizes in frame and block headers (RFC 8878, 3.1.1) tell where a frame ends, so small frames
/// are handed to several threads without a seek table, from a pipe as well.
pub(super) struct Reader<'a> {
    bounds: Bounds,
    input: BufReader<Input<'a>>,
    /// Where in the compressed input the next frame begins.
    offset: u64,
    workers: Ordered<Frame, Contents>,
    /// How many frames to read ahead; doubles up to the bound, so that whoever only wants the
    /// header need not wait for more.
    ahead: usize,
    under_way: usize,
    ended: bool,
    /// What ended it, to be told once all before it has been read.
    failure: Option<Error>,
    current: Cursor<Vec<u8>>,
    /// Buffers of contents that have been read, and of frames.
    spare: Vec<Vec<u8>>,
    spare_frames: Vec<Vec<u8>>,
    stream: Option<Streamed<'a>>,
}

/// A large frame and all that follows.
struct Streamed<'a> {
    decoder: Box<Decoder<'static, BufReader<Tracked<'a>>>>,
    window_log: u32,
}

/// A frame to be decompressed.
struct Frame {
    offset: u64,
    bytes: Vec<u8>,
    plain: usize,
    /// Where its contents go: memory that has been touched before costs nothing.
    room: Vec<u8>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(input: Input<'a>, bounds: Bounds) -> Result<Self> {
        let make = || {
            let failed = |e| Error::io("cannot decompress", e);
            let mut decompressor = zstd::bulk::Decompressor::new().map_err(failed)?;
            Ok(move |frame: Frame| {
                let cost = frame.cost();
                let mut plain = frame.room;
                plain.clear();
                plain.reserve_exact(frame.plain);
                let done = decompressor.decompress_to_buffer(&frame.bytes, &mut plain);
                done.map_err(|e| undone(frame.offset, e))?;
                let bytes = frame.bytes;
                Ok(Contents { plain, bytes, cost })
            })
        };
        Ok(Self {
            bounds,
            input: BufReader::with_capacity(READ_AHEAD, input),
            offset: 0,
            workers: Ordered::new(default_threads(), make)?,
            ahead: 1,
            under_way: 0,
            ended: false,
            failure: None,
            current: Cursor::default(),
            spare: Vec::new(),
            spare_frames: Vec::new(),
            stream: None,
        })
    }

    /// Reads frames ahead, as many as memory allows.
    fn read_ahead(&mut self) -> Result<()> {
        while !self.ended
            && self.workers.pending() < self.ahead
            && self.under_way < self.bounds.under_way
        {
            let mut bytes = self.spare_frames.pop().unwrap_or_default();
            bytes.clear();
            match next_frame(&mut self.input, self.offset, bytes)? {
                Next::End => self.ended = true,
                Next::Skipped(length) => self.offset = self.offset.saturating_add(length),
                Next::Frame(mut frame) => {
                    let fits = |room: &Vec<u8>| room.capacity() <= frame.plain.saturating_mul(2);
                    frame.room = self.spare.pop().filter(fits).unwrap_or_default();
                    self.offset = self.offset.saturating_add(frame.bytes.len() as u64);
                    self.under_way = self.under_way.saturating_add(frame.cost());
                    self.workers.submit(frame);
                }
                Next::Large(start) => {
                    self.ended = true;
                    self.stream = Some(self.stream_from(start)?);
                }
            }
        }
        Ok(())
    }

    /// Leaves all from here on to libzstd; `start` is what has been read of the frame.
    fn stream_from(&mut self, start: Vec<u8>) -> Result<Streamed<'a>> {
        let failed = |e| Error::io("cannot decompress", e);
        let offset = self.offset;
        let empty: Input<'a> = Box::new(io::empty());
        let input = std::mem::replace(&mut self.input, BufReader::new(empty));
        let whole = Tracked {
            input: Box::new(Cursor::new(start).chain(input)),
            offset,
        };
        let mut decoder =
            Decoder::with_buffer(BufReader::with_capacity(1 << 17, whole)).map_err(failed)?;
        decoder
            .window_log_max(self.bounds.window_log)
            .map_err(failed)?;
        Ok(Streamed {
            decoder: Box::new(decoder),
            window_log: self.bounds.window_log,
        })
    }
}

/// What was in a frame, its buffer, and what it has cost.
struct Contents {
    plain: Vec<u8>,
    bytes: Vec<u8>,
    cost: usize,
}

impl Frame {
    /// What it takes in memory.
    const fn cost(&self) -> usize {
        self.bytes.capacity().saturating_add(self.plain)
    }
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let got = self.current.read(buffer)?;
            if got > 0 {
                return Ok(got);
            }
            if let Err(error) = self.read_ahead() {
                self.ended = true;
                self.failure = Some(error);
            }
            match (self.workers.take(), &mut self.stream) {
                (Some(plain), _) => {
                    let Contents { plain, bytes, cost } = plain?;
                    self.under_way = self.under_way.saturating_sub(cost);
                    if self.spare_frames.len() < MAX_SPARE {
                        self.spare_frames.push(bytes);
                    }
                    self.ahead = self.ahead.saturating_mul(2).min(64);
                    let read = std::mem::replace(&mut self.current, Cursor::new(plain));
                    if self.spare.len() < MAX_SPARE {
                        self.spare.push(read.into_inner());
                    }
                }
                (None, Some(stream)) => return stream.read(buffer),
                (None, None) => {
                    return self.failure.take().map_or(Ok(0), |error| Err(error.into()));
                }
            }
        }
    }
}

impl Streamed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.decoder.read(buffer).map_err(|e| {
            let input = self.decoder.get_ref();
            let position = input
                .get_ref()
                .offset
                .saturating_sub(input.buffer().len() as u64);
            match e.downcast::<Error>() {
                Ok(inner) => inner.into(),
                // libzstd has no other error of this kind in a decompressor.
                Err(e) if e.to_string().contains("requires too much memory") => {
                    let limit = 1_u32.wrapping_shl(self.window_log.saturating_sub(20));
                    let detail = format!("the zstd window is larger than {limit} MiB");
                    let error = Error::new(ErrorKind::Unsupported, detail).at(position);
                    error
                        .advise(Advice::Pipe {
                            what: "decompress",
                            command: "zstd -d --long=31 -c FILE",
                        })
                        .into()
                }
                Err(e) => undone(position, e).into(),
            }
        })
    }
}

/// Knows how many bytes have been taken.
struct Tracked<'a> {
    input: Input<'a>,
    offset: u64,
}

impl Read for Tracked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self
            .input
            .read(buffer)
            .map_err(|e| Error::io("cannot read the archive", e))?;
        self.offset = self.offset.saturating_add(got as u64);
        Ok(got)
    }
}

/// What comes next in a zstd file.
enum Next {
    End,
    /// A skippable frame of this many bytes has been skipped.
    Skipped(u64),
    /// A whole small frame.
    Frame(Frame),
    /// The start of a frame that is large or does not tell its size.
    Large(Vec<u8>),
}

/// `bytes` is an empty buffer for it.
fn next_frame(input: &mut impl Read, offset: u64, mut bytes: Vec<u8>) -> Result<Next> {
    match take(input, &mut bytes, 4, offset) {
        Err(_) if bytes.is_empty() => return Ok(Next::End),
        other => other?,
    }
    match bytes
        .first_chunk::<4>()
        .map(|magic| u32::from_le_bytes(*magic))
    {
        Some(0x184D_2A50..=0x184D_2A5F) => return skip(input, offset),
        Some(0xFD2F_B528) => {}
        _ => return Err(damaged(offset, "neither a zstd frame nor the end")),
    }
    take(input, &mut bytes, 1, offset)?;
    let descriptor = bytes.last().copied().unwrap_or(0);
    let single_segment = descriptor & 0x20 != 0;
    let window = usize::from(!single_segment);
    let dictionary = [0, 1, 2, 4]
        .get(usize::from(descriptor & 3))
        .copied()
        .unwrap_or(0);
    let sized = match descriptor >> 6 {
        0 => usize::from(single_segment),
        1 => 2,
        2 => 4,
        _ => 8,
    };
    take(
        input,
        &mut bytes,
        window.saturating_add(dictionary).saturating_add(sized),
        offset,
    )?;
    let field = bytes
        .get(bytes.len().saturating_sub(sized)..)
        .unwrap_or_default();
    let Some(plain) = content_size(field).filter(|&size| size <= MAX_PARALLEL_FRAME) else {
        return Ok(Next::Large(bytes));
    };
    let checksum = if descriptor & 4 == 0 { 0 } else { 4 };
    // Whatever needs more than incompressible data would is left to libzstd to judge.
    let most = zstd::zstd_safe::compress_bound(plain).saturating_add(1024);
    loop {
        take(input, &mut bytes, 3, offset)?;
        let (last, length) = block(&bytes);
        if length > MAX_BLOCK {
            return Ok(Next::Large(bytes));
        }
        take(input, &mut bytes, length, offset)?;
        if last {
            take(input, &mut bytes, checksum, offset)?;
            return Ok(Next::Frame(Frame {
                offset,
                bytes,
                plain,
                room: Vec::new(),
            }));
        }
        if bytes.len() > most {
            return Ok(Next::Large(bytes));
        }
    }
}

fn content_size(field: &[u8]) -> Option<usize> {
    let mut wide = [0; 8];
    wide.get_mut(..field.len())?.copy_from_slice(field);
    let size = match field.len() {
        0 => return None,
        2 => u64::from_le_bytes(wide).checked_add(256)?,
        _ => u64::from_le_bytes(wide),
    };
    usize::try_from(size).ok()
}

/// Whether the block whose header ends `bytes` is the last of its frame, and how many bytes it has.
fn block(bytes: &[u8]) -> (bool, usize) {
    let Some(&[a, b, c]) = bytes.last_chunk::<3>() else {
        return (true, 0);
    };
    let header = u32::from_le_bytes([a, b, c, 0]);
    let length = if (header >> 1) & 3 == 1 {
        1
    } else {
        header >> 3
    };
    (header & 1 == 1, length as usize)
}

/// Appends exactly `count` bytes of the input.
fn take(input: &mut impl Read, bytes: &mut Vec<u8>, count: usize, offset: u64) -> Result<()> {
    let start = bytes.len();
    bytes.resize(start.saturating_add(count), 0);
    let room = bytes.get_mut(start..).unwrap_or_default();
    let got = fill(input, room).map_err(|e| Error::io("cannot read the archive", e))?;
    bytes.truncate(start.saturating_add(got));
    if got < count {
        return Err(damaged(offset, "zstd frame is cut"));
    }
    Ok(())
}

fn skip(input: &mut impl Read, offset: u64) -> Result<Next> {
    let mut length = Vec::new();
    take(input, &mut length, 4, offset)?;
    let length = length
        .first_chunk::<4>()
        .map_or(0, |length| u32::from_le_bytes(*length));
    let failed = |e| Error::io("cannot read the archive", e);
    let skipped = io::copy(&mut input.take(u64::from(length)), &mut io::sink()).map_err(failed)?;
    if skipped < u64::from(length) {
        return Err(damaged(offset, "zstd frame is cut"));
    }
    Ok(Next::Skipped(skipped.saturating_add(8)))
}
