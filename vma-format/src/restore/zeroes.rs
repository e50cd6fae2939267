//! Holes, which are one thing to a target, however many extents they are in the archive.

use std::ops::Range;

use super::Targets;
use super::place::{bound, cannot_write};
use crate::error::Result;
use crate::extent::run::Run;
use crate::header::Header;
use crate::layout::{DeviceId, cluster_offset};

/// Zero clusters that follow each other, and have not been written yet.
#[derive(Debug, Default)]
pub(super) struct Zeroes(Option<(DeviceId, Range<u64>)>);

/// How many clusters are written at once: 256 MiB, so that a target that writes zeroes is not kept busy for long.
const MOST: u64 = 4096;

impl Zeroes {
    /// Adds clusters; writes those before them if they do not follow each other.
    pub(super) fn add(&mut self, run: &Run, header: &Header, targets: &Targets<'_>) -> Result<()> {
        let clusters = run.clusters();
        if let Some((device, before)) = &mut self.0
            && *device == run.device()
            && before.end == clusters.start
            && clusters.end.saturating_sub(before.start) <= MOST
        {
            before.end = clusters.end;
            return Ok(());
        }
        self.write(header, targets)?;
        self.0 = Some((run.device(), clusters));
        Ok(())
    }

    /// Writes what has been added, if it has a target that needs it.
    pub(super) fn write(&mut self, header: &Header, targets: &Targets<'_>) -> Result<()> {
        let Some((device, clusters)) = self.0.take() else {
            return Ok(());
        };
        let target = targets.get(&device).filter(|target| target.zeroes_needed());
        let Some(target) = target else { return Ok(()) };
        let offset = cluster_offset(clusters.start);
        let end = cluster_offset(clusters.end).min(bound(header, device));
        target
            .zero_at(offset, end.saturating_sub(offset))
            .map_err(|e| cannot_write(header, device, offset, e))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::io;
    use std::sync::Mutex;

    use super::*;
    use crate::extent::ClusterEntry;
    use crate::header::HeaderBuilder;
    use crate::restore::Target;

    /// What it was asked for.
    #[derive(Default)]
    struct Asked(Mutex<Vec<(u64, u64)>>);

    impl Target for &Asked {
        fn write_at(&self, _: u64, _: &[u8]) -> io::Result<()> {
            Ok(())
        }
        fn zero_at(&self, offset: u64, length: u64) -> io::Result<()> {
            self.0.lock().unwrap().push((offset, length));
            Ok(())
        }
        fn zeroes_needed(&self) -> bool {
            true
        }
    }

    #[test]
    fn a_hole_of_many_extents_is_one_request_up_to_the_end_of_the_disk() {
        let mut builder = HeaderBuilder::new([0; 16], 0);
        let size = cluster_offset(5000) + 10;
        let disk = builder.add_device("disk", size).unwrap();
        let header = builder.build().unwrap();
        let asked = Asked::default();
        let targets: Targets<'_> = [(disk, Box::new(&asked) as Box<dyn Target>)].into();
        let mut zeroes = Zeroes::default();
        let runs = |clusters: Range<u32>| {
            clusters.map(move |index| Run::of(&ClusterEntry::new(disk, index, 0)))
        };
        for run in runs(0..100).chain(runs(200..5001)) {
            zeroes.add(&run, &header, &targets).unwrap();
        }
        zeroes.write(&header, &targets).unwrap();
        zeroes.write(&header, &targets).unwrap();
        let behind = cluster_offset(200 + MOST);
        let expected = [
            (0, cluster_offset(100)),
            (cluster_offset(200), cluster_offset(MOST)),
            (behind, size - behind),
        ];
        assert_eq!(*asked.0.lock().unwrap(), expected);
    }
}
