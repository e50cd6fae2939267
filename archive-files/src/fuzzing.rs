//! Entry points for fuzzing.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use crate::cache::Cached;
use crate::error::Result;
use crate::source::{Shared, Source};
use crate::tree::{FileTree, Kind};
use crate::volumes::Volumes;
pub use crate::volumes::fuzzing::{gpt, lvm, mbr, md};
use crate::walk::{Limits, Walk};

/// How much of an image is read, again and again, until it is taken for one that goes round in circles.
const BUDGET: u64 = 64 << 20;

/// Reads all that is on a disk, within the bounds that programs have, too.
pub fn disk(bytes: &[u8]) {
    let disk = bounded(Arc::new(bytes.to_vec()));
    let found = Volumes::find(vec![("disk".to_owned(), disk)]);
    for volume in found.with_files().take(8) {
        if let Ok(tree) = volume.open() {
            files(&*tree);
        }
    }
}

fn bounded(disk: Shared) -> Shared {
    let budget = disk.size().min(1 << 20).saturating_mul(64);
    Arc::new(Cached::new(disk, 1 << 20).with_budget(budget.saturating_add(BUDGET)))
}

const BLOCK: usize = 4096;
const WIDE: u64 = 4096;

/// A disk of which only the blocks are kept that are not zeroes: `fuzz/images/make` packs it.
#[derive(Clone, Debug)]
pub struct Image {
    size: u64,
    blocks: BTreeMap<u64, Arc<Vec<u8>>>,
}

impl Image {
    /// # Panics
    /// If it was not packed like that.
    #[must_use]
    #[expect(clippy::expect_used, reason = "it is part of the target")]
    pub fn unpack(packed: &[u8]) -> Self {
        let bytes = zstd::decode_all(packed).expect("an image is compressed");
        let (size, rest) = bytes.split_first_chunk().expect("an image has a size");
        let blocks = rest.as_chunks::<{ 8 + BLOCK }>().0.iter().map(|record| {
            let (number, block) = record.split_first_chunk().expect("a number is before it");
            (u64::from_le_bytes(*number), Arc::new(block.to_vec()))
        });
        Self {
            size: u64::from_le_bytes(*size),
            blocks: blocks.collect(),
        }
    }

    /// Changes bytes: of a block that is not zeroes, at an offset, by so much.
    fn change(&mut self, changes: &[u8]) {
        let count = self.blocks.len();
        for [a, b, c, d, by] in changes.as_chunks::<5>().0.iter().take(64) {
            let number = usize::from(u16::from_le_bytes([*a, *b]));
            let number = number.checked_rem(count).unwrap_or_default();
            let offset = usize::from(u16::from_le_bytes([*c, *d])) % BLOCK;
            let block = self.blocks.values_mut().nth(number);
            if let Some(byte) = block.and_then(|block| Arc::make_mut(block).get_mut(offset)) {
                *byte ^= *by;
            }
        }
    }
}

impl Source for Image {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut at = offset;
        let mut rest = buffer;
        while !rest.is_empty() {
            let within = usize::try_from(at % WIDE).unwrap_or_default();
            let len = BLOCK.saturating_sub(within).min(rest.len());
            let (now, later) = rest.split_at_mut(len);
            match self.blocks.get(&(at / WIDE)) {
                Some(block) => {
                    let part = block.get(within..within.saturating_add(len));
                    now.copy_from_slice(part.unwrap_or_default());
                }
                None => now.fill(0),
            }
            at = at.saturating_add(len as u64);
            rest = later;
        }
        Ok(())
    }
}

/// Reads the file system on one of these images, some of whose bytes are changed.
pub fn changed(images: &[Image], bytes: &[u8]) {
    let Some((which, changes)) = bytes.split_first() else {
        return;
    };
    let which = usize::from(*which).checked_rem(images.len());
    let Some(image) = which.and_then(|which| images.get(which)) else {
        return;
    };
    let mut image = image.clone();
    image.change(changes);
    let _ = read(Arc::new(image));
}

/// Reads all files of the file system on a disk; how many entries it has.
///
/// # Errors
/// If there is none that can be opened.
pub fn read(disk: Shared) -> Result<usize> {
    Ok(files(&*crate::known::open(&bounded(disk))?))
}

fn files(tree: &dyn FileTree) -> usize {
    let limits = Limits {
        depth: 64,
        entries: 2000,
    };
    let mut buffer = vec![0; 5000];
    let mut count = 0_usize;
    for found in Walk::new(tree, tree.root(), limits) {
        let Ok(stat) = found.stat else { continue };
        count = count.saturating_add(1);
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
    count
}
