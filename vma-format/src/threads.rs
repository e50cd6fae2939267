//! How many threads work at once.

/// How many threads a machine of this size gives to compression: one each processor, and no more
/// than keep memory within bounds.
#[must_use]
pub fn default_threads() -> usize {
    std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(16)
}
