//! How a range is made to read as zeroes.

/// How a range is made to read as zeroes (proto.md, `NBD_CMD_WRITE_ZEROES`). By default its space may be given
/// back, and it may take as long as writing zeroes does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Zeroing {
    /// The range has to stay allocated (`NBD_CMD_FLAG_NO_HOLE`).
    pub keep_allocated: bool,
    /// Fail rather than be as slow as writing zeroes (`NBD_CMD_FLAG_FAST_ZERO`).
    pub only_if_fast: bool,
}

impl Zeroing {
    /// Sets whether the range has to stay allocated.
    #[must_use]
    pub fn with_keep_allocated(self, keep_allocated: bool) -> Self {
        Self {
            keep_allocated,
            ..self
        }
    }

    /// Sets whether a slow way is refused.
    #[must_use]
    pub fn with_only_if_fast(self, only_if_fast: bool) -> Self {
        Self {
            only_if_fast,
            ..self
        }
    }
}
