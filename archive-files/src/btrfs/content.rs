//! What files consist of: extents, which may be compressed, and small files in their item.

use super::Btrfs;
use crate::bytes::{Fields, size};
use crate::error::{Error, Result};

/// The type of their items.
pub(super) const EXTENT: u8 = 108;

/// The longest extent that is compressed: btrfs makes them of 128 KiB; a node of 64 KiB has smaller ones.
const MAX_COMPRESSED: u64 = 1 << 20;

/// Of so many bytes LZO compresses each by itself, whatever pages have.
const LZO_LEN: usize = 4096;

/// Some bytes of a file.
#[derive(Debug)]
pub(super) struct Extent {
    /// Where they are in the file.
    pub(super) start: u64,
    pub(super) len: u64,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Hole,
    Inline(Vec<u8>),
    At {
        address: u64,
        stored: u64,
        /// What is before these bytes in the extent.
        before: u64,
        plain: u64,
        compression: u8,
    },
}

impl Extent {
    pub(super) fn parse(start: u64, raw: &[u8]) -> Result<Self> {
        let (plain, compression) = (raw.le64(8)?, raw.byte(16)?);
        if raw.le16(17)? != 0 {
            return Err(Error::unsupported("it is encrypted by the file system"));
        }
        if raw.byte(20)? == 0 {
            let content = raw.get(21..).unwrap_or_default();
            let content = match compression {
                0 => content.to_vec(),
                kind => decompress(kind, content, plain)?,
            };
            return Ok(Self {
                start,
                len: content.len() as u64,
                place: Place::Inline(content),
            });
        }
        let address = raw.le64(21)?;
        let place = match (raw.byte(20)?, address) {
            // Room for what has not been written.
            (2, _) | (_, 0) => Place::Hole,
            _ => Place::At {
                address,
                stored: raw.le64(29)?,
                before: raw.le64(37)?,
                plain,
                compression,
            },
        };
        Ok(Self {
            start,
            len: raw.le64(45)?,
            place,
        })
    }

    pub(super) const fn is_stored(&self) -> bool {
        !matches!(self.place, Place::Hole)
    }

    /// Puts what it has into a buffer that begins at an offset of the file.
    pub(super) fn read(&self, tree: &Btrfs, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let end = offset.saturating_add(buffer.len() as u64);
        let from = self.start.max(offset);
        let to = self.start.saturating_add(self.len).min(end);
        if from >= to {
            return Ok(());
        }
        let within = from.saturating_sub(self.start);
        let range = size(from.saturating_sub(offset))..size(to.saturating_sub(offset));
        let part = buffer.get_mut(range).unwrap_or_default();
        match &self.place {
            Place::Hole => {
                part.fill(0);
                Ok(())
            }
            Place::Inline(content) => put(content, within, part),
            Place::At {
                address,
                before,
                compression: 0,
                ..
            } => {
                let address = address.saturating_add(*before).saturating_add(within);
                tree.volume.read(address, part)
            }
            Place::At {
                address,
                stored,
                before,
                plain,
                compression,
            } => {
                let content = tree.plain.get(*address, || {
                    if *stored > MAX_COMPRESSED {
                        return Err(Error::damaged("a compressed extent is too long"));
                    }
                    let packed = tree.volume.bytes(*address, *stored)?;
                    decompress(*compression, &packed, *plain)
                })?;
                put(&content, before.saturating_add(within), part)
            }
        }
    }
}

fn put(content: &[u8], from: u64, into: &mut [u8]) -> Result<()> {
    let rest = content.get(size(from)..).unwrap_or_default();
    let part = rest.get(..into.len());
    let part = part.ok_or_else(|| Error::damaged("an extent is shorter than it says"))?;
    into.copy_from_slice(part);
    Ok(())
}

/// What so many bytes were before they were compressed.
fn decompress(kind: u8, packed: &[u8], len: u64) -> Result<Vec<u8>> {
    if len > MAX_COMPRESSED {
        return Err(Error::damaged("a compressed extent is too long"));
    }
    let mut plain = vec![0; size(len)];
    let failed = |_| Error::damaged("a compressed extent cannot be decompressed");
    let mut fill = |from: &mut dyn std::io::Read| -> std::io::Result<()> {
        let mut rest = plain.as_mut_slice();
        while !rest.is_empty() {
            match from.read(rest)? {
                0 => break,
                got => rest = rest.get_mut(got..).unwrap_or_default(),
            }
        }
        Ok(())
    };
    match kind {
        1 => fill(&mut flate2::read::ZlibDecoder::new(packed)).map_err(failed)?,
        2 => lzo(packed, &mut plain)?,
        3 => {
            let decoder = zstd::stream::read::Decoder::with_buffer(packed).map_err(failed)?;
            fill(&mut decoder.single_frame()).map_err(failed)?;
        }
        kind => {
            return Err(Error::unsupported(format!(
                "it is compressed in a way that is not read: {kind}"
            )));
        }
    }
    Ok(plain)
}

/// The length of all, then pieces with their lengths, none of which are split between two pages.
fn lzo(packed: &[u8], plain: &mut [u8]) -> Result<()> {
    let end = size(u64::from(packed.le32(0)?)).min(packed.len());
    let mut at = 4_usize;
    for piece in plain.chunks_mut(LZO_LEN) {
        let left = LZO_LEN.saturating_sub(at & (LZO_LEN - 1));
        if left < 4 {
            at = at.saturating_add(left);
        }
        if at.saturating_add(4) > end {
            // What follows is zeroes.
            break;
        }
        let len = size(u64::from(packed.le32(at)?));
        let raw = packed.part(at.saturating_add(4), len)?;
        lzokay::decompress::decompress(raw, piece)
            .map_err(|_| Error::damaged("a compressed extent cannot be decompressed"))?;
        at = at.saturating_add(4).saturating_add(len);
    }
    Ok(())
}
