//! The digests that an index may use.

use sha2::{Digest as _, Sha256};

/// How the checksums of an index of version 2 are computed; the number of each stands in its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Sha256,
    /// What is written: on one processor several times as fast.
    Blake3,
}

impl Algorithm {
    /// The one of new indexes.
    pub(super) const CURRENT: Self = Self::Blake3;

    pub(super) const fn number(self) -> u8 {
        match self {
            Self::Sha256 => 1,
            Self::Blake3 => 2,
        }
    }

    pub(super) const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Sha256),
            2 => Some(Self::Blake3),
            _ => None,
        }
    }

    pub(super) fn digest(self, bytes: &[u8]) -> [u8; 32] {
        match self {
            Self::Sha256 => Sha256::digest(bytes).into(),
            Self::Blake3 => blake3::hash(bytes).into(),
        }
    }

    /// The digest of one cluster's stored blocks: the first 16 bytes. To find other blocks with the same takes
    /// 2^128 attempts, which is enough for a leaf that is not signed anyway; 32 bytes would double the index.
    pub(super) fn leaf(self, blocks: &[u8]) -> [u8; 16] {
        let digest = self.digest(blocks);
        digest.first_chunk().copied().unwrap_or_default()
    }

    pub(super) fn hasher(self) -> Hasher {
        match self {
            Self::Sha256 => Hasher::Sha256(Sha256::new()),
            Self::Blake3 => Hasher::Blake3(Box::default()),
        }
    }
}

/// A digest in the making.
#[derive(Debug, Clone)]
pub(super) enum Hasher {
    Sha256(Sha256),
    Blake3(Box<blake3::Hasher>),
}

impl Hasher {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(sum) => sum.update(bytes),
            Self::Blake3(sum) => {
                sum.update(bytes);
            }
        }
    }

    pub(super) fn digest(&self) -> [u8; 32] {
        match self {
            Self::Sha256(sum) => sum.clone().finalize().into(),
            Self::Blake3(sum) => sum.finalize().into(),
        }
    }
}
