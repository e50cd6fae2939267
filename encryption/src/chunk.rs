//! How a payload is cut into chunks (C2SP age, "Payload").

/// Bytes of plain text in each chunk but the last.
pub(crate) const CHUNK: usize = 64 << 10;
/// What authenticates a chunk.
pub(crate) const TAG: usize = 16;
/// A chunk as it is stored.
pub(crate) const SEALED: usize = CHUNK + TAG;
/// What the payload begins with.
pub(crate) const NONCE: usize = 16;

/// How many chunks are encrypted or decrypted at a time: 1 MiB, which is as much as zstd frames and reads have.
pub(crate) const BATCH: usize = 16;

/// How the chunks of a whole payload lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// There is always one.
    pub(crate) chunks: u64,
    /// The plain text of the last one, in bytes.
    pub(crate) last: usize,
}

impl Layout {
    /// The layout of so many bytes behind the nonce; `None` if no payload has that size.
    pub(crate) fn of(sealed: u64) -> Option<Self> {
        let chunks = sealed.div_ceil(SEALED as u64);
        let before = chunks.checked_sub(1)?;
        let last = sealed.checked_sub(before.checked_mul(SEALED as u64)?)?;
        let last = usize::try_from(last).ok()?.checked_sub(TAG)?;
        // The last chunk is empty only where there is nothing at all.
        (last > 0 || before == 0).then_some(Self { chunks, last })
    }

    /// The bytes of plain text.
    pub(crate) fn plain(self) -> u64 {
        let before = self.chunks.saturating_sub(1);
        before
            .saturating_mul(CHUNK as u64)
            .saturating_add(self.last as u64)
    }

    /// Whether a chunk is the last one.
    pub(crate) fn is_last(self, chunk: u64) -> bool {
        chunk.checked_add(1) == Some(self.chunks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_no_payload_has_are_none() {
        let sealed = SEALED as u64;
        for impossible in [0, 1, 15, sealed + 1, sealed + 16, 3 * sealed + 16] {
            assert_eq!(Layout::of(impossible), None, "{impossible}");
        }
        for (size, plain) in [
            (16, 0),
            (17, 1),
            (sealed, 65536),
            (sealed + 17, 65537),
            (2 * sealed, 131_072),
        ] {
            assert_eq!(Layout::of(size).map(Layout::plain), Some(plain), "{size}");
        }
    }
}
