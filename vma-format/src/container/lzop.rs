//! Reading what the lzop program writes.
//!
//! The format is described by lzop's own `lzop.c` comments and by file(1)'s magic; all numbers are
//! big-endian. After a header come blocks: uncompressed length (0 ends the part), compressed
//! length, checksums as the flags say, data; equal lengths mean that the data is stored. Several
//! parts may follow each other.

use std::io::{self, BufReader, Read};

use super::damage::damaged;
use super::{Input, LZOP_MAGIC};
use crate::error::{Error, Result};
use crate::reader::fill;

/// The largest block accepted in bytes. lzop writes blocks of 256 KiB and reads up to 64 MiB.
const MAX_BLOCK: u32 = 1 << 20;

/// Header flags.
mod flag {
    pub(super) const ADLER32_PLAIN: u32 = 0x0001;
    pub(super) const ADLER32_COMPRESSED: u32 = 0x0002;
    pub(super) const EXTRA_FIELD: u32 = 0x0040;
    pub(super) const CRC32_PLAIN: u32 = 0x0100;
    pub(super) const CRC32_COMPRESSED: u32 = 0x0200;
    pub(super) const MULTIPART: u32 = 0x0400;
    pub(super) const FILTER: u32 = 0x0800;
    pub(super) const HEADER_CRC32: u32 = 0x1000;
}

/// Decompresses parts until the input ends.
pub(super) struct Reader<'a> {
    input: BufReader<Input<'a>>,
    offset: u64,
    /// Flags of the current part; `None` between parts.
    flags: Option<u32>,
    packed: Vec<u8>,
    plain: Vec<u8>,
    taken: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(input: Input<'a>) -> Self {
        Self {
            input: BufReader::with_capacity(1 << 17, input),
            offset: 0,
            flags: None,
            packed: Vec::new(),
            plain: Vec::new(),
            taken: 0,
        }
    }

    /// Decompresses the next block; `false` at the end.
    fn next_block(&mut self) -> Result<bool> {
        loop {
            let flags = match self.flags {
                Some(flags) => flags,
                None => match self.header()? {
                    Some(flags) => flags,
                    None => return Ok(false),
                },
            };
            let at = self.offset;
            let plain = self.u32()?;
            if plain == 0 {
                self.flags = None;
                continue;
            }
            let packed = self.u32()?;
            if plain > MAX_BLOCK || packed > plain {
                return Err(damaged(
                    at,
                    format!("lzop block of {packed} bytes for {plain}"),
                ));
            }
            self.block(flags, at, plain as usize, packed as usize)?;
            return Ok(true);
        }
    }

    fn block(&mut self, flags: u32, at: u64, plain: usize, packed: usize) -> Result<()> {
        let has = |bit: u32| flags & bit != 0;
        let stored = packed == plain;
        let adler_plain = has(flag::ADLER32_PLAIN).then(|| self.u32()).transpose()?;
        let crc_plain = has(flag::CRC32_PLAIN).then(|| self.u32()).transpose()?;
        let adler_packed = (has(flag::ADLER32_COMPRESSED) && !stored)
            .then(|| self.u32())
            .transpose()?;
        let crc_packed = (has(flag::CRC32_COMPRESSED) && !stored)
            .then(|| self.u32())
            .transpose()?;
        self.packed.resize(packed, 0);
        let mut data = std::mem::take(&mut self.packed);
        self.exact(&mut data)?;
        if differs(adler_packed, crc_packed, &data) {
            return Err(damaged(at, "wrong checksum of a compressed lzop block"));
        }
        self.plain.resize(plain, 0);
        self.taken = 0;
        if stored {
            self.plain.copy_from_slice(&data);
        } else {
            match lzokay::decompress::decompress(&data, &mut self.plain) {
                Ok(length) if length == plain => {}
                Ok(_) => return Err(damaged(at, "lzop block has the wrong length")),
                Err(e) => {
                    return Err(damaged(
                        at,
                        format!("lzop block does not decompress: {e:?}"),
                    ));
                }
            }
        }
        self.packed = data;
        if differs(adler_plain, crc_plain, &self.plain) {
            return Err(damaged(at, "wrong checksum of an lzop block"));
        }
        Ok(())
    }

    /// Reads a part's header and returns its flags; `None` at the end of the input.
    fn header(&mut self) -> Result<Option<u32>> {
        let at = self.offset;
        let mut magic = [0; LZOP_MAGIC.len()];
        let got = fill(&mut self.input, &mut magic).map_err(cannot_read)?;
        if got == 0 {
            return Ok(None);
        }
        self.offset = self.offset.saturating_add(got as u64);
        if magic != *LZOP_MAGIC {
            return Err(damaged(at, "neither an lzop header nor the end"));
        }
        let mut seen = Vec::new();
        let version = self.header_number(&mut seen, 2)?;
        let _library = self.header_number(&mut seen, 2)?;
        let recent = version >= 0x0940;
        if recent {
            let needed = self.header_number(&mut seen, 2)?;
            if needed > 0x1040 {
                return Err(damaged(at, format!("lzop version {needed:#x} is needed")));
            }
        }
        let method = self.header_number(&mut seen, 1)?;
        if !(1..=3).contains(&method) {
            return Err(damaged(at, format!("unknown lzop method {method}")));
        }
        if recent {
            self.header_number(&mut seen, 1)?;
        }
        let flags = self.header_number(&mut seen, 4)?;
        if flags & (flag::FILTER | flag::MULTIPART) != 0 {
            return Err(damaged(
                at,
                "lzop filters and multipart files are not supported",
            ));
        }
        // Mode, and the time in one or two halves.
        self.header_number(&mut seen, 4)?;
        self.header_number(&mut seen, 4)?;
        if recent {
            self.header_number(&mut seen, 4)?;
        }
        let name = self.header_number(&mut seen, 1)?;
        for _ in 0..name {
            self.header_number(&mut seen, 1)?;
        }
        let crc = flags & flag::HEADER_CRC32 != 0;
        let sum = self.u32()?;
        if differs((!crc).then_some(sum), crc.then_some(sum), &seen) {
            return Err(damaged(at, "wrong checksum of an lzop header"));
        }
        if flags & flag::EXTRA_FIELD != 0 {
            // Its own checksum covers it; nothing we use is in there.
            let length = self.u32()?;
            for _ in 0..u64::from(length).saturating_add(4) {
                self.exact(&mut [0])?;
            }
        }
        self.flags = Some(flags);
        Ok(Some(flags))
    }

    /// A number of the header, whose bytes are remembered for its checksum.
    fn header_number(&mut self, seen: &mut Vec<u8>, length: usize) -> Result<u32> {
        let mut bytes = [0; 4];
        let start = bytes.len().saturating_sub(length);
        let field = bytes.get_mut(start..).unwrap_or_default();
        self.exact(field)?;
        seen.extend_from_slice(field);
        Ok(u32::from_be_bytes(bytes))
    }

    fn u32(&mut self) -> Result<u32> {
        let mut bytes = [0; 4];
        self.exact(&mut bytes)?;
        Ok(u32::from_be_bytes(bytes))
    }

    fn exact(&mut self, buffer: &mut [u8]) -> Result<()> {
        let got = fill(&mut self.input, buffer).map_err(cannot_read)?;
        if got < buffer.len() {
            return Err(damaged(self.offset, "lzop file is cut"));
        }
        self.offset = self.offset.saturating_add(got as u64);
        Ok(())
    }
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.taken >= self.plain.len() {
            if !self.next_block()? {
                return Ok(0);
            }
        }
        let rest = self.plain.get(self.taken..).unwrap_or_default();
        let length = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..length), rest.get(..length)) {
            to.copy_from_slice(from);
        }
        self.taken = self.taken.saturating_add(length);
        Ok(length)
    }
}

/// Whether a given checksum does not fit the data.
fn differs(adler32: Option<u32>, crc32: Option<u32>, data: &[u8]) -> bool {
    adler32.is_some_and(|sum| sum != adler2::adler32_slice(data))
        || crc32.is_some_and(|sum| sum != crc32fast::hash(data))
}

fn cannot_read(error: io::Error) -> Error {
    Error::io("cannot read the archive", error)
}
