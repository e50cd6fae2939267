//! Sizes that a server asks its clients to keep to.

use crate::protocol::DEFAULT_MAX_PAYLOAD;

/// Longest range of a request that carries no data: what 32 bits hold, less what makes it a multiple of every
/// minimum block size.
pub(crate) const MAX_LENGTH: u64 = (1 << 32) - BlockSizes::MAX_MINIMUM as u64;

/// What a server says about the sizes of requests (proto.md, section "Block size constraints").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlockSizes {
    /// Offsets and lengths must be multiples of this many bytes; a power of two.
    pub minimum: u32,
    /// Requests of multiples of this many bytes are efficient; a power of two.
    pub preferred: u32,
    /// Most bytes in one read or write.
    pub max_payload: u32,
}

impl Default for BlockSizes {
    /// What holds for a server that does not say.
    fn default() -> Self {
        Self {
            minimum: 1,
            preferred: 4096,
            max_payload: DEFAULT_MAX_PAYLOAD,
        }
    }
}

impl BlockSizes {
    /// Largest minimum that a server may ask for (proto.md, section "Block size constraints").
    const MAX_MINIMUM: u32 = 64 << 10;

    /// Sizes that the protocol allows, or `None`: minimum and preferred size are powers of two,
    /// the minimum is at most 64 KiB, and the others are not below it.
    pub fn new(minimum: u32, preferred: u32, max_payload: u32) -> Option<Self> {
        let sound = minimum.is_power_of_two()
            && minimum <= Self::MAX_MINIMUM
            && preferred.is_power_of_two()
            && preferred >= minimum
            && max_payload >= minimum;
        sound.then_some(Self {
            minimum,
            preferred,
            max_payload,
        })
    }

    /// Bytes of the largest read or write of at most `limit` bytes that the server takes.
    pub(crate) fn largest(self, limit: usize) -> usize {
        let most = limit.min(self.max_payload as usize);
        let beyond = most.checked_rem(self.minimum as usize).unwrap_or(0);
        most.saturating_sub(beyond)
    }
}
