//! What an index knows about one extent.

use sha2::{Digest as _, Sha256};

use super::algorithm::Algorithm;
use super::sum::Sum;
use crate::extent::run::{Run, runs};
use crate::extent::{Cluster, ClusterEntry, Extent, Stored};

/// Length, checksums and clusters of one extent. Computing it is the expensive part of an index
/// and can be done on any thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtentDigest {
    pub(super) length: u32,
    pub(super) runs: Vec<Run>,
    pub(super) sums: Sums,
}

/// The checksums of an extent: one for each cluster with payload, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sums {
    /// Of version 1, with a SHA-256 over the whole extent.
    Crcs([u8; 32], Vec<u32>),
    /// Of version 2.
    Leaves(Algorithm, Vec<[u8; 16]>),
}

impl ExtentDigest {
    /// Computes the checksums of an extent, but for those of clusters that are taken from elsewhere: they are known.
    #[must_use]
    pub fn of(extent: &Extent) -> Self {
        Self::with(Algorithm::CURRENT, extent)
    }

    pub(super) fn with(algorithm: Algorithm, extent: &Extent) -> Self {
        let leaf = |stored: Stored<'_>| match stored {
            Stored::Here(blocks) => Some(algorithm.leaf(blocks)),
            Stored::Known(known) => match known.sum {
                Sum::Leaf(other, leaf) if other == algorithm => Some(leaf),
                // No index of this kind takes so few.
                _ => None,
            },
        };
        let leaves = extent.stored().map_while(|(_, stored)| leaf(stored));
        Self {
            length: u32::try_from(extent.size()).unwrap_or(u32::MAX),
            runs: runs(extent.header().entries()).collect(),
            sums: Sums::Leaves(algorithm, leaves.collect()),
        }
    }

    /// The extent's size in the archive, in bytes.
    #[must_use]
    pub const fn length(&self) -> u32 {
        self.length
    }

    /// Its clusters, in the order of their payload.
    #[must_use]
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// The checksums of those that have payload, in order.
    pub(crate) fn sums(&self) -> impl Iterator<Item = Sum> + '_ {
        let (crcs, leaves) = match &self.sums {
            Sums::Crcs(_, crcs) => (&crcs[..], None),
            Sums::Leaves(algorithm, leaves) => (&[][..], Some((*algorithm, leaves))),
        };
        let leaves = leaves.into_iter().flat_map(|(algorithm, leaves)| {
            let leaf = move |leaf: &[u8; 16]| Sum::Leaf(algorithm, *leaf);
            leaves.iter().map(leaf)
        });
        crcs.iter().copied().map(Sum::Crc).chain(leaves)
    }

    /// The clusters of `extent`, which should be this one, whose payload is not what it was: all of
    /// them, if they are others.
    pub fn damaged<'a>(&'a self, extent: &'a Extent) -> impl Iterator<Item = ClusterEntry> + 'a {
        let same = self.has_clusters_of(extent);
        let mut sums = self.sums();
        let changed = move |cluster: &Cluster<'_>| {
            let fits = |sum: Sum| sum.fits(cluster.blocks());
            !same || !cluster.is_zero() && !sums.next().is_some_and(fits)
        };
        extent
            .clusters()
            .filter(changed)
            .map(|cluster| cluster.entry())
    }

    /// Whether `extent` has the same blocks of the same clusters in the same order.
    #[must_use]
    pub fn has_clusters_of(&self, extent: &Extent) -> bool {
        runs(extent.header().entries()).eq(self.runs.iter().copied())
    }

    /// Whether `extent` is what this was computed from: the same clusters with the same payload.
    #[must_use]
    pub fn fits(&self, extent: &Extent) -> bool {
        match &self.sums {
            Sums::Crcs(sha256, _) => Sha256::digest(extent.as_bytes())[..] == *sha256,
            Sums::Leaves(..) => {
                self.has_clusters_of(extent) && self.damaged(extent).next().is_none()
            }
        }
    }

    /// As a record of version 2 with checksums of this kind; `None` if it has others.
    pub(super) fn encode(&self, wanted: Algorithm, out: &mut Vec<u8>) -> Option<()> {
        let leaves = match &self.sums {
            Sums::Leaves(algorithm, leaves) if *algorithm == wanted => leaves,
            _ => return None,
        };
        let stored = self.runs.iter().filter(|run| run.mask != 0);
        if stored.map(Run::count).sum::<u64>() != leaves.len() as u64 {
            return None;
        }
        out.push(u8::try_from(self.runs.len()).unwrap_or(u8::MAX));
        for run in &self.runs {
            out.extend_from_slice(&[run.device.get(), run.count]);
            out.extend_from_slice(&run.mask.to_be_bytes());
            out.extend_from_slice(&run.first.to_be_bytes());
        }
        leaves.iter().for_each(|leaf| out.extend_from_slice(leaf));
        Some(())
    }
}
