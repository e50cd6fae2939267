//! How an archive is compressed.

use fleece_vma_format::container::FrameOptions;

/// How an archive is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// Not at all; the index lies beside the archive, as `<archive>.idx`.
    None,
    /// Independent zstd frames of this level, on all cores, with a seek table and the index inside;
    /// plain zstd to everyone else.
    Zstd(i32),
}

impl Compression {
    /// What follows `.vma.` in a file name.
    #[must_use]
    pub fn wrapper(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Zstd(_) => Some("zst"),
        }
    }

    pub(crate) fn format(self) -> fleece_vma_format::Compression {
        match self {
            Self::None => fleece_vma_format::Compression::None,
            Self::Zstd(level) => {
                fleece_vma_format::Compression::Zstd(FrameOptions::default().with_level(level))
            }
        }
    }
}
