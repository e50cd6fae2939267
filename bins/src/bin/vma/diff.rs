//! `vma diff`.

use std::ops::Range;

use fleece_vma_format::{Device, cluster_count, different_clusters};
use serde_json::{Value, json};

use super::cli::DiffArgs;
use super::failure::{Failure, Result};
use super::input::{anywhere, open_file};
use super::report;
use super::report::print_text;

/// Exit code for archives that differ, as diff(1) has it.
const DIFFERENT: u8 = 1;

/// Tells which clusters of which disks differ.
pub(super) fn diff(args: &DiffArgs) -> Result<()> {
    let first = open_file(&args.first)?.archive()?;
    let second = open_file(&args.second)?.archive()?;
    let (first, second) = (anywhere(&first)?, anywhere(&second)?);
    let mut same = true;
    let mut found = Vec::new();
    for device in first.header().devices() {
        let Some(other) = second.header().device_named(device.name()) else {
            same = false;
            found.push(tell_missing(device.name(), "first")?);
            continue;
        };
        let ranges = different_clusters((first, device), (second, other))?;
        same &= ranges.is_empty() && device.size() == other.size();
        found.push(tell(args, device, other, &ranges)?);
    }
    for device in second.header().devices() {
        if first.header().device_named(device.name()).is_none() {
            same = false;
            found.push(tell_missing(device.name(), "second")?);
        }
    }
    report::summary(|| json!({"same": same, "devices": found}))?;
    if same {
        Ok(())
    } else {
        Err(Failure::silent(DIFFERENT))
    }
}

/// Tells how a device differs, and gives it for programs.
fn tell(args: &DiffArgs, one: &Device, other: &Device, ranges: &[Range<u64>]) -> Result<Value> {
    let differ: u64 = ranges
        .iter()
        .map(|range| range.end.saturating_sub(range.start))
        .sum();
    let clusters = cluster_count(one.size().min(other.size()));
    if report::is_events() {
        return Ok(json!({
            "name": one.name(),
            "sizes": [one.size(), other.size()],
            "clusters": clusters,
            "different": differ,
            "ranges": ranges.iter().map(|range| [range.start, range.end]).collect::<Vec<_>>(),
        }));
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
    print_text(&text)?;
    Ok(Value::Null)
}

fn tell_missing(name: &str, only_in: &str) -> Result<Value> {
    if !report::is_events() {
        print_text(&format!("{name}: only in the {only_in} archive\n"))?;
    }
    Ok(json!({"name": name, "only_in": only_in}))
}
