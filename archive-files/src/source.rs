//! The bytes of a disk, and parts of it that are disks themselves.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::bytes::{div, rem, size};
use crate::error::{Error, Result};

/// Bytes that can be read at any offset, from many threads at once: a disk, a partition, a logical volume.
pub trait Source: Send + Sync {
    /// Its size in bytes.
    fn size(&self) -> u64;

    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] behind the end, or whatever the system below says.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
}

/// A source that several users share.
pub type Shared = Arc<dyn Source>;

impl fmt::Debug for dyn Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("size", &self.size())
            .finish()
    }
}

impl Source for Vec<u8> {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let rest = self.get(size(offset)..).unwrap_or_default();
        let part = rest.get(..buffer.len());
        buffer.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

impl<T: Source + ?Sized> Source for Arc<T> {
    fn size(&self) -> u64 {
        (**self).size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        (**self).read_at(offset, buffer)
    }
}

#[cfg(unix)]
impl Source for std::fs::File {
    /// The length of the file; 0 if it cannot be told.
    fn size(&self) -> u64 {
        io::Seek::seek(&mut &*self, io::SeekFrom::End(0)).unwrap_or_default()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, buffer, offset)
    }
}

/// So many bytes from an offset on, which no structure on a disk has more of.
pub(crate) fn bytes_at(source: &dyn Source, offset: u64, len: u64) -> Result<Vec<u8>> {
    /// The largest structure that is read as a whole: a node of btrfs, a block of XFS's directories and a cluster of
    /// NTFS's have at most 64 KiB, one of FAT 32 MiB in exFAT.
    const MAX: u64 = 32 << 20;
    let end = offset.checked_add(len);
    if len > MAX || end.is_none_or(|end| end > source.size()) {
        return Err(Error::damaged(format!(
            "{len} bytes at {offset} are not on this volume of {} bytes",
            source.size()
        )));
    }
    let mut bytes = vec![0; size(len)];
    source.read_at(offset, &mut bytes)?;
    Ok(bytes)
}

/// A volume that consists of pieces of others, one behind another.
#[derive(Debug)]
pub(crate) struct Pieces {
    /// By their place in the volume, without gaps.
    pieces: Vec<Piece>,
    size: u64,
}

/// A piece of a volume.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    pub(crate) len: u64,
    pub(crate) of: Of,
}

/// Where the bytes of a piece are.
#[derive(Debug, Clone)]
pub(crate) enum Of {
    /// In a source, from an offset on.
    Source(Shared, u64),
    /// Turn by turn in several of them, from an offset in each on, so many bytes in each.
    Stripes(Vec<(Shared, u64)>, u64),
    /// Nowhere: zeroes.
    Zero,
}

impl Pieces {
    pub(crate) fn new(pieces: Vec<Piece>) -> Self {
        let size = pieces
            .iter()
            .fold(0_u64, |size, piece| size.saturating_add(piece.len));
        Self { pieces, size }
    }

    /// A part of a source, as far as that goes.
    pub(crate) fn part(source: &Shared, offset: u64, len: u64) -> Shared {
        let len = len.min(source.size().saturating_sub(offset));
        let of = Of::Source(Arc::clone(source), offset);
        Arc::new(Self::new(vec![Piece { len, of }]))
    }
}

impl Source for Pieces {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (mut start, mut at, mut rest) = (0_u64, offset, buffer);
        for piece in &self.pieces {
            let within = at.saturating_sub(start);
            start = start.saturating_add(piece.len);
            if at >= start || rest.is_empty() {
                continue;
            }
            let len = size(start.saturating_sub(at)).min(rest.len());
            let (now, later) = rest.split_at_mut(len);
            piece.read_at(within, now)?;
            at = at.saturating_add(len as u64);
            rest = later;
        }
        Ok(())
    }
}

impl Piece {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        match &self.of {
            Of::Zero => {
                buffer.fill(0);
                Ok(())
            }
            Of::Source(source, start) => source.read_at(start.saturating_add(offset), buffer),
            Of::Stripes(stripes, width) => striped(stripes, (*width).max(1), offset, buffer),
        }
    }
}

fn striped(
    stripes: &[(Shared, u64)],
    width: u64,
    offset: u64,
    buffer: &mut [u8],
) -> io::Result<()> {
    let (mut at, mut rest) = (offset, buffer);
    let count = (stripes.len() as u64).max(1);
    while !rest.is_empty() {
        let (row, within) = (div(at, width), rem(at, width));
        let (stripe, turn) = (rem(row, count), div(row, count));
        let len = size(width.saturating_sub(within)).min(rest.len());
        let (now, later) = rest.split_at_mut(len);
        let (source, start) = stripes
            .get(size(stripe))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        let place = start
            .saturating_add(turn.saturating_mul(width))
            .saturating_add(within);
        source.read_at(place, now)?;
        at = at.saturating_add(len as u64);
        rest = later;
    }
    Ok(())
}

#[cfg(test)]
#[allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a test may panic"
)]
mod tests {
    use super::*;

    fn disk(start: u8, len: usize) -> Shared {
        Arc::new(
            (0..len)
                .map(|place| start + place as u8)
                .collect::<Vec<_>>(),
        )
    }

    fn all(pieces: Vec<Piece>) -> Vec<u8> {
        let pieces = Pieces::new(pieces);
        let mut whole = vec![0; size(pieces.size())];
        pieces.read_at(0, &mut whole).unwrap();
        // In pieces of every length it is the same.
        for len in 1..whole.len() {
            let mut part = vec![0; len];
            for at in 0..=whole.len() - len {
                pieces.read_at(at as u64, &mut part).unwrap();
                assert_eq!(part, &whole[at..at + len]);
            }
        }
        assert!(pieces.read_at(1, &mut vec![0; whole.len()]).is_err());
        whole
    }

    #[test]
    fn pieces_follow_one_another() {
        let (a, b) = (disk(0, 10), disk(100, 10));
        let piece = |len, of| Piece { len, of };
        let whole = all(vec![
            piece(3, Of::Source(a, 5)),
            piece(2, Of::Zero),
            piece(2, Of::Source(b, 0)),
        ]);
        assert_eq!(whole, [5, 6, 7, 0, 0, 100, 101]);
    }

    #[test]
    fn stripes_take_turns() {
        let stripes = vec![(disk(0, 10), 1), (disk(100, 10), 2)];
        let of = Of::Stripes(stripes, 2);
        let whole = all(vec![Piece { len: 8, of }]);
        assert_eq!(whole, [1, 2, 102, 103, 3, 4, 104, 105]);
    }
}
