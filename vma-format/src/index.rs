//! The index: what the archive format lacks. Checksums over payload, and where everything is.
//!
//! An index is a stream of pieces (`docs/INDEX.md` specifies it): a head that names the archive,
//! pieces with records of extents, and a tail with a digest over all before it. It is built while an
//! archive is written or from any archive afterwards, with memory for one piece. It lives in
//! `<archive>.idx`, or spread over skippable frames within a `.vma.zst`.
//!
//! Version 2 is written, and versions 1 and 2 are read.

mod algorithm;
mod builder;
mod checks;
mod digest;
mod parse;
mod reader;
mod sum;
#[cfg(test)]
#[allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "tests may panic"
)]
pub(crate) mod tests;

pub use builder::{IndexBuilder, write};
pub(crate) use checks::Checks;
pub use digest::ExtentDigest;
pub use reader::{IndexReader, IndexRecord};
pub(crate) use sum::Sum;

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

/// The magic in front of every piece that is written; the last character is the version.
const MAGIC: &[u8; 4] = b"VIX2";

/// The size of a piece's frame: magic, kind, padding, length and CRC-32 of the body.
const PIECE_HEADER_SIZE: usize = 16;

/// A piece of version 2 ends with the record that makes its records this long, in bytes: some 230 MiB of payload.
/// To check what is read at some place of an archive, a piece is read.
const FULL_PIECE_SIZE: usize = 60 * 1024;

/// How many extents go into one piece of version 2 at most. An extent without clusters, as padding has it,
/// needs one byte there, and a hundred in memory.
const MAX_PIECE_EXTENTS: u32 = 4096;

/// The largest body accepted, in bytes. 256 records of version 1 with 59 clusters each need 192 KiB.
const MAX_BODY_SIZE: usize = 256 * 1024;

/// Makes the checksums of an index that was changed right, as far as its pieces can be found.
#[cfg(feature = "full")]
pub(crate) fn mend(index: &mut [u8]) {
    let mut sum = algorithm::Algorithm::Blake3.hasher();
    let mut rest = index;
    while let Some((header, behind)) = rest.split_at_mut_checked(PIECE_HEADER_SIZE) {
        let length = header.get(8..12).and_then(|field| field.first_chunk::<4>());
        let length = length.map_or(0, |field| u32::from_be_bytes(*field) as usize);
        let Some((body, next)) = behind.split_at_mut_checked(length) else {
            return;
        };
        if header.get(4) == Some(&parse::kind::TAIL)
            && let Some(field) = body.get_mut(16..48)
        {
            field.copy_from_slice(&sum.digest());
        }
        let crc = crc32fast::hash(body).to_be_bytes();
        if let Some(field) = header.get_mut(12..16) {
            field.copy_from_slice(&crc);
        }
        sum.update(header);
        sum.update(body);
        rest = next;
    }
}

/// Parses the bodies of all kinds of pieces.
#[cfg(feature = "full")]
pub(crate) fn fuzz_pieces(body: &[u8]) {
    use algorithm::Algorithm::{Blake3, Sha256};
    use parse::Format;

    let _ = (parse::piece_header(body), parse::tail(body));
    for version in [parse::Version::One, parse::Version::Two] {
        let _ = parse::head(version, body);
    }
    for format in [Format::One, Format::Two(Sha256), Format::Two(Blake3)] {
        if let Some(extents) = parse::extents(format, body) {
            checks::fuzz(&extents);
        }
    }
}
