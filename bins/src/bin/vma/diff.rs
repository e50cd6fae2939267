//! `vma diff`.

use std::ops::Range;

use fleece_vma_format::{Device, cluster_count, different_clusters};
use serde_json::json;

use super::cli::DiffArgs;
use super::failure::{Failure, Result};
use super::input::{need_anywhere, open_file};
use super::list::print_text;

/// Exit code for archives that differ, as diff(1) has it.
const DIFFERENT: u8 = 1;

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
        let ranges = different_clusters((first, device), (second, other))?;
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

fn tell(args: &DiffArgs, one: &Device, other: &Device, ranges: &[Range<u64>]) -> Result<()> {
    let differ: u64 = ranges
        .iter()
        .map(|range| range.end.saturating_sub(range.start))
        .sum();
    let clusters = cluster_count(one.size().min(other.size()));
    if args.json {
        let line = json!({
            "device": one.name(),
            "size": [one.size(), other.size()],
            "clusters": clusters,
            "different": differ,
            "ranges": ranges.iter().map(|range| [range.start, range.end]).collect::<Vec<_>>(),
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
    for range in ranges.iter().filter(|_| args.verbose) {
        text.push_str(&format!(
            "{}: clusters {} to {}\n",
            one.name(),
            range.start,
            range.end.saturating_sub(1)
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
