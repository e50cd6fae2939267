//! Memory that `O_DIRECT` accepts: aligned to a page.

/// One block of the guest's disks, in bytes; also the alignment of both types here.
pub const BLOCK_SIZE: usize = 4096;

/// A page-aligned block.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[repr(align(4096))]
pub struct Block(
    /// The bytes.
    pub [u8; BLOCK_SIZE],
);

impl Block {
    /// A block of zeros.
    pub const fn zeroed() -> Self {
        Self([0; BLOCK_SIZE])
    }
}

/// The longest request that the writer makes, in bytes.
pub const BUFFER_SIZE: usize = 1 << 20;

/// A page-aligned buffer for requests of many blocks.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[repr(align(4096))]
pub struct Buffer(
    /// The bytes.
    pub [u8; BUFFER_SIZE],
);

impl Buffer {
    /// A buffer full of `byte`.
    pub fn filled(byte: u8) -> Box<Self> {
        Box::new(Self([byte; BUFFER_SIZE]))
    }
}
