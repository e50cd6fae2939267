//! What an index knows about one extent.

use sha2::{Digest, Sha256};

use crate::extent::run::{Run, runs};
use crate::extent::{Cluster, ClusterEntry, Extent};

/// Length, checksums and clusters of one extent. Computing it is the expensive part of an index
/// and can be done on any thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtentDigest {
    pub(super) length: u32,
    pub(super) sha256: [u8; 32],
    pub(super) runs: Vec<Run>,
    pub(super) crcs: Vec<u32>,
}

impl ExtentDigest {
    /// Computes the checksums of an extent.
    #[must_use]
    pub fn of(extent: &Extent) -> Self {
        let stored = extent.clusters().filter(|cluster| !cluster.is_zero());
        Self {
            length: u32::try_from(extent.as_bytes().len()).unwrap_or(u32::MAX),
            sha256: Sha256::digest(extent.as_bytes()).into(),
            runs: runs(extent.header().entries()),
            crcs: stored
                .map(|cluster| crc32fast::hash(cluster.blocks()))
                .collect(),
        }
    }

    /// The extent's size in the archive, in bytes.
    #[must_use]
    pub const fn length(&self) -> u32 {
        self.length
    }

    /// SHA-256 over the whole extent, header and payload.
    #[must_use]
    pub const fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// Its clusters, in the order of their payload.
    #[must_use]
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// CRC-32 (IEEE) over the stored blocks of each cluster that has any, in order.
    #[must_use]
    pub fn crcs(&self) -> &[u32] {
        &self.crcs
    }

    /// The clusters of `extent`, which should be this one, whose payload is not what it was: all of
    /// them, if they are others.
    pub fn damaged<'a>(&'a self, extent: &'a Extent) -> impl Iterator<Item = ClusterEntry> + 'a {
        let same = self.has_clusters_of(extent);
        let mut crcs = self.crcs.iter();
        let changed = move |cluster: &Cluster<'_>| {
            !same || !cluster.is_zero() && crcs.next() != Some(&crc32fast::hash(cluster.blocks()))
        };
        extent
            .clusters()
            .filter(changed)
            .map(|cluster| cluster.entry())
    }

    /// Whether `extent` has the same blocks of the same clusters in the same order.
    #[must_use]
    pub fn has_clusters_of(&self, extent: &Extent) -> bool {
        self.runs == runs(extent.header().entries())
    }

    /// Whether `extent` is, to the bit, what this was computed from.
    #[must_use]
    pub fn fits(&self, extent: &Extent) -> bool {
        Sha256::digest(extent.as_bytes())[..] == self.sha256
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.length.to_be_bytes());
        out.extend_from_slice(
            &u16::try_from(self.runs.len())
                .unwrap_or(u16::MAX)
                .to_be_bytes(),
        );
        out.extend_from_slice(
            &u16::try_from(self.crcs.len())
                .unwrap_or(u16::MAX)
                .to_be_bytes(),
        );
        out.extend_from_slice(&self.sha256);
        for run in &self.runs {
            out.extend_from_slice(&[run.device.get(), run.count]);
            out.extend_from_slice(&run.mask.to_be_bytes());
            out.extend_from_slice(&run.first.to_be_bytes());
        }
        self.crcs
            .iter()
            .for_each(|crc| out.extend_from_slice(&crc.to_be_bytes()));
    }
}
