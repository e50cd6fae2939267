//! Getting out of a damaged archive all that is intact.

use std::io::Read;
use std::ops::Range;

use crate::coverage::Coverage;
use crate::extent::ClusterEntry;
use crate::header::{Device, Header};
use crate::layout::{DeviceId, cluster_offset};
use crate::reader::read_damaged_header;
use crate::restore::{Targets, write_cluster, write_zero_cluster};
use crate::scan::{Found, Scanner};
use crate::verify::{Damage, Watch};
use crate::{ErrorKind, Result, Tally};

/// What was lost.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Recovered {
    /// How many damages have been reported.
    pub damages: u64,
    /// Per device, the ranges of bytes that could not be restored, in ascending order.
    pub lost: Vec<(DeviceId, Vec<Range<u64>>)>,
}

/// Reads an archive, however damaged, and writes every cluster that is intact to its target.
///
/// `open` is called once, with the header, and gives the targets. A header whose checksum is wrong
/// is used if its fields make sense; this is told as damage.
///
/// # Errors
/// An archive header that cannot be used, an error of the input or of a target.
pub fn recover<'t>(
    mut input: impl Read,
    open: impl FnOnce(&Header) -> Result<Targets<'t>>,
    watch: &mut dyn Watch,
) -> Result<Recovered> {
    let (header, wrong) = read_damaged_header(&mut input)?;
    watch.header(&header);
    let targets = open(&header)?;
    let mut run = Run {
        coverage: Coverage::new(&header),
        tally: Tally::new(&header),
        header: &header,
        targets,
        watch,
        damages: 0,
    };
    wrong
        .into_iter()
        .for_each(|error| run.damage(Damage::new(error)));
    let mut scanner = Scanner::new(input, &header);
    loop {
        match scanner.next() {
            Ok(None) => break,
            Ok(Some(Found::Extent(extent))) => {
                run.extent(&extent)?;
                scanner.recycle(extent);
            }
            Ok(Some(Found::Cut(extent, error))) => {
                run.extent(&extent)?;
                run.damage(Damage::new(error));
            }
            Ok(Some(Found::Junk(junk))) => {
                // Which of its blocks are gone is unknown, but what is zero has none.
                let zero = |entry: &&ClusterEntry| entry.mask() == 0;
                let entries = junk
                    .header
                    .iter()
                    .flat_map(|header| header.entries())
                    .filter(zero);
                for entry in entries {
                    if run.account(entry, junk.offset) {
                        write_zero_cluster(entry, &header, &run.targets)?;
                    }
                }
                run.damage(junk.into());
            }
            Err(error) if error.kind() == ErrorKind::Container => {
                run.damage(Damage::new(error));
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(run.finish())
}

struct Run<'a, 't> {
    header: &'a Header,
    targets: Targets<'t>,
    coverage: Coverage,
    tally: Tally,
    watch: &'a mut dyn Watch,
    damages: u64,
}

impl Run<'_, '_> {
    fn damage(&mut self, damage: Damage) {
        self.damages = self.damages.saturating_add(1);
        self.watch.damage(damage);
    }

    fn extent(&mut self, extent: &crate::Extent) -> Result<()> {
        for cluster in extent.clusters() {
            if self.account(&cluster.entry(), extent.offset()) {
                write_cluster(&cluster, self.header, &self.targets)?;
            }
        }
        self.watch.extent(&self.tally);
        Ok(())
    }

    /// Whether the cluster is one that belongs there and has not come before.
    fn account(&mut self, entry: &ClusterEntry, offset: u64) -> bool {
        match self.coverage.add(entry) {
            Ok(()) => {
                self.tally.add(entry);
                true
            }
            Err(error) => {
                self.damage(Damage::new(error.at(offset)).of(self.header, entry));
                false
            }
        }
    }

    fn finish(mut self) -> Recovered {
        let mut lost: Vec<_> = self
            .header
            .devices()
            .iter()
            .map(|d| (d.id(), Vec::new()))
            .collect();
        let missing: Vec<_> = self
            .coverage
            .missing()
            .map(|(d, r)| (d.clone(), r))
            .collect();
        for (device, range) in missing {
            if let Some((_, ranges)) = lost.iter_mut().find(|(id, _)| *id == device.id()) {
                ranges.push(bytes(&device, &range));
            }
            self.damage(Damage::missing(&device, range));
        }
        Recovered {
            damages: self.damages,
            lost,
        }
    }
}

fn bytes(device: &Device, clusters: &Range<u64>) -> Range<u64> {
    cluster_offset(clusters.start)..cluster_offset(clusters.end).min(device.size())
}

/// A map of a recovered disk in the format of GNU ddrescue: what is there (`+`) and what is not
/// (`-`).
#[must_use]
pub fn ddrescue_map(size: u64, lost: &[Range<u64>]) -> String {
    use std::fmt::Write;
    let mut map = String::from("# Mapfile. Created by vma recover\n");
    let _ = writeln!(map, "# current_pos  current_status  current_pass");
    let _ = writeln!(map, "{size:#014x}  +  1");
    let _ = writeln!(map, "# pos  size  status");
    let mut line = |from: u64, to: u64, status: char| {
        if to > from {
            let _ = writeln!(
                map,
                "{from:#014x}  {:#014x}  {status}",
                to.saturating_sub(from)
            );
        }
    };
    let mut at = 0;
    for range in lost {
        line(at, range.start, '+');
        line(range.start, range.end, '-');
        at = range.end;
    }
    line(at, size, '+');
    map
}
