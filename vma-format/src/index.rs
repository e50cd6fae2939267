//! The index: what the archive format lacks. Checksums over payload, and where everything is.
//!
//! An index is a stream of pieces (`docs/INDEX.md` specifies it): a head that names the archive,
//! pieces with records of up to 256 extents, and a tail with a SHA-256 over all before it. It is
//! built while an archive is written or from any archive afterwards, with memory for one piece.
//! It lives in `<archive>.idx`, or spread over skippable frames within a `.vma.zst`.

mod digest;
mod parse;
mod reader;
#[cfg(test)]
#[allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "tests may panic"
)]
pub(crate) mod tests;

pub use digest::ExtentDigest;
pub use reader::{IndexReader, IndexRecord};

use sha2::{Digest, Sha256};

use crate::header::Header;

/// The magic of the skippable zstd frames in which an index lies inside a `.vma.zst`.
pub const INDEX_FRAME_MAGIC: u32 = 0x184D_2A56;

/// The ending of the file beside an archive that holds its index.
pub const EXTENSION: &str = "idx";

/// The file beside `archive` in which its index lies, if there is one.
#[must_use]
pub fn beside(archive: &std::path::Path) -> std::path::PathBuf {
    let mut name = archive.as_os_str().to_owned();
    name.push(".");
    name.push(EXTENSION);
    name.into()
}

/// The magic in front of every piece; the last character is the version.
const MAGIC: &[u8; 4] = b"VIX1";

/// The size of a piece's frame: magic, kind, padding, length and CRC-32 of the body.
const PIECE_HEADER_SIZE: usize = 16;

/// How many extents go into one piece.
const PIECE_EXTENTS: u32 = 256;

/// The largest body accepted, in bytes: 256 records of extents with 59 clusters each need 192 KiB.
const MAX_BODY_SIZE: usize = 256 * 1024;

/// What a piece holds.
mod kind {
    pub(super) const HEAD: u8 = b'H';
    pub(super) const EXTENTS: u8 = b'E';
    pub(super) const TAIL: u8 = b'T';
}

/// Parses the bodies of all kinds of pieces.
#[cfg(feature = "full")]
pub(crate) fn fuzz_pieces(body: &[u8]) {
    let _ = (
        parse::piece_header(body),
        parse::head(body),
        parse::tail(body),
    );
    let _ = parse::extents(body);
}

/// Builds an index while an archive is written, without any I/O.
///
/// The concatenation of all that its functions return is the index.
#[derive(Debug)]
pub struct IndexBuilder {
    /// Over all pieces so far.
    sum: Sha256,
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
        let mut body = header.uuid().to_vec();
        body.extend_from_slice(&header.size().to_be_bytes());
        body.extend_from_slice(&Sha256::digest(header.as_bytes()));
        let mut builder = Self {
            sum: Sha256::new(),
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
    pub fn extent(&mut self, digest: &ExtentDigest) -> Option<Vec<u8>> {
        digest.encode(&mut self.records);
        self.count = self.count.saturating_add(1);
        self.extents = self.extents.saturating_add(1);
        self.offset = self.offset.saturating_add(u64::from(digest.length()));
        (self.count >= PIECE_EXTENTS).then(|| self.extents_piece())
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
        body.extend_from_slice(&self.sum.clone().finalize());
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
