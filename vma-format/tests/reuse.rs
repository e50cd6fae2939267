//! Archives that take over what an older one has: the same bytes, wherever they come from.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "tests may panic"
)]

mod support;

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use fleece_vma_format::index::{ExtentDigest, IndexBuilder};
use fleece_vma_format::{
    Base, Compression, ErrorKind, Header, Output, ReadAt as _, Reader, Source, Stretch, TakeOver,
    pack,
};
use proptest::prelude::*;
use support::{aligned_header, disk, header, sizes, written};

struct Image(Vec<u8>);

impl Source for Image {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    fn stretch_at(&self, _: u64, length: u64) -> io::Result<Stretch> {
        Ok(Stretch::data(length))
    }
}

/// Shares bytes of an older archive that are what they are said to be.
struct Share {
    base: Vec<u8>,
    /// Bytes shared, and bytes that were not what they were said to be.
    account: Arc<Mutex<(usize, usize)>>,
}

impl TakeOver<Vec<u8>> for Share {
    fn take_over(&mut self, out: &mut Vec<u8>, place: u64, bytes: &[u8]) -> io::Result<()> {
        assert!(place.is_multiple_of(4096) && bytes.len().is_multiple_of(4096));
        assert!(
            out.len().is_multiple_of(4096),
            "what is shared must be aligned in both"
        );
        let there = self.base.get(place as usize..place as usize + bytes.len());
        let mut account = self.account.lock().unwrap();
        match there == Some(bytes) {
            true => account.0 += bytes.len(),
            false => account.1 += bytes.len(),
        }
        out.write_all(bytes)
    }
}

fn index(archive: &[u8]) -> Vec<u8> {
    let mut reader = Reader::new(archive).unwrap();
    let (mut builder, mut index) = IndexBuilder::new(reader.header());
    while let Some(extent) = reader.next_extent().unwrap() {
        let piece = builder.extent(&ExtentDigest::of(&extent)).unwrap();
        index.extend(piece.unwrap_or_default());
    }
    index.extend(builder.finish());
    index
}

/// Packs disks on top of a base; gives the archive, and what was shared and what was wrong.
fn reusing(
    header: &Header,
    disks: &[Vec<u8>],
    base: &[u8],
    index: &[u8],
) -> (Vec<u8>, usize, usize) {
    let account = Arc::default();
    let share = Share {
        base: base.to_vec(),
        account: Arc::clone(&account),
    };
    let known = Base::open(base.to_vec(), index.to_vec()).unwrap();
    let images: Vec<Image> = disks.iter().cloned().map(Image).collect();
    let sources: Vec<&dyn Source> = images.iter().map(|image| image as _).collect();
    let index = Box::new(io::sink());
    let output = Output::new(Vec::new(), &Compression::None, Some(index)).unwrap();
    let output = output.reusing(known, Box::new(share));
    let (_, bytes, _) = pack(header, &sources, output, &mut |_| Ok(())).unwrap();
    let (shared, wrong) = *account.lock().unwrap();
    (bytes, shared, wrong)
}

/// How many bytes of payload two disks have in common, cluster by cluster.
fn common(one: &[Vec<u8>], other: &[Vec<u8>]) -> usize {
    let stored = |cluster: &[u8]| -> usize {
        let block = |block: &[u8]| usize::from(block.iter().any(|&byte| byte != 0)) * 4096;
        cluster.chunks(4096).map(block).sum()
    };
    let mut sum = 0;
    for (one, other) in one.iter().zip(other) {
        let pairs = one.chunks(65536).zip(other.chunks(65536));
        sum += pairs
            .filter(|(a, b)| a == b)
            .map(|(a, _)| stored(a))
            .sum::<usize>();
    }
    sum
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn what_is_equal_is_shared_and_the_archive_is_the_same_to_the_bit(
        lengths in prop::collection::vec(1..6_000_000_usize, 1..4),
        seed in any::<u64>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 1..300_000_usize), 0..6),
        grown in 0..200_000_usize,
    ) {
        let old: Vec<_> = lengths.iter().zip(seed..=u64::MAX).map(|(&n, s)| disk(n, s)).collect();
        let mut new = old.clone();
        for (at, value, length) in changes {
            let number = at.index(new.len());
            let disk = &mut new[number];
            let start = at.index(disk.len());
            let end = disk.len().min(start + length);
            disk[start..end].fill(value);
        }
        let end = new[0].len() + grown;
        new[0].resize(end, 7);
        let base = written(&aligned_header(&sizes(&old)), &old);
        let header = aligned_header(&sizes(&new));
        let (bytes, shared, wrong) = reusing(&header, &new, &base, &index(&base));
        prop_assert!(bytes == written(&header, &new));
        prop_assert_eq!((shared, wrong), (common(&old, &new), 0));
    }
}

proptest! {
    #[test]
    fn whatever_was_done_to_a_base_and_its_index_the_archive_is_the_same(
        changes in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        fleece_vma_format::fuzzing::reuse(&changes);
    }
}

#[test]
fn a_base_that_is_not_what_its_index_says_is_not_shared() {
    let disks = [disk(3_000_000, 1), disk(3_000_000, 2)];
    let header = aligned_header(&sizes(&disks));
    let base = written(&header, &disks);
    let index = index(&base);
    let all = common(&disks, &disks);
    for place in (header.size() as usize..base.len()).step_by(40_009) {
        let mut rotten = base.clone();
        rotten[place] ^= 1;
        let (bytes, shared, wrong) = reusing(&header, &disks, &rotten, &index);
        assert!(bytes == base, "flip at {place}");
        assert_eq!(shared + wrong, all);
    }
    // Another archive altogether, or one that is cut, is no base at all.
    let other = written(&aligned_header(&[100_000]), &[disk(100_000, 3)]);
    let error = Base::open(other, index.clone()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::IndexMismatch);
    let error = Base::open(base[..base.len() - 4096].to_vec(), index).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated);
}

#[test]
fn of_archives_that_are_not_aligned_nothing_is_taken_over() {
    let disks = [disk(3_000_000, 1)];
    let (plain, aligned) = (header(&sizes(&disks)), aligned_header(&sizes(&disks)));
    for (new, old) in [(&plain, &aligned), (&aligned, &plain), (&plain, &plain)] {
        let base = written(old, &disks);
        let (bytes, shared, wrong) = reusing(new, &disks, &base, &index(&base));
        assert!(bytes == written(new, &disks));
        // By chance one payload of eight is aligned.
        assert!(
            shared < common(&disks, &disks) / 2 && wrong == 0,
            "{shared}"
        );
    }
}
