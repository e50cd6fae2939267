//! The checksums of one piece of an index, as places in the archive.

use crate::error::{Error, ErrorKind, Result};
use crate::index::parse::Extents;
use crate::index::sum::Sum;
use crate::layout::{DeviceId, EXTENT_HEADER_SIZE};

/// The clusters with payload of one piece, in the order of the archive.
#[derive(Debug)]
pub(super) struct Sheet {
    clusters: Vec<Payload>,
}

/// The payload of a cluster.
#[derive(Debug, Clone, Copy)]
pub(super) struct Payload {
    /// Where it is in the archive, in bytes, and how many there are.
    pub(super) place: u64,
    pub(super) length: usize,
    device: DeviceId,
    cluster: u64,
    pub(super) sum: Sum,
}

impl Payload {
    const fn end(&self) -> u64 {
        self.place.saturating_add(self.length as u64)
    }

    /// That these are its bytes.
    pub(super) fn check(&self, bytes: &[u8]) -> Result<()> {
        if self.sum.fits(bytes) {
            return Ok(());
        }
        let (cluster, device) = (self.cluster, self.device);
        let detail = format!(
            "the checksum of cluster {cluster} of device {device} does not match the index"
        );
        Err(Error::new(ErrorKind::Payload, detail).at(self.place))
    }
}

impl Sheet {
    pub(super) fn new(extents: &Extents) -> Self {
        let mut clusters = Vec::new();
        let mut offset = extents.offset;
        for record in &extents.records {
            let mut place = offset.saturating_add(EXTENT_HEADER_SIZE as u64);
            let stored = record.runs().iter().filter(|run| run.mask() != 0);
            let each = stored.flat_map(|run| (0..run.count()).map(move |n| (run, n)));
            for ((run, number), sum) in each.zip(record.sums()) {
                clusters.push(Payload {
                    place,
                    length: usize::try_from(run.stored()).unwrap_or(usize::MAX),
                    device: run.device(),
                    cluster: run.first().saturating_add(number),
                    sum,
                });
                place = place.saturating_add(run.stored());
            }
            offset = offset.saturating_add(u64::from(record.length()));
        }
        Self { clusters }
    }

    /// The cluster with the byte at `place`, and those behind it.
    pub(super) fn from(&self, place: u64) -> Option<&[Payload]> {
        let first = self
            .clusters
            .partition_point(|cluster| cluster.end() <= place);
        let behind = self.clusters.get(first..)?;
        let found = behind.first().is_some_and(|cluster| cluster.place <= place);
        found.then_some(behind)
    }

    /// How many of `clusters`, the first of which begins at `place`, fit whole into `length` bytes without a gap.
    pub(super) fn whole(clusters: &[Payload], place: u64, length: usize) -> &[Payload] {
        let limit = place.saturating_add(length as u64);
        let mut next = place;
        let fits = |cluster: &&Payload| {
            let fits = cluster.place == next && cluster.end() <= limit;
            next = cluster.end();
            fits
        };
        let count = clusters.iter().take_while(fits).count();
        clusters.get(..count).unwrap_or_default()
    }
}
