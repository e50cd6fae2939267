//! Reading an index, piece by piece.

use std::io::{self, Read};

use sha2::{Digest, Sha256};

use super::digest::ExtentDigest;
use super::{PIECE_HEADER_SIZE, kind, parse};
use crate::advice::Advice;
use crate::error::{Error, ErrorKind, Result};
use crate::header::Header;
use crate::reader::fill;

/// An index as it is read: an iterator over its records, which ends only after the whole index has
/// been found sound.
#[derive(Debug)]
pub struct IndexReader<R> {
    input: R,
    sum: Sha256,
    head: ([u8; 16], u64, [u8; 32]),
    records: std::vec::IntoIter<ExtentDigest>,
    /// Number and offset of the next extent.
    next: (u64, u64),
    done: bool,
}

/// What an index knows about one extent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexRecord {
    number: u64,
    offset: u64,
    digest: ExtentDigest,
}

impl IndexRecord {
    /// Which extent of the archive it is, from 0.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Where the extent begins in the (uncompressed) archive, in bytes.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Length, checksums and clusters.
    #[must_use]
    pub const fn digest(&self) -> &ExtentDigest {
        &self.digest
    }
}

impl<R: Read> IndexReader<R> {
    /// Reads the head of an index.
    ///
    /// # Errors
    /// [`ErrorKind::Index`] if it is none, [`ErrorKind::Io`].
    pub fn new(input: R) -> Result<Self> {
        let mut reader = Self {
            input,
            sum: Sha256::new(),
            head: ([0; 16], 0, [0; 32]),
            records: Vec::new().into_iter(),
            next: (0, 0),
            done: false,
        };
        let (kind, body) = reader.piece()?.ok_or_else(|| damaged("it is empty"))?;
        let head = (kind == kind::HEAD).then(|| parse::head(&body)).flatten();
        let head = head.ok_or_else(|| damaged("it does not begin with a header"))?;
        reader.head = (head.uuid, head.header_size, head.header_sha256);
        reader.next = (0, head.header_size);
        Ok(reader)
    }

    /// That the index belongs to the archive with this header.
    ///
    /// # Errors
    /// [`ErrorKind::IndexMismatch`].
    pub fn check(&self, header: &Header) -> Result<()> {
        let (uuid, size, sha256) = &self.head;
        let same = uuid == header.uuid()
            && *size == header.size()
            && Sha256::digest(header.as_bytes())[..] == *sha256;
        if same {
            return Ok(());
        }
        let detail = "the index belongs to another archive";
        Err(Error::new(ErrorKind::IndexMismatch, detail).advise(Advice::MakeIndex))
    }

    /// Whether the index is of an archive with the uuid and size of this header, which may be damaged
    /// otherwise.
    #[must_use]
    pub fn is_likely_of(&self, header: &Header) -> bool {
        let (uuid, size, _) = &self.head;
        uuid == header.uuid() && *size == header.size()
    }

    /// The record of the archive's next extent; `None` after the last.
    ///
    /// # Errors
    /// [`ErrorKind::Index`] for any damage of the index, [`ErrorKind::Io`]. After an error there is
    /// nothing more to be had.
    pub fn next_record(&mut self) -> Result<Option<IndexRecord>> {
        if self.records.len() == 0
            && let Err(error) = self.next_piece()
        {
            self.done = true;
            return Err(error);
        }
        let Some(digest) = self.records.next() else {
            return Ok(None);
        };
        let (number, offset) = self.next;
        self.next = (
            number.saturating_add(1),
            offset.saturating_add(u64::from(digest.length())),
        );
        Ok(Some(IndexRecord {
            number,
            offset,
            digest,
        }))
    }

    /// Where the extent of the next record begins; after the last, the archive's size.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.next.1
    }

    fn next_piece(&mut self) -> Result<()> {
        if self.done {
            return Ok(());
        }
        let sum = self.sum.clone();
        let (kind, body) = self.piece()?.ok_or_else(|| damaged("its end is missing"))?;
        match kind {
            kind::EXTENTS => {
                let piece = parse::extents(&body).ok_or_else(|| damaged("a record is wrong"))?;
                if (piece.number, piece.offset) != self.next {
                    return Err(damaged("its pieces are out of order"));
                }
                self.records = piece.records.into_iter();
                Ok(())
            }
            kind::TAIL => {
                let tail = parse::tail(&body).ok_or_else(|| damaged("its end is wrong"))?;
                if (tail.extents, tail.size) != self.next || tail.sha256 != sum.finalize()[..] {
                    return Err(damaged("its checksum does not match"));
                }
                if self.piece()?.is_some() {
                    return Err(damaged("something follows its end"));
                }
                self.done = true;
                Ok(())
            }
            _ => Err(damaged("it has a piece of unknown kind")),
        }
    }

    /// Kind and body of the next piece.
    fn piece(&mut self) -> Result<Option<(u8, Vec<u8>)>> {
        let mut bytes = vec![0; PIECE_HEADER_SIZE];
        let got = fill(&mut self.input, &mut bytes).map_err(cannot_read)?;
        if got == 0 {
            return Ok(None);
        }
        let header = bytes.get(..got).and_then(parse::piece_header);
        let header = header.ok_or_else(|| damaged("a piece of it is malformed"))?;
        let mut body = vec![0; header.length];
        let got = fill(&mut self.input, &mut body).map_err(cannot_read)?;
        if got < body.len() {
            return Err(damaged("it is cut"));
        }
        if crc32fast::hash(&body) != header.crc {
            return Err(damaged("the checksum of a piece does not match"));
        }
        self.sum.update(&bytes);
        self.sum.update(&body);
        Ok(Some((header.kind, body)))
    }
}

impl<R: Read> Iterator for IndexReader<R> {
    type Item = Result<IndexRecord>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_record().transpose()
    }
}

fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::Index, format!("the index is damaged: {what}"))
}

fn cannot_read(error: io::Error) -> Error {
    Error::io("cannot read the index", error)
}
