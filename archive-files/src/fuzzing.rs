//! Entry points for fuzzing.

use std::sync::Arc;

use crate::cache::Cached;
use crate::source::Shared;
use crate::tree::{FileTree, Kind};
use crate::volumes::Volumes;
use crate::walk::{Limits, Walk};

/// Reads all that is on a disk, within the bounds that programs have, too.
pub fn disk(bytes: &[u8]) {
    let size = bytes.len() as u64;
    let budget = size.saturating_mul(64).saturating_add(1 << 24);
    let disk: Shared = Arc::new(Cached::new(Arc::new(bytes.to_vec()), 1 << 20).with_budget(budget));
    let found = Volumes::find(vec![("disk".to_owned(), disk)]);
    for volume in found.with_files().take(8) {
        if let Ok(tree) = volume.open() {
            files(&*tree);
        }
    }
}

/// Reads the file system on a volume, and nothing else of it.
pub fn volume(bytes: &[u8]) {
    let budget = (bytes.len() as u64)
        .saturating_mul(64)
        .saturating_add(1 << 24);
    let disk: Shared = Arc::new(Cached::new(Arc::new(bytes.to_vec()), 1 << 20).with_budget(budget));
    if let Ok(tree) = crate::known::open(&disk) {
        files(&*tree);
    }
}

/// An image that stays the same, some of whose bytes are changed: pairs of a place and a byte, six bytes each.
pub fn flipped(image: &[u8], flips: &[u8]) {
    let mut bytes = image.to_vec();
    let (flips, _) = flips.as_chunks::<5>();
    for [a, b, c, d, value] in flips {
        let place = u32::from_le_bytes([*a, *b, *c, *d]);
        let place = usize::try_from(place).unwrap_or_default();
        let place = place.checked_rem(bytes.len()).unwrap_or_default();
        if let Some(byte) = bytes.get_mut(place) {
            *byte ^= *value;
        }
    }
    volume(&bytes);
}

fn files(tree: &dyn FileTree) {
    let limits = Limits {
        depth: 64,
        entries: 2000,
    };
    let mut buffer = vec![0; 5000];
    for found in Walk::new(tree, tree.root(), limits) {
        let Ok(stat) = found.stat else { continue };
        match stat.kind {
            Kind::File => {
                for offset in [0, stat.size / 2, stat.size.saturating_sub(10)] {
                    let _ = tree.read_at(found.node, offset, &mut buffer);
                    let _ = tree.data_at(found.node, offset);
                }
                let _ = tree.streams(found.node);
            }
            Kind::Link => drop(tree.link(found.node)),
            _ => {}
        }
        let _ = tree.attributes(found.node);
    }
}
