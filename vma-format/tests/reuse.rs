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

use fleece_vma_format::container::{Contents, FrameOptions, Seekable, embedded_index};
use fleece_vma_format::index::{ExtentDigest, IndexBuilder};
use fleece_vma_format::{
    Base, Compression, Encoder, ErrorKind, ExtentWriter, Header, Output, ReadAt as _, Reader,
    Source, Stretch, TakeOver, pack,
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

    fn take_unread(&mut self, out: &mut Vec<u8>, place: u64, length: u64) -> io::Result<()> {
        assert!(place.is_multiple_of(4096) && length.is_multiple_of(4096));
        let there = &self.base[place as usize..(place + length) as usize];
        self.account.lock().unwrap().0 += there.len();
        out.write_all(there)
    }

    fn take_frame(&mut self, out: &mut Vec<u8>, place: u64, length: u64) -> io::Result<()> {
        assert!(place.is_multiple_of(4096) && out.len().is_multiple_of(4096));
        let there = &self.base[place as usize..(place + length) as usize];
        self.account.lock().unwrap().0 += there.len();
        out.write_all(there)
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

/// The archive and the index of disks of which the clusters that are equal to those of the base are never looked at.
fn on_trust(
    header: &Header,
    disks: &[Vec<u8>],
    (old, base): (&[Vec<u8>], &[u8]),
    index: &[u8],
) -> (Vec<u8>, Vec<u8>) {
    let known = Base::open(base.to_vec(), index.to_vec()).unwrap();
    assert!(known.is_known());
    let share = Share {
        base: base.to_vec(),
        account: Arc::default(),
    };
    let index = Collected::default();
    let output = Output::new(
        Vec::new(),
        &Compression::None,
        Some(Box::new(index.clone())),
    );
    let output = output.unwrap().reusing(known.clone(), Box::new(share));
    let mut writer = ExtentWriter::new(header, output).unwrap();
    let mut encoder = Encoder::new(header);
    for ((device, new), old) in header.devices().iter().zip(disks).zip(old) {
        let clusters = new.chunks(65536).zip(old.chunks(65536));
        for ((new, old), number) in clusters.zip(0..) {
            let there = (new == old).then(|| known.known(device.id(), number));
            let full = match there.flatten() {
                Some(known) => encoder.known_cluster(device.id(), number, known),
                None => encoder.cluster(device.id(), number, new),
            };
            if let Some(extent) = full.unwrap() {
                writer.write(extent, &mut |_| {}).unwrap();
            }
        }
    }
    let (last, summary) = encoder.finish().unwrap();
    if let Some(extent) = last {
        writer.write(extent, &mut |_| {}).unwrap();
    }
    let (bytes, _) = writer.finish(&mut |_| {}).unwrap();
    assert_eq!(summary.bytes(), bytes.len() as u64);
    let index = index.0.lock().unwrap().clone();
    (bytes, index)
}

#[derive(Clone, Default)]
struct Collected(Arc<Mutex<Vec<u8>>>);

impl Write for Collected {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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
        grown in prop_oneof![Just(0), 0..200_000_usize],
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
        if grown == 0 {
            let (unread, its) = on_trust(&header, &new, (&old, &base), &index(&base));
            prop_assert!(unread == bytes);
            prop_assert!(its == index(&bytes));
        }
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

/// Packs disks in zstd, on top of a base that is too; gives the file, and how many bytes of it are the base's.
fn compressed(header: &Header, disks: &[Vec<u8>], base: Option<&[u8]>) -> (Vec<u8>, usize) {
    let account: Arc<Mutex<(usize, usize)>> = Arc::default();
    let images: Vec<Image> = disks.iter().cloned().map(Image).collect();
    let sources: Vec<&dyn Source> = images.iter().map(|image| image as _).collect();
    let mut output = Output::new(Vec::new(), &zstd(), None).unwrap();
    if let Some(base) = base {
        let share = Share {
            base: base.to_vec(),
            account: Arc::clone(&account),
        };
        output = output.reusing(compressed_base(base), Box::new(share));
    }
    let (_, bytes, _) = pack(header, &sources, output, &mut |_| Ok(())).unwrap();
    let shared = account.lock().unwrap().0;
    (bytes, shared)
}

fn zstd() -> Compression {
    Compression::Zstd(FrameOptions::default().with_level(1))
}

fn compressed_base(file: &[u8]) -> Base {
    let contents = || -> Contents<'static> { Arc::new(file.to_vec()) };
    let index = embedded_index(contents()).unwrap().unwrap();
    Base::open_compressed(Seekable::open(contents()).unwrap().unwrap(), index).unwrap()
}

fn decompressed(file: &[u8]) -> Vec<u8> {
    zstd::decode_all(file).unwrap()
}

#[test]
fn compressed_archives_of_one_disk_line_up_and_take_over_frames() {
    let old = [disk(9_000_000, 1), disk(2_000_000, 2)];
    let mut new = old.clone();
    // Of a frame of 15 clusters one changes, and of another disk nothing.
    new[0][70 * 65536..70 * 65536 + 10].fill(9);
    let header = aligned_header(&sizes(&old));
    let (base, nothing) = compressed(&header, &old, None);
    assert_eq!(nothing, 0);
    assert!(decompressed(&base) == written(&header, &old));
    assert!(compressed_base(&base).is_known());
    let (file, shared) = compressed(&header, &new, Some(&base));
    assert!(decompressed(&file) == written(&header, &new));
    assert!(shared > base.len() * 7 / 10, "{shared} of {}", base.len());
    // All of it, if nothing has changed.
    let (same, shared) = compressed(&header, &old, Some(&base));
    assert!(same == base && shared > base.len() * 95 / 100, "{shared}");
    // What an ordinary archive has is taken over as little as what is damaged.
    let rotten = {
        let mut rotten = base.clone();
        let middle = rotten.len() / 2;
        rotten[middle] ^= 1;
        rotten
    };
    let (file, _) = compressed(&header, &new, Some(&rotten));
    assert!(decompressed(&file) == written(&header, &new));
    let ordinary = support::header(&sizes(&old));
    let (plain, _) = compressed(&ordinary, &old, None);
    assert!(!compressed_base(&plain).is_known());
    let (file, shared) = compressed(&header, &new, Some(&plain));
    assert!(decompressed(&file) == written(&header, &new) && shared == 0);
}

#[test]
fn frames_that_line_up_cost_little() {
    let disks = [disk(40_000_000, 3)];
    let (lined_up, _) = compressed(&aligned_header(&sizes(&disks)), &disks, None);
    let (plain, _) = compressed(&header(&sizes(&disks)), &disks, None);
    let more = lined_up.len() as f64 / plain.len() as f64;
    assert!(more < 1.01, "{more}");
}

#[test]
fn of_a_frame_that_is_known_in_part_nothing_is_made() {
    let disks = [disk(2_000_000, 1)];
    let header = aligned_header(&sizes(&disks));
    let (base, _) = compressed(&header, &disks, None);
    let known = compressed_base(&base);
    let device = header.devices()[0].id();
    let write = |read: &dyn Fn(u64) -> bool| {
        let share = Share {
            base: base.clone(),
            account: Arc::default(),
        };
        let output = Output::new(Vec::new(), &zstd(), None).unwrap();
        let output = output.reusing(known.clone(), Box::new(share));
        let mut writer = ExtentWriter::new(&header, output).unwrap();
        let mut encoder = Encoder::new(&header);
        for (cluster, number) in disks[0].chunks(65536).zip(0..) {
            let there = known.known(device, number).filter(|_| !read(number));
            let full = match there {
                Some(known) => encoder.known_cluster(device, number, known),
                None => encoder.cluster(device, number, cluster),
            };
            assert!(full.unwrap().is_none(), "the disk has one extent");
        }
        let (last, _) = encoder.finish().unwrap();
        writer.write(last.unwrap(), &mut |_| {}).unwrap();
        writer.finish(&mut |_| {}).map(|(file, _)| file)
    };
    assert!(write(&|_| false).unwrap() == base);
    let together = known.together(20);
    assert!(write(&|cluster| together.contains(&cluster)).unwrap() == base);
    // Of several clusters with data.
    let mut stored = together.filter(|&cluster| known.known(device, cluster).is_some());
    let (one, _) = (stored.next().unwrap(), stored.next().unwrap());
    let error = write(&|cluster| cluster == one).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[test]
fn an_index_that_puts_clusters_elsewhere_is_found_out_by_the_headers() {
    // Two clusters of one value, but for their order; of an archive of other disks, only its headers differ.
    let (one, other) = (
        [vec![1; 65536], vec![2; 65536]],
        [vec![2; 65536], vec![1; 65536]],
    );
    let header = aligned_header(&[131_072]);
    let archives = [one.concat(), other.concat()].map(|disk| written(&header, &[disk]));
    let known = Base::open(archives[0].clone(), index(&archives[0])).unwrap();
    assert!(known.archive().check_headers().is_ok());
    // Its payload fits what the index says; the extents that hold it have other clusters.
    let swapped = {
        let mut disk = vec![0; 65536];
        disk.extend(&one[0]);
        written(&header, &[disk])
    };
    let mut same_length = written(&header, &[[&one[0][..], &[0; 65536]].concat()]);
    let index_of_swapped = index(&swapped);
    same_length.truncate(swapped.len());
    let misled = Base::open(same_length, index_of_swapped).unwrap();
    let device = header.devices()[0].id();
    let mut there = vec![0; 65536];
    misled.archive().read_at(device, 65536, &mut there).unwrap();
    assert_eq!(there, one[0], "the checksum is right");
    let error = misled.archive().check_headers().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Index);
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
