//! Block status.

/// A stretch of the export that is all data or all hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Extent {
    /// Bytes.
    pub length: u64,
    /// Not allocated (`NBD_STATE_HOLE`).
    pub hole: bool,
    /// Reads as zeroes (`NBD_STATE_ZERO`).
    pub zero: bool,
}

impl Extent {
    /// A stretch that holds data, as far as is known.
    pub const fn data(length: u64) -> Self {
        Self {
            length,
            hole: false,
            zero: false,
        }
    }

    /// A stretch that is not allocated and reads as zeroes.
    pub const fn hole(length: u64) -> Self {
        Self {
            length,
            hole: true,
            zero: true,
        }
    }

    /// A stretch that is allocated and reads as zeroes.
    pub const fn zeroes(length: u64) -> Self {
        Self {
            length,
            hole: false,
            zero: true,
        }
    }
}
