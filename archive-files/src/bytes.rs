//! Numbers in the structures of a disk. What is not there is damage.

use crate::error::{Error, Result};

/// Fields by their offset.
pub(crate) trait Fields {
    /// So many bytes from an offset on.
    fn part(&self, at: usize, len: usize) -> Result<&[u8]>;

    fn array<const N: usize>(&self, at: usize) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.part(at, N)?);
        Ok(array)
    }

    fn byte(&self, at: usize) -> Result<u8> {
        Ok(u8::from_le_bytes(self.array(at)?))
    }

    fn le16(&self, at: usize) -> Result<u16> {
        Ok(u16::from_le_bytes(self.array(at)?))
    }

    fn le32(&self, at: usize) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array(at)?))
    }

    fn le64(&self, at: usize) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array(at)?))
    }

    fn be16(&self, at: usize) -> Result<u16> {
        Ok(u16::from_be_bytes(self.array(at)?))
    }

    fn be32(&self, at: usize) -> Result<u32> {
        Ok(u32::from_be_bytes(self.array(at)?))
    }

    fn be64(&self, at: usize) -> Result<u64> {
        Ok(u64::from_be_bytes(self.array(at)?))
    }
}

impl Fields for [u8] {
    fn part(&self, at: usize, len: usize) -> Result<&[u8]> {
        at.checked_add(len)
            .and_then(|end| self.get(at..end))
            .ok_or_else(|| Error::damaged("a structure on the disk is cut off"))
    }
}

/// A number of bytes in memory; one that no memory has if it is too large.
pub(crate) fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The low 16 bits.
pub(crate) fn low16(number: u32) -> u16 {
    u16::try_from(number & 0xffff).unwrap_or_default()
}

/// A quotient; 0 for a divisor of 0.
pub(crate) fn div(number: u64, by: u64) -> u64 {
    number.checked_div(by).unwrap_or_default()
}

/// A remainder; 0 for a divisor of 0.
pub(crate) fn rem(number: u64, by: u64) -> u64 {
    number.checked_rem(by).unwrap_or_default()
}

/// Text with a fixed room that ends at the first NUL.
pub(crate) fn text(bytes: &[u8]) -> Vec<u8> {
    let end = bytes.iter().position(|byte| *byte == 0);
    bytes
        .get(..end.unwrap_or(bytes.len()))
        .unwrap_or(bytes)
        .to_vec()
}

/// UTF-16 as UTF-8; what is half a pair becomes the three bytes that its number would have (WTF-8), so that no two
/// names become one.
pub(crate) fn utf16(units: impl Iterator<Item = u16>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for unit in char::decode_utf16(units) {
        match unit {
            Ok(character) => {
                bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            Err(half) => {
                let half = half.unpaired_surrogate();
                for part in [
                    0xe0 | (half >> 12),
                    0x80 | ((half >> 6) & 0x3f),
                    0x80 | (half & 0x3f),
                ] {
                    bytes.extend(u8::try_from(part));
                }
            }
        }
    }
    bytes
}

/// The units of little-endian UTF-16.
pub(crate) fn units(bytes: &[u8]) -> impl Iterator<Item = u16> + '_ {
    let (pairs, _) = bytes.as_chunks::<2>();
    pairs.iter().map(|pair| u16::from_le_bytes(*pair))
}

/// A UUID as people write it, from bytes in the order in which it is written.
pub(crate) fn uuid(bytes: [u8; 16]) -> String {
    let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default().concat();
    [0..4, 4..6, 6..8, 8..10, 10..16].map(part).join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_pair_is_no_other_name() {
        assert_eq!(utf16([0x61, 0xd800, 0x62].into_iter()), b"a\xed\xa0\x80b");
        assert_eq!(utf16([0xd83d, 0xde00].into_iter()), "😀".as_bytes());
    }

    #[test]
    fn identifiers_are_written_as_everywhere() {
        let bytes = *b"\xc1\x2a\x73\x28\xf8\x1f\x11\xd2\xba\x4b\x00\xa0\xc9\x3e\xc9\x3b";
        assert_eq!(uuid(bytes), "c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
    }
}
