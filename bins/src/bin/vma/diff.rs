//! `vma diff`.

use fleece_vma_format::{CLUSTER_SIZE, Device, cluster_count};
use serde_json::json;

use super::cli::DiffArgs;
use super::failure::{Failure, Result};
use super::input::{Anywhere, need_anywhere, open_file};
use super::list::print_text;

/// Exit code for archives that differ, as diff(1) has it.
const DIFFERENT: u8 = 1;

/// The unit of comparison, in bytes.
const CLUSTER: u64 = CLUSTER_SIZE as u64;

/// How much is compared at a time, in bytes.
const PART: usize = 16 * CLUSTER_SIZE;

/// Tells which clusters of which disks differ.
pub(super) fn diff(args: &DiffArgs) -> Result<()> {
    let first = open_file(&args.first)?.archive()?;
    let second = open_file(&args.second)?.archive()?;
    let (first, second) = (need_anywhere(&first)?, need_anywhere(&second)?);
    let mut same = true;
    for device in first.header().devices() {
        let Some(other) = second.header().device_named(device.name()) else {
            same = false;
            tell_missing(args, device.name(), "first")?;
            continue;
        };
        let ranges = compare(first, device, second, other)?;
        same &= ranges.is_empty() && device.size() == other.size();
        tell(args, device, other, &ranges)?;
    }
    for device in second.header().devices() {
        if first.header().device_named(device.name()).is_none() {
            same = false;
            tell_missing(args, device.name(), "second")?;
        }
    }
    if same {
        Ok(())
    } else {
        Err(Failure::silent(DIFFERENT))
    }
}

/// Ranges of clusters that differ, within what both devices have.
fn compare(
    first: &Anywhere,
    one: &Device,
    second: &Anywhere,
    other: &Device,
) -> Result<Vec<(u64, u64)>> {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    let (mut a, mut b) = (Vec::new(), Vec::new());
    let size = one.size().min(other.size());
    let mut offset = 0_u64;
    while offset < size {
        let left = size.saturating_sub(offset);
        let here = first.stretch_at(one.id(), offset)?;
        let there = second.stretch_at(other.id(), offset)?;
        let skip = whole_clusters(here.length.min(there.length), left);
        if !here.data && !there.data && skip > 0 {
            offset = offset.saturating_add(skip);
            continue;
        }
        let length = usize::try_from(size.saturating_sub(offset))
            .unwrap_or(PART)
            .min(PART);
        a.resize(length, 0);
        b.resize(length, 0);
        first.read_at(one.id(), offset, &mut a)?;
        second.read_at(other.id(), offset, &mut b)?;
        let clusters = a.chunks(CLUSTER_SIZE).zip(b.chunks(CLUSTER_SIZE));
        for ((x, y), index) in clusters.zip(offset / CLUSTER..) {
            if x != y {
                match ranges.last_mut().filter(|(_, end)| *end == index) {
                    Some((_, end)) => *end = index.saturating_add(1),
                    None => ranges.push((index, index.saturating_add(1))),
                }
            }
        }
        offset = offset.saturating_add(length as u64);
    }
    Ok(ranges)
}

/// `length` without the cluster that it ends in, or all that is left.
const fn whole_clusters(length: u64, left: u64) -> u64 {
    if length >= left {
        left
    } else {
        length.saturating_sub(length % CLUSTER)
    }
}

fn tell(args: &DiffArgs, one: &Device, other: &Device, ranges: &[(u64, u64)]) -> Result<()> {
    let differ: u64 = ranges
        .iter()
        .map(|(start, end)| end.saturating_sub(*start))
        .sum();
    let clusters = cluster_count(one.size().min(other.size()));
    if args.json {
        let line = json!({
            "device": one.name(),
            "size": [one.size(), other.size()],
            "clusters": clusters,
            "different": differ,
            "ranges": ranges,
        });
        return print_text(&format!("{line}\n"));
    }
    let mut text = format!("{}: {differ} of {clusters} clusters differ\n", one.name());
    if one.size() != other.size() {
        text.push_str(&format!(
            "{}: {} bytes and {} bytes\n",
            one.name(),
            one.size(),
            other.size()
        ));
    }
    for (start, end) in ranges.iter().filter(|_| args.verbose) {
        text.push_str(&format!(
            "{}: clusters {start} to {}\n",
            one.name(),
            end.saturating_sub(1)
        ));
    }
    print_text(&text)
}

fn tell_missing(args: &DiffArgs, name: &str, only_in: &str) -> Result<()> {
    print_text(&match args.json {
        true => format!("{}\n", json!({ "device": name, "only_in": only_in })),
        false => format!("{name}: only in the {only_in} archive\n"),
    })
}
