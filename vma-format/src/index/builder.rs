//! Building an index while an archive is written.

use std::io::{Read, Write};

use super::algorithm::{Algorithm, Hasher};
use super::digest::ExtentDigest;
use super::parse::kind;
use super::{FULL_PIECE_SIZE, MAGIC, MAX_PIECE_EXTENTS, PIECE_HEADER_SIZE};
use crate::error::{Error, ErrorKind, Result};
use crate::header::Header;
use crate::reader::Reader;

/// Builds an index while an archive is written, without any I/O.
///
/// The concatenation of all that its functions return is the index.
#[derive(Debug)]
pub struct IndexBuilder {
    algorithm: Algorithm,
    /// Over all pieces so far.
    sum: Hasher,
    /// How many extents have come, and where the next one begins.
    extents: u64,
    offset: u64,
    /// Records of the piece that is being filled.
    records: Vec<u8>,
    count: u32,
    /// Number and offset of the first extent in it.
    first: (u64, u64),
}

impl IndexBuilder {
    /// Begins the index of the archive with this header. The bytes are the first piece.
    #[must_use]
    pub fn new(header: &Header) -> (Self, Vec<u8>) {
        Self::with(Algorithm::CURRENT, header)
    }

    pub(super) fn with(algorithm: Algorithm, header: &Header) -> (Self, Vec<u8>) {
        let mut body = header.uuid().to_vec();
        body.extend_from_slice(&header.size().to_be_bytes());
        body.extend_from_slice(&[algorithm.number(), 0, 0, 0]);
        body.extend_from_slice(&algorithm.digest(header.as_bytes()));
        let mut builder = Self {
            algorithm,
            sum: algorithm.hasher(),
            extents: 0,
            offset: header.size(),
            records: Vec::new(),
            count: 0,
            first: (0, header.size()),
        };
        let piece = builder.piece(kind::HEAD, &body);
        (builder, piece)
    }

    /// Adds the archive's next extent; gives a piece whenever one is full.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for a digest that was read from an index of another version.
    pub fn extent(&mut self, digest: &ExtentDigest) -> Result<Option<Vec<u8>>> {
        let encoded = digest.encode(self.algorithm, &mut self.records);
        encoded.ok_or_else(|| {
            let detail = "a new index takes no checksums of another kind";
            Error::new(ErrorKind::Unsupported, detail)
        })?;
        self.count = self.count.saturating_add(1);
        self.extents = self.extents.saturating_add(1);
        self.offset = self.offset.saturating_add(u64::from(digest.length()));
        let full = self.records.len() >= FULL_PIECE_SIZE || self.count >= MAX_PIECE_EXTENTS;
        Ok(full.then(|| self.extents_piece()))
    }

    /// The rest of the index.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        let mut out = if self.count > 0 {
            self.extents_piece()
        } else {
            Vec::new()
        };
        let mut body = self.extents.to_be_bytes().to_vec();
        body.extend_from_slice(&self.offset.to_be_bytes());
        body.extend_from_slice(&self.sum.digest());
        out.extend(self.piece(kind::TAIL, &body));
        out
    }

    fn extents_piece(&mut self) -> Vec<u8> {
        let (number, offset) = self.first;
        let mut body = number.to_be_bytes().to_vec();
        body.extend_from_slice(&offset.to_be_bytes());
        body.extend_from_slice(&self.count.to_be_bytes());
        body.append(&mut self.records);
        self.first = (self.extents, self.offset);
        self.count = 0;
        self.piece(kind::EXTENTS, &body)
    }

    fn piece(&mut self, kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        let mut piece = Vec::with_capacity(body.len().saturating_add(PIECE_HEADER_SIZE));
        piece.extend_from_slice(MAGIC);
        piece.extend_from_slice(&[kind, 0, 0, 0]);
        piece.extend_from_slice(&length.to_be_bytes());
        piece.extend_from_slice(&crc32fast::hash(body).to_be_bytes());
        piece.extend_from_slice(body);
        self.sum.update(&piece);
        piece
    }
}

/// Reads an archive to its end and writes its index.
///
/// # Errors
/// Those of the archive; [`ErrorKind::Io`] of `out`.
pub fn write<R: Read>(reader: &mut Reader<R>, mut out: impl Write) -> Result<()> {
    let failed = |error| Error::io("cannot write the index", error);
    let (mut builder, head) = IndexBuilder::new(reader.header());
    out.write_all(&head).map_err(failed)?;
    while let Some(extent) = reader.next_extent()? {
        if let Some(piece) = builder.extent(&ExtentDigest::of(&extent))? {
            out.write_all(&piece).map_err(failed)?;
        }
        reader.recycle(extent);
    }
    out.write_all(&builder.finish())
        .and_then(|()| out.flush())
        .map_err(failed)
}
