//! From an archive that can be read anywhere.

use std::sync::{Mutex, PoisonError};
use std::thread;

use super::place::{bound, write_clusters};
use super::zeroes::Zeroes;
use super::{Failure, MAX_THREADS, Progress, Targets, spawn};
use crate::error::Result;
use crate::error::cannot_read;
use crate::extent::run::runs;
use crate::extent::{ClusterEntry, ExtentHeader};
use crate::header::Header;
use crate::header_walk::HeaderWalk;
use crate::layout::{BLOCK_SIZE, CLUSTER_SIZE, EXTENT_HEADER_SIZE};
use crate::random_access::header;
use crate::read_at::{Loan, ReadAt};
use crate::tally::Tally;
use crate::threads::default_threads;

/// How many bytes are read before they are written, at most: few enough to be in the processor's
/// second cache still.
const PIECE: usize = 4 * CLUSTER_SIZE;

/// Extents without payload are taken together, up to this many: to take turns takes longer than to read one.
const MOST_EMPTY: usize = 64;

/// Restores from an uncompressed archive in a file, or from
/// [`Seekable`](crate::container::Seekable) contents, which each thread decompresses for itself.
///
/// It hops from extent header to extent header, reads only what the targets need, and finds all that
/// a [`Reader`](crate::reader::Reader) finds.
///
/// # Errors
/// The first error of the archive or of a target.
pub fn from_file<S: ReadAt>(
    source: &S,
    targets: &Targets<'_>,
    progress: Progress<'_>,
) -> Result<()> {
    let header = header(source)?;
    let walk = Mutex::new(HeaderWalk::new(source, &header)?);
    let failure = Failure::default();
    let (done_in, done) = crossbeam_channel::unbounded::<Vec<(u64, ExtentHeader)>>();
    let mut tally = Tally::new(&header);
    thread::scope(|scope| {
        for _ in 0..default_threads().min(MAX_THREADS) {
            let (done_in, walk, failure, header) = (done_in.clone(), &walk, &failure, &header);
            spawn(scope, move || {
                let mut buffer = Vec::new();
                while !failure.happened() {
                    let taken = take(&mut walk.lock().unwrap_or_else(PoisonError::into_inner));
                    let copied = taken.and_then(|extents| {
                        let mut zeroes = Zeroes::default();
                        for (offset, extent) in &extents {
                            let to = (header, targets);
                            copy(source, *offset, extent, to, &mut buffer, &mut zeroes)?;
                        }
                        zeroes.write(header, targets)?;
                        Ok(extents)
                    });
                    match copied {
                        Ok(extents) if extents.is_empty() => return,
                        Ok(extents) => drop(done_in.send(extents)),
                        Err(error) => failure.set(error),
                    }
                }
            })?;
        }
        drop(done_in);
        for extents in &done {
            for (_, extent) in &extents {
                tally.add_extent(extent, |device| targets.contains_key(&device));
            }
            if let Err(error) = progress(&tally) {
                failure.set(error);
            }
        }
        Ok(())
    })?;
    failure.first().map_or(Ok(()), Err)
}

/// The next extents, with where they begin: up to one with payload. None, when there are no more.
fn take<S: ReadAt>(walk: &mut HeaderWalk<'_, S>) -> Result<Vec<(u64, ExtentHeader)>> {
    let mut taken = Vec::new();
    while taken.len() < MOST_EMPTY
        && let Some((offset, extent)) = walk.next_extent()?
    {
        let has_payload = extent.size() > EXTENT_HEADER_SIZE;
        taken.push((offset, extent));
        if has_payload {
            break;
        }
    }
    Ok(taken)
}

/// Copies an extent's clusters that have a target, in pieces: as they are in memory already, or as they are read.
fn copy<S: ReadAt>(
    source: &S,
    offset: u64,
    extent: &ExtentHeader,
    (header, targets): (&Header, &Targets<'_>),
    buffer: &mut Vec<u8>,
    zeroes: &mut Zeroes,
) -> Result<()> {
    let mut place = offset.saturating_add(EXTENT_HEADER_SIZE as u64);
    let mut rest = extent.entries();
    while let Some(first) = rest.first() {
        if first.mask() == 0
            && let Some(run) = runs(rest).next()
        {
            zeroes.add(&run, header, targets)?;
            rest = rest.get(usize::from(run.count)..).unwrap_or_default();
            continue;
        }
        let wanted = targets.contains_key(&first.device());
        if let Some((count, length)) = share(rest, place, header, targets) {
            place = place.saturating_add(length);
            rest = rest.get(count..).unwrap_or_default();
            continue;
        }
        let loan = match wanted {
            true => source.loan_at(place).map_err(cannot_read)?,
            false => None,
        };
        let loan = loan.as_ref().map(Loan::bytes);
        let most = loan.map_or(PIECE, <[u8]>::len);
        let mut length = 0_usize;
        let fits = |entry: &&ClusterEntry| {
            let longer = length.saturating_add(entry.stored());
            let stored = entry.mask() != 0;
            let fits = stored && targets.contains_key(&entry.device()) == wanted && longer <= most;
            length = if fits { longer } else { length };
            fits
        };
        let count = rest.iter().take_while(fits).count();
        // The first alone may be in memory in part only.
        if count == 0 {
            length = first.stored();
        }
        let (now, behind) = rest.split_at_checked(count.max(1)).unwrap_or_default();
        if wanted {
            let payload = match loan.and_then(|loan| loan.get(..length)) {
                Some(payload) => payload,
                None => {
                    buffer.resize(length, 0);
                    source.read_exact_at(buffer, place).map_err(cannot_read)?;
                    &*buffer
                }
            };
            write_clusters(now, payload, header, targets)?;
        }
        place = place.saturating_add(length as u64);
        rest = behind;
    }
    Ok(())
}

/// Shares the first of these clusters, whose payload is at `place`, as far as they are whole and follow each other: how many
/// that were, and how much of the archive.
fn share(
    entries: &[ClusterEntry],
    place: u64,
    header: &Header,
    targets: &Targets<'_>,
) -> Option<(usize, u64)> {
    let first = entries.first()?;
    let target = targets.get(&first.device())?;
    if !place.is_multiple_of(BLOCK_SIZE as u64) {
        return None;
    }
    let size = bound(header, first.device());
    let follows = |(entry, index): &(&ClusterEntry, u64)| {
        let end = entry.offset().saturating_add(CLUSTER_SIZE as u64);
        let same = entry.device() == first.device() && entry.index() == *index;
        same && entry.mask() == u16::MAX && end <= size
    };
    let row = entries.iter().zip(first.index()..);
    let count = row.take_while(follows).count();
    let length = (count as u64).saturating_mul(CLUSTER_SIZE as u64);
    (count > 0 && target.share_at(first.offset(), place, length)).then_some((count, length))
}
