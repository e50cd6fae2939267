//! Reading an index, piece by piece.

use std::io::{self, Read};

use super::PIECE_HEADER_SIZE;
use super::algorithm::Hasher;
use super::digest::ExtentDigest;
use super::parse::kind;
use super::parse::{self, Format, Head, Version};
use crate::advice::Advice;
use crate::error::{Error, ErrorKind, Result};
use crate::header::Header;
use crate::reader::fill;

/// An index as it is read: an iterator over its records, which ends only after the whole index has
/// been found sound.
#[derive(Debug)]
pub struct IndexReader<R> {
    pieces: Pieces<R>,
    /// Where the current piece begins in the index, in bytes.
    piece_begin: u64,
    /// Over all pieces so far.
    sum: Hasher,
    head: Head,
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
        let mut pieces = Pieces::new(input);
        let first = pieces.next()?.ok_or_else(|| damaged("it is empty"))?;
        if first.kind != kind::HEAD {
            return Err(damaged("it does not begin with a header"));
        }
        let head = parse::head(first.version, first.body())
            .ok_or_else(|| damaged("its header is malformed, or of a later version"))?;
        let mut sum = head.format.algorithm().hasher();
        sum.update(&first.bytes);
        Ok(Self {
            pieces,
            sum,
            next: (0, head.header_size),
            head,
            records: Vec::new().into_iter(),
            piece_begin: 0,
            done: false,
        })
    }

    /// That the index belongs to the archive with this header.
    ///
    /// # Errors
    /// [`ErrorKind::IndexMismatch`].
    pub fn check(&self, header: &Header) -> Result<()> {
        let Head {
            format,
            uuid,
            header_size,
            header_digest,
        } = &self.head;
        let same = uuid == header.uuid()
            && *header_size == header.size()
            && format.algorithm().digest(header.as_bytes()) == *header_digest;
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
        self.head.uuid == *header.uuid() && self.head.header_size == header.size()
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
        let begin = self.pieces.position;
        let piece = self.pieces.next()?;
        let piece = piece.ok_or_else(|| damaged("its end is missing"))?;
        if piece.version != self.head.format.version() {
            return Err(damaged("its pieces are of different versions"));
        }
        match piece.kind {
            kind::EXTENTS => {
                let extents = piece.extents(self.head.format)?;
                if (extents.number, extents.offset) != self.next {
                    return Err(damaged("its pieces are out of order"));
                }
                self.sum.update(&piece.bytes);
                self.records = extents.records.into_iter();
                self.piece_begin = begin;
                Ok(())
            }
            kind::TAIL => {
                let tail = parse::tail(piece.body()).ok_or_else(|| damaged("its end is wrong"))?;
                if (tail.extents, tail.size) != self.next || tail.digest != self.sum.digest() {
                    return Err(damaged("its checksum does not match"));
                }
                if self.pieces.next()?.is_some() {
                    return Err(damaged("something follows its end"));
                }
                self.done = true;
                Ok(())
            }
            _ => Err(damaged("it has a piece of unknown kind")),
        }
    }

    /// What its checksums are.
    pub(super) const fn format(&self) -> Format {
        self.head.format
    }

    /// Where the piece with the record that came last begins in the index, in bytes.
    pub(super) const fn piece_begin(&self) -> u64 {
        self.piece_begin
    }
}

/// The pieces of an index, one after the other.
#[derive(Debug)]
pub(super) struct Pieces<R> {
    input: R,
    /// How many bytes have been read.
    position: u64,
}

/// One piece, whose body has the right CRC.
pub(super) struct Piece {
    version: Version,
    kind: u8,
    /// With its header.
    bytes: Vec<u8>,
}

impl Piece {
    fn body(&self) -> &[u8] {
        self.bytes.get(PIECE_HEADER_SIZE..).unwrap_or_default()
    }

    /// The records in it.
    pub(super) fn extents(&self, format: Format) -> Result<parse::Extents> {
        parse::extents(format, self.body()).ok_or_else(|| damaged("a record is wrong"))
    }
}

impl<R: Read> Pieces<R> {
    pub(super) const fn new(input: R) -> Self {
        Self { input, position: 0 }
    }

    /// The next piece; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Piece>> {
        let mut bytes = vec![0; PIECE_HEADER_SIZE];
        let got = fill(&mut self.input, &mut bytes).map_err(cannot_read)?;
        if got == 0 {
            return Ok(None);
        }
        let header = bytes.get(..got).and_then(parse::piece_header);
        let header = header.ok_or_else(|| damaged("a piece of it is malformed"))?;
        bytes.resize(PIECE_HEADER_SIZE.saturating_add(header.length), 0);
        let body = bytes.get_mut(PIECE_HEADER_SIZE..).unwrap_or_default();
        let got = fill(&mut self.input, body).map_err(cannot_read)?;
        if got < body.len() {
            return Err(damaged("it is cut"));
        }
        if crc32fast::hash(body) != header.crc {
            return Err(damaged("the checksum of a piece does not match"));
        }
        self.position = self.position.saturating_add(bytes.len() as u64);
        Ok(Some(Piece {
            version: header.version,
            kind: header.kind,
            bytes,
        }))
    }
}

impl<R: Read> Iterator for IndexReader<R> {
    type Item = Result<IndexRecord>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_record().transpose()
    }
}

pub(super) fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::Index, format!("the index is damaged: {what}"))
}

fn cannot_read(error: io::Error) -> Error {
    Error::io("cannot read the index", error)
}
