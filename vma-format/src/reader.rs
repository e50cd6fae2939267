//! Reading an archive from front to back.

use std::io::{BufReader, Read};

use crate::coverage::Coverage;
use crate::error::{Error, ErrorKind, Result};
use crate::extent::{self, Extent};
use crate::header::Header;
use crate::layout::{EXTENT_HEADER_SIZE, FIXED_HEADER_SIZE};

/// Reads an archive, extent by extent, and accepts nothing that would make a restore wrong.
///
/// It needs no seeking, and memory for a few extents and one bit per cluster, whatever the input.
/// A compressed archive is opened with [`container::open`](crate::container::open) first.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let file = std::fs::File::open("vzdump-qemu-100-2026_01_31-12_00_00.vma")?;
/// let mut reader = fleece_vma_format::Reader::new(file)?;
/// while let Some(extent) = reader.next_extent()? {
///     for cluster in extent.clusters() {
///         println!("{:?}", cluster.entry());
///     }
///     reader.recycle(extent);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Reader<R> {
    input: BufReader<R>,
    header: Header,
    coverage: Coverage,
    spare: Vec<Extent>,
    offset: u64,
    done: bool,
}

/// How many returned buffers are kept; more are given back to the system.
const MAX_SPARE: usize = 8;

/// Enough for a run of empty extents; larger reads go around the buffer.
const READ_AHEAD: usize = 64 * 1024;

impl<R: Read> Reader<R> {
    /// Reads and checks the header, and nothing behind it but what a buffer takes ahead.
    ///
    /// # Errors
    /// As [`Header::parse`], [`ErrorKind::Truncated`], [`ErrorKind::Io`].
    pub fn new(input: R) -> Result<Self> {
        let mut input = BufReader::with_capacity(READ_AHEAD, input);
        let header = read_header(&mut input)?;
        Ok(Self {
            input,
            coverage: Coverage::new(&header),
            offset: header.size(),
            header,
            spare: Vec::new(),
            done: false,
        })
    }

    /// The archive's header.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The input, from which a little has been read ahead.
    pub fn get_ref(&self) -> &R {
        self.input.get_ref()
    }

    /// How many bytes of the (uncompressed) archive have been read.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// The next extent, or `None` after the last if the archive is complete.
    ///
    /// # Errors
    /// Any damage: see [`ErrorKind`]. After an error there is nothing more to be had.
    pub fn next_extent(&mut self) -> Result<Option<Extent>> {
        if self.done {
            return Ok(None);
        }
        self.done = true;
        let mut extent = self.spare.pop().unwrap_or_default();
        if !read_extent(&mut self.input, self.offset, &mut extent)? {
            self.coverage.complete()?;
            return Ok(None);
        }
        if extent.header.uuid() != self.header.uuid() {
            let detail = "wrong vma extent uuid: it belongs to another archive";
            return Err(Error::new(ErrorKind::ExtentUuid, detail).at(self.offset));
        }
        let added = self.coverage.add_extent(&extent.header);
        added.map_err(|e| e.at(self.offset))?;
        self.offset = self.offset.saturating_add(extent.as_bytes().len() as u64);
        self.done = false;
        Ok(Some(extent))
    }

    /// A buffer of an extent that is not needed any more.
    pub fn recycle(&mut self, extent: Extent) {
        if self.spare.len() < MAX_SPARE {
            self.spare.push(extent);
        }
    }

    /// Reads all that is left and fails if anything is wrong with the archive.
    ///
    /// VMA has no checksum over payload; damage there cannot be seen without an index.
    ///
    /// # Errors
    /// As [`next_extent`](Self::next_extent).
    pub fn verify(mut self) -> Result<()> {
        while let Some(extent) = self.next_extent()? {
            self.recycle(extent);
        }
        Ok(())
    }
}

/// Reads a whole header, and not one byte more.
pub(crate) fn read_header(input: &mut impl Read) -> Result<Header> {
    Header::parse(read_header_bytes(input)?)
}

/// Reads a header even if its checksum is wrong; the error then says so.
pub(crate) fn read_damaged_header(input: &mut impl Read) -> Result<(Header, Option<Error>)> {
    let bytes = read_header_bytes(input)?;
    match Header::parse(bytes.clone()) {
        Err(error) if error.kind() == ErrorKind::HeaderChecksum => {
            Ok((Header::parse_damaged(bytes)?, Some(error)))
        }
        other => Ok((other?, None)),
    }
}

fn read_header_bytes(input: &mut impl Read) -> Result<Vec<u8>> {
    let mut bytes = vec![0; FIXED_HEADER_SIZE];
    let got = fill(input, &mut bytes).map_err(|e| Error::io("cannot read the vma header", e))?;
    let start = bytes.get(..got).unwrap_or_default();
    let size = Header::declared_size(start)?;
    if got < FIXED_HEADER_SIZE {
        return Err(cut_header(got, size));
    }
    bytes.resize(size, 0);
    let rest = bytes.get_mut(FIXED_HEADER_SIZE..).unwrap_or_default();
    let more = fill(input, rest).map_err(|e| Error::io("cannot read the vma header", e))?;
    if more < rest.len() {
        return Err(cut_header(FIXED_HEADER_SIZE.saturating_add(more), size));
    }
    Ok(bytes)
}

fn cut_header(got: usize, size: usize) -> Error {
    let detail = format!("vma header of {size} bytes is cut after {got}");
    Error::new(ErrorKind::Truncated, detail).at(got as u64)
}

/// Reads the extent at `offset` into `extent`; `false` at the end of the input.
fn read_extent(input: &mut impl Read, offset: u64, extent: &mut Extent) -> Result<bool> {
    let mut head = [0; EXTENT_HEADER_SIZE];
    let failed = |e| Error::io("cannot read the vma archive", e);
    let got = fill(input, &mut head).map_err(failed)?;
    if got == 0 {
        return Ok(false);
    }
    if got < head.len() {
        let detail = format!("read short extent ({got} bytes): the archive is cut");
        return Err(Error::new(ErrorKind::Truncated, detail).at(offset));
    }
    extent.offset = offset;
    extent.header = extent::parse(&head).map_err(|e| e.at(offset))?;
    let size = extent.header.size();
    let whole = extent.buffer.reset(size);
    let (start, payload) = whole
        .split_at_mut_checked(EXTENT_HEADER_SIZE)
        .unwrap_or_default();
    start.copy_from_slice(&head);
    let got = fill(input, payload)
        .map_err(failed)?
        .saturating_add(EXTENT_HEADER_SIZE);
    if got < size {
        let detail = format!("short vma extent ({got} < {size}): the archive is cut");
        return Err(Error::new(ErrorKind::Truncated, detail).at(offset));
    }
    Ok(true)
}

/// Reads until `buffer` is full or the input ends; how much came.
pub(crate) fn fill(input: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0_usize;
    while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
        match input.read(room) {
            Ok(0) => break,
            Ok(got) => filled = filled.saturating_add(got),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}
