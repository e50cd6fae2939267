//! Directories: a tree of names, sorted. All of its nodes are read, one after another, as they lie.

use std::ops::ControlFlow;

use super::attribute::Attribute;
use super::geometry::Geometry;
use super::record::restore;
use super::{FIRST, ROOT};
use crate::bytes::{Fields, div, size, units, utf16};
use crate::error::{Error, Result};
use crate::source::Source;
use crate::tree::{Entry, NodeId, entry_name};

const ALLOCATION: u32 = 0xa0;
const BITMAP: u32 = 0xb0;

/// The longest directory that is read: ten million entries of 100 bytes.
const MAX_DIRECTORY: u64 = 1 << 30;

pub(super) fn list(
    source: &dyn Source,
    geometry: &Geometry,
    attributes: &[Attribute],
    each: &mut dyn FnMut(Entry) -> ControlFlow<()>,
) -> Result<()> {
    let of = |kind: u32| {
        attributes
            .iter()
            .find(|found| found.kind == kind && found.name == b"$I30")
    };
    let root = attributes.iter().find(|found| found.is_index());
    let root = root.ok_or_else(|| Error::damaged("a directory has no root"))?;
    let root = root.whole(source, geometry, 64 << 10)?;
    if entries(root.get(16..).unwrap_or_default(), each)?.is_break() {
        return Ok(());
    }
    let Some(allocation) = of(ALLOCATION) else {
        return Ok(());
    };
    if allocation.len() > MAX_DIRECTORY {
        return Err(Error::limit("the directory is larger than 1 GiB"));
    }
    let bitmap = match of(BITMAP) {
        Some(bitmap) => bitmap.whole(source, geometry, 1 << 20)?,
        None => Vec::new(),
    };
    let len = root.le32(8).map_or(geometry.index, u64::from);
    if !(512..=65536).contains(&len) {
        return Err(Error::damaged("a node of a directory has a wrong size"));
    }
    for number in 0..div(allocation.len(), len) {
        let byte = bitmap.get(size(number / 8)).copied().unwrap_or_default();
        if byte & (1 << (number & 7)) == 0 {
            continue;
        }
        let mut node = vec![0; size(len)];
        allocation.read(source, geometry, number.saturating_mul(len), &mut node)?;
        restore(&mut node, b"INDX")?;
        if entries(node.get(24..).unwrap_or_default(), each)?.is_break() {
            return Ok(());
        }
    }
    Ok(())
}

/// Entries behind a header, whose offsets are from it on.
fn entries(node: &[u8], each: &mut dyn FnMut(Entry) -> ControlFlow<()>) -> Result<ControlFlow<()>> {
    let end = size(u64::from(node.le32(4)?)).min(node.len());
    let mut at = size(u64::from(node.le32(0)?));
    while at.saturating_add(16) <= end {
        let len = usize::from(node.le16(at.saturating_add(8))?);
        let is_end = node.le16(at.saturating_add(12))? & 2 != 0;
        if is_end || len < 16 {
            break;
        }
        let number = node.le64(at)? & 0xffff_ffff_ffff;
        let name_at = at.saturating_add(16);
        let name_len = usize::from(node.byte(name_at.saturating_add(64))?).saturating_mul(2);
        let space = node.byte(name_at.saturating_add(65))?;
        let name = node.part(name_at.saturating_add(66), name_len)?;
        // Names of eight and three letters are beside the real ones; the file system's own files are nobody's.
        let is_shown = space != 2 && (number >= FIRST || number == ROOT);
        if let (true, Some(name)) = (is_shown, entry_name(&utf16(units(name)))) {
            let node = NodeId { tree: 0, number };
            if each(Entry { name, node }).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        at = at.saturating_add(len);
    }
    Ok(ControlFlow::Continue(()))
}
