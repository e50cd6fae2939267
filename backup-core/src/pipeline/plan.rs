//! The planner: which clusters are zero, and which are to be read.

use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};
use fleece_vma_format::CLUSTER_SIZE;

use super::{CHUNK_SIZE, CLUSTER, Kind, Piece, PipelineDisk, Read, Run, Shared, Stopped};
use crate::pace::rate::RateLimit;
use crate::pipeline::source::Source;
use crate::report::error::{Error, ErrorKind};

/// Block status is asked for this much at a time, always before anything in it is released.
const STATUS_WINDOW: u64 = 256 << 20;

pub(super) struct Planner<'a> {
    pub(super) shared: &'a Shared,
    pub(super) rate: Option<RateLimit>,
    pub(super) chunks: Receiver<Vec<u8>>,
    pub(super) plan_read: Sender<Read>,
    pub(super) plan_piece: Sender<Piece>,
}

impl Planner<'_> {
    pub(super) fn run(&self, disks: &[PipelineDisk]) -> Result<(), Stopped> {
        for disk in disks {
            let size = disk.source.size();
            let mut window = 0;
            while window < size {
                let length = STATUS_WINDOW.min(size.saturating_sub(window));
                let source = disk.source.as_ref();
                let runs = self.or_fail(runs(source, window, length))?;
                let known = |cluster| source.known(cluster).is_some();
                let runs = runs.into_iter().flat_map(|run| sorted(run, &known));
                for runs in groups(runs) {
                    self.plan(disk, runs)?;
                }
                window = window.saturating_add(length);
            }
        }
        Ok(())
    }

    fn plan(&self, disk: &PipelineDisk, runs: Vec<Run>) -> Result<(), Stopped> {
        self.go_on()?;
        for run in runs.iter().filter(|run| run.kind == Kind::Zero) {
            // Nobody will read it, so a guest's write to it need not be preceded by a copy.
            self.or_fail(disk.source.release(run.offset, run.length))?;
        }
        let bytes = runs.iter().map(Run::data).sum();
        let runs = Arc::from(runs);
        let chunk = match bytes {
            0 => None,
            _ => Some(self.read(disk, &runs, bytes)?),
        };
        let piece = Piece {
            device: disk.device,
            source: Arc::clone(&disk.source),
            runs,
            chunk,
        };
        self.plan_piece.send(piece).map_err(|_| Stopped)
    }

    /// Has `bytes` read; says where they come.
    fn read(
        &self,
        disk: &PipelineDisk,
        runs: &Arc<[Run]>,
        bytes: u64,
    ) -> Result<Receiver<Vec<u8>>, Stopped> {
        if let Some(rate) = &self.rate {
            self.pause(rate, bytes)?;
        }
        let mut buffer = self.chunks.recv().map_err(|_| Stopped)?;
        buffer.resize(usize::try_from(bytes).unwrap_or(CHUNK_SIZE), 0);
        let (reply, chunk) = bounded(1);
        let read = Read {
            source: Arc::clone(&disk.source),
            runs: Arc::clone(runs),
            buffer,
            reply,
        };
        self.plan_read.send(read).map_err(|_| Stopped)?;
        Ok(chunk)
    }

    /// Waits until the rate limit allows so many more bytes, in steps short enough to notice a
    /// stop.
    fn pause(&self, rate: &RateLimit, bytes: u64) -> Result<(), Stopped> {
        let now = Instant::now();
        let wait = rate.book(bytes, now);
        while now.elapsed() < wait {
            self.go_on()?;
            let left = wait.saturating_sub(now.elapsed());
            std::thread::sleep(left.min(std::time::Duration::from_millis(50)));
        }
        Ok(())
    }

    fn go_on(&self) -> Result<(), Stopped> {
        if self.shared.is_stopped() {
            Err(Stopped)
        } else {
            Ok(())
        }
    }

    fn or_fail<T>(&self, result: Result<T, Error>) -> Result<T, Stopped> {
        result.map_err(|error| {
            self.shared.fail(error);
            Stopped
        })
    }
}

/// Block status of a window as runs of whole clusters: a cluster is zero if all of it is.
///
/// `offset` is a multiple of the cluster size.
fn runs(source: &dyn Source, offset: u64, length: u64) -> Result<Vec<Run>, Error> {
    let end = offset.saturating_add(length);
    let place = |position: u64| usize::try_from(position.saturating_sub(offset) / CLUSTER);
    let mut has_data = vec![false; usize::try_from(length.div_ceil(CLUSTER)).unwrap_or_default()];
    let mut position = offset;
    for extent in source.block_status(offset, length)? {
        let next = position.saturating_add(extent.length).min(end);
        if !extent.zero
            && next > position
            && let (Ok(first), Ok(last)) = (place(position), place(next.saturating_sub(1)))
            && let Some(clusters) = has_data.get_mut(first..=last)
        {
            clusters.fill(true);
        }
        position = next;
    }
    if position != end {
        return Err(Error::new(
            ErrorKind::Snapshot,
            format!(
                "{}: block status of {offset}+{length} ends at {position}",
                source.name()
            ),
        ));
    }
    let mut at = offset;
    let runs = has_data
        .chunk_by(|one, other| one == other)
        .map(|clusters| {
            let bytes = CLUSTER.saturating_mul(clusters.len() as u64);
            let run = Run {
                offset: at,
                length: bytes.min(end.saturating_sub(at)),
                kind: match clusters.first() {
                    Some(false) => Kind::Zero,
                    _ => Kind::Data,
                },
            };
            at = at.saturating_add(bytes);
            run
        });
    Ok(runs.collect())
}

/// A run of data in parts: what is `known` is not read.
fn sorted(run: Run, known: &dyn Fn(u64) -> bool) -> Vec<Run> {
    if run.kind != Kind::Data {
        return vec![run];
    }
    let mut parts: Vec<Run> = Vec::new();
    let end = run.offset.saturating_add(run.length);
    for offset in (run.offset..end).step_by(CLUSTER_SIZE) {
        let kind = match known(offset / CLUSTER) {
            true => Kind::Known,
            false => Kind::Data,
        };
        let length = CLUSTER.min(end.saturating_sub(offset));
        match parts.last_mut().filter(|last| last.kind == kind) {
            Some(last) => last.length = last.length.saturating_add(length),
            None => parts.push(Run {
                offset,
                length,
                kind,
            }),
        }
    }
    parts
}

/// Runs, cut where data is more than a chunk, and put together where it is less. Handing one over costs more than to
/// read a few clusters.
fn groups(runs: impl IntoIterator<Item = Run>) -> Vec<Vec<Run>> {
    const MOST: u64 = CHUNK_SIZE as u64;
    let mut groups = Vec::new();
    let mut group = Vec::new();
    let mut room = MOST;
    for run in runs.into_iter().flat_map(cut) {
        if run.data() > room {
            groups.push(std::mem::take(&mut group));
            room = MOST;
        }
        room = room.saturating_sub(run.data());
        group.push(run);
    }
    if !group.is_empty() {
        groups.push(group);
    }
    groups
}

/// A run in parts that fit into a chunk each, if it is data.
fn cut(run: Run) -> impl Iterator<Item = Run> {
    let most = match run.kind {
        Kind::Data => CHUNK_SIZE as u64,
        Kind::Zero | Kind::Known => run.length,
    };
    let end = run.offset.saturating_add(run.length);
    let parts = std::iter::successors(Some(run.offset), move |&at| at.checked_add(most));
    parts
        .take_while(move |&at| at < end)
        .map(move |offset| Run {
            offset,
            length: end.saturating_sub(offset).min(most),
            kind: run.kind,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::source::Extent;
    use proptest::prelude::*;

    struct Fixed(Vec<Extent>);

    impl Source for Fixed {
        fn name(&self) -> &str {
            "fixed"
        }
        fn size(&self) -> u64 {
            self.0.iter().map(|extent| extent.length).sum()
        }
        fn block_status(&self, _: u64, _: u64) -> Result<Vec<Extent>, Error> {
            Ok(self.0.clone())
        }
        fn read(&self, _: u64, buffer: Vec<u8>) -> Result<Vec<u8>, Error> {
            Ok(buffer)
        }
        fn release(&self, _: u64, _: u64) -> Result<(), Error> {
            Ok(())
        }
    }

    fn extent(length: u64, zero: bool) -> Extent {
        Extent { length, zero }
    }

    #[test]
    fn a_cluster_with_any_data_is_data() {
        let source = Fixed(vec![
            extent(CLUSTER, true),
            extent(512, false),
            extent(3 * CLUSTER, true),
            extent(1024, false),
            extent(100, true),
        ]);
        let size = source.size();
        assert_eq!(
            runs(&source, 0, size).unwrap(),
            [
                Run {
                    offset: 0,
                    length: CLUSTER,
                    kind: Kind::Zero
                },
                Run {
                    offset: CLUSTER,
                    length: CLUSTER,
                    kind: Kind::Data
                },
                Run {
                    offset: 2 * CLUSTER,
                    length: 2 * CLUSTER,
                    kind: Kind::Zero
                },
                Run {
                    offset: 4 * CLUSTER,
                    length: size - 4 * CLUSTER,
                    kind: Kind::Data
                },
            ]
        );
    }

    #[test]
    fn a_status_that_ends_early_is_an_error() {
        let source = Fixed(vec![extent(CLUSTER, true)]);
        assert!(runs(&source, 0, 2 * CLUSTER).is_err());
    }

    #[test]
    fn a_chunk_holds_many_small_runs_or_a_part_of_a_large_one() {
        let run = |offset: u64, length: u64, kind| Run {
            offset: offset * CLUSTER,
            length: length * CLUSTER,
            kind,
        };
        let (zero, data, known) = (Kind::Zero, Kind::Data, Kind::Known);
        let kinds = [data, known, data, zero];
        let scattered: Vec<_> = (0..40).map(|n| run(n, 1, kinds[n as usize % 4])).collect();
        let groups_of = |runs: &[Run]| -> Vec<usize> {
            let groups = groups(runs.to_vec());
            groups.iter().map(Vec::len).collect()
        };
        assert_eq!(groups_of(&scattered), [32, 8]);
        // What is read at once is not cut for the sake of a chunk that is full.
        let runs = [run(0, 1, data), run(1, 1, zero), run(2, 40, data)];
        let expected = [
            vec![runs[0], runs[1]],
            vec![run(2, 16, data)],
            vec![run(18, 16, data)],
            vec![run(34, 8, data)],
        ];
        assert_eq!(groups(runs.to_vec()), expected);
        assert_eq!(groups_of(&[run(0, 4096, zero)]), [1]);
        assert_eq!(groups_of(&[run(0, 4096, known)]), [1]);
        // What is known is cut out of what has to be read.
        let is_known = |cluster| (3..5).contains(&cluster);
        let parts = [run(2, 1, data), run(3, 2, known), run(5, 1, data)];
        assert_eq!(sorted(run(2, 4, data), &is_known), parts);
        assert_eq!(sorted(run(2, 4, zero), &is_known), [run(2, 4, zero)]);
    }

    proptest! {
        #[test]
        fn runs_tile_the_window_and_are_zero_only_where_all_bytes_are(
            extents in prop::collection::vec((1u64..200_000, any::<bool>()), 1..40)
        ) {
            let source = Fixed(extents.iter().map(|&(length, zero)| extent(length, zero)).collect());
            let size = source.size();
            let mut expected = vec![true; size.div_ceil(CLUSTER) as usize];
            let mut at = 0;
            for extent in &source.0 {
                if !extent.zero {
                    let last = (at + extent.length - 1) / CLUSTER;
                    expected[(at / CLUSTER) as usize..=last as usize].fill(false);
                }
                at += extent.length;
            }
            let runs = runs(&source, 0, size).unwrap();
            let mut at = 0;
            let mut got = Vec::new();
            for run in &runs {
                prop_assert_eq!(run.offset, at);
                prop_assert!(run.length > 0 && run.offset % CLUSTER == 0);
                got.extend(std::iter::repeat_n(run.kind == Kind::Zero, run.length.div_ceil(CLUSTER) as usize));
                at += run.length;
            }
            prop_assert_eq!(at, size);
            prop_assert_eq!(got, expected);
            let groups = groups(runs.clone());
            let data = |group: &[Run]| -> u64 { group.iter().map(Run::data).sum() };
            prop_assert!(groups.iter().all(|group| data(group) <= CHUNK_SIZE as u64));
            // Put together again, they are the runs.
            let mut joined: Vec<Run> = Vec::new();
            for run in groups.concat() {
                match joined.last_mut().filter(|last| last.kind == run.kind) {
                    Some(last) => last.length += run.length,
                    None => joined.push(run),
                }
            }
            prop_assert_eq!(joined, runs);
        }
    }
}
