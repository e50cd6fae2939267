//! Getting out of a damaged archive all that is intact.

mod known;

use std::io::{self, Read, Write};
use std::ops::Range;

use crate::coverage::Coverage;
use crate::error::{Error, ErrorKind, Result};
use crate::extent::ClusterEntry;
use crate::extent::Extent;
use crate::header::Header;
use crate::layout::{DeviceId, cluster_offset};
use crate::reader::read_damaged_header;
use crate::restore::{Targets, write_cluster, write_zero_cluster};
use crate::scan::{Found, Scanner};
use crate::tally::Tally;
use crate::verify::{Damage, Teller, Watch};
use known::{Known, Payload};

/// What was lost.
#[derive(Debug, Clone)]
pub struct Recovered {
    damages: u64,
    deep: bool,
    coverage: Coverage,
}

impl Recovered {
    /// How many damages there are; no more than [`MAX_TOLD`](crate::verify::MAX_TOLD) have been told.
    #[must_use]
    pub const fn damages(&self) -> u64 {
        self.damages
    }

    /// Whether payload has been checked against an index, to the end.
    #[must_use]
    pub const fn deep(&self) -> bool {
        self.deep
    }

    /// The ranges of a device's bytes that could not be restored, or are not what they were, in ascending order; there can be
    /// more of them than memory holds. Of a RAM state, whose length is not known, there are none.
    pub fn lost(&self, device: DeviceId) -> impl Iterator<Item = Range<u64>> {
        let missing = self.coverage.missing();
        let of_device = missing.filter(move |(lost, _)| lost.id() == device);
        of_device.map(|(device, clusters)| {
            let end = cluster_offset(clusters.end).min(device.size());
            cluster_offset(clusters.start)..end
        })
    }
}

/// Reads an archive, however damaged, and writes every cluster that is intact to its target.
///
/// With its index, what is intact is known to the bit. A cluster that is there but not what it was is
/// written, too, since most of it may be right, but counts as lost. An index that is damaged or belongs
/// to another archive is told as damage, and used as far as it goes.
///
/// `open` is called once, with the header, and gives the targets. A header whose checksum is wrong
/// is used if its fields make sense; this is told as damage.
///
/// # Errors
/// An archive header that cannot be used, an error of the input or of a target, and that of `open` as it is.
pub fn recover<'t, E: From<Error>>(
    mut input: impl Read,
    index: Option<&mut dyn Read>,
    open: impl FnOnce(&Header) -> Result<Targets<'t>, E>,
    watch: &mut dyn Watch,
) -> Result<Recovered, E> {
    let (header, wrong) = read_damaged_header(&mut input)?;
    watch.header(&header);
    let targets = open(&header)?;
    let mut run = Run {
        coverage: Coverage::new(&header),
        tally: Tally::new(&header),
        header: &header,
        targets,
        teller: Teller { watch, count: 0 },
        known: None,
    };
    let known = index.map(|index| Known::new(index, &header, wrong.is_some()));
    wrong
        .into_iter()
        .for_each(|error| run.damage(Damage::new(error)));
    match known.transpose() {
        Ok(known) => run.known = known,
        Err(error) => run.damage(Damage::new(error)),
    }
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
            Err(error) => return Err(error.into()),
        }
    }
    Ok(run.finish())
}

struct Run<'a, 't, 'i> {
    header: &'a Header,
    targets: Targets<'t>,
    coverage: Coverage,
    tally: Tally,
    teller: Teller<'a>,
    known: Option<Known<'i>>,
}

impl Run<'_, '_, '_> {
    fn damage(&mut self, damage: Damage) {
        self.teller.damage(damage);
    }

    fn extent(&mut self, extent: &Extent) -> Result<()> {
        let damaged = self.damaged(extent);
        let mut damaged = damaged.iter().peekable();
        for cluster in extent.clusters() {
            let entry = cluster.entry();
            let write = match damaged.next_if_eq(&&entry) {
                None => self.account(&entry, extent.offset()),
                // Behind the gap that it would leave in a RAM state nothing would find its place.
                Some(_) if self.is_vmstate(&entry) => self.account(&entry, extent.offset()),
                Some(_) => self.coverage.lacks(&entry),
            };
            if write {
                write_cluster(&cluster, self.header, &self.targets)?;
            }
        }
        self.teller.watch.extent(&self.tally);
        Ok(())
    }

    fn is_vmstate(&self, entry: &ClusterEntry) -> bool {
        let device = self.header.device(entry.device());
        device.is_some_and(crate::header::Device::is_vmstate)
    }

    /// The clusters of an extent that are not what they were, in order, after telling so.
    fn damaged(&mut self, extent: &Extent) -> Vec<ClusterEntry> {
        let Some(known) = &mut self.known else {
            return Vec::new();
        };
        let tell =
            |detail: &str| Damage::new(Error::new(ErrorKind::Payload, detail).at(extent.offset()));
        match known.compare(extent) {
            Ok(Payload::Sound) => Vec::new(),
            Ok(Payload::Damaged(entries)) => {
                for entry in &entries {
                    self.damage(Damage::contents(self.header, entry, extent.offset()));
                }
                entries
            }
            Ok(Payload::Unknown) => {
                self.damage(tell("an extent that is not in the index"));
                extent.header().entries().to_vec()
            }
            Err(error) => {
                self.known = None;
                self.damage(Damage::new(error));
                Vec::new()
            }
        }
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
        if let Some(known) = &mut self.known {
            match known.rest() {
                Ok(0) => {}
                Ok(count) => {
                    let detail = format!("{count} extents of the index are missing");
                    self.damage(Damage::new(Error::new(ErrorKind::Payload, detail)));
                }
                Err(error) => {
                    self.known = None;
                    self.damage(Damage::new(error));
                }
            }
        }
        let Self {
            coverage,
            mut teller,
            known,
            ..
        } = self;
        for (device, clusters) in coverage.missing() {
            teller.damage(Damage::missing(device, clusters));
        }
        Recovered {
            damages: teller.count,
            deep: known.is_some(),
            coverage,
        }
    }
}

/// Writes a map of a recovered disk in the format of GNU ddrescue: what is there (`+`) and what is
/// not (`-`). `lost` is in ascending order.
///
/// # Errors
/// Those of `out`.
pub fn ddrescue_map(
    out: &mut impl Write,
    size: u64,
    lost: impl IntoIterator<Item = Range<u64>>,
) -> io::Result<()> {
    writeln!(out, "# Mapfile. Created by vma recover")?;
    writeln!(out, "# current_pos  current_status  current_pass")?;
    writeln!(out, "{size:#014x}  +  1")?;
    writeln!(out, "# pos  size  status")?;
    let mut line = |from: u64, to: u64, status: char| match to.checked_sub(from) {
        None | Some(0) => Ok(()),
        Some(length) => writeln!(out, "{from:#014x}  {length:#014x}  {status}"),
    };
    let mut at = 0;
    for range in lost {
        line(at, range.start, '+')?;
        line(range.start, range.end, '-')?;
        at = range.end;
    }
    line(at, size, '+')
}
