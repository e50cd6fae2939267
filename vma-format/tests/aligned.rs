//! Aligned archives: payload on 4 KiB boundaries, borders by cluster numbers, and an archive like any other.
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

use fleece_vma_format::container::{self, FrameOptions};
use fleece_vma_format::verify::{Watch, verify};
use fleece_vma_format::{
    CLUSTER_SIZE, Compression, EXTENT_CLUSTERS, EXTENT_HEADER_SIZE, Header, Output, RandomAccess,
    ReadAt as _, Reader, Source, Stretch, pack,
};
use proptest::prelude::*;
use support::{ShortReads, aligned_header, archive, contents, disk, golden_bytes, sizes, written};

struct Image(Vec<u8>);

impl Source for Image {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    fn stretch_at(&self, offset: u64, length: u64) -> io::Result<Stretch> {
        let rest = &self.0[offset as usize..(offset + length) as usize];
        let zero = rest
            .chunks(4096)
            .take_while(|block| block.iter().all(|&byte| byte == 0));
        Ok(match zero.map(|block| block.len() as u64).sum() {
            0 => Stretch::data(length),
            zero => Stretch::zeroes(zero),
        })
    }
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Packs the disks; gives archive and index.
fn packed(header: &Header, disks: &[Vec<u8>], compression: &Compression) -> (Vec<u8>, Vec<u8>) {
    let images: Vec<Image> = disks.iter().cloned().map(Image).collect();
    let sources: Vec<&dyn Source> = images.iter().map(|image| image as _).collect();
    let index = Shared::default();
    let output = Output::new(Vec::new(), compression, Some(Box::new(index.clone()))).unwrap();
    let (summary, bytes, written) = pack(header, &sources, output, &mut |_| Ok(())).unwrap();
    assert_eq!(summary.bytes(), written.plain);
    let index = std::mem::take(&mut *index.0.lock().unwrap());
    (bytes, index)
}

struct Deaf;

impl Watch for Deaf {}

/// Which clusters are in one extent together; checks alignment along the way.
fn groups(bytes: &[u8]) -> Vec<Vec<(u8, u64)>> {
    let mut reader = Reader::new(bytes).unwrap();
    let (mut groups, mut padding) = (Vec::new(), 0);
    while let Some(extent) = reader.next_extent().unwrap() {
        let entries = extent.header().entries();
        if entries.is_empty() {
            padding += 1;
            continue;
        }
        if extent.has_payload() {
            assert_eq!((extent.offset() + EXTENT_HEADER_SIZE as u64) % 4096, 0);
            assert!(padding < 8, "{padding}");
            padding = 0;
        }
        groups.push(
            entries
                .iter()
                .map(|e| (e.device().get(), e.index()))
                .collect(),
        );
    }
    groups
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn an_aligned_archive_holds_the_same_disks_whoever_writes_and_reads_it(
        lengths in prop::collection::vec(1..9_000_000_usize, 1..4),
        seed in any::<u64>(),
    ) {
        let disks: Vec<_> = lengths.iter().zip(seed..=u64::MAX).map(|(&n, s)| disk(n, s)).collect();
        let header = aligned_header(&sizes(&disks));
        prop_assert_eq!(header.size() % 4096, 0);
        let (plain, index) = packed(&header, &disks, &Compression::None);
        prop_assert!(plain == written(&header, &disks), "both writers pad alike");
        for group in groups(&plain) {
            let (device, first) = group[0];
            prop_assert_eq!(first % EXTENT_CLUSTERS as u64, 0);
            let last = disks[usize::from(device) - 1].len().div_ceil(CLUSTER_SIZE) as u64;
            let end = last.min(first + EXTENT_CLUSTERS as u64);
            prop_assert!(group.into_iter().eq((first..end).map(|index| (device, index))));
        }
        let short = ShortReads::new(&plain[..], 3);
        prop_assert!(contents(short).unwrap().1 == disks);
        let found = verify(&plain[..], Some(&mut &index[..]), &mut Deaf).unwrap();
        prop_assert_eq!((found.damages, found.deep), (0, true));
        for random in [RandomAccess::open(&plain), RandomAccess::open_with_index(&plain, &index)] {
            let random = random.unwrap();
            prop_assert!(random.in_order());
            for (device, disk) in header.devices().iter().zip(&disks) {
                let mut there = vec![0xee; disk.len()];
                random.read_at(device.id(), 0, &mut there).unwrap();
                prop_assert!(there == *disk);
            }
        }
        let options = FrameOptions::default().with_level(1).with_frame_size(300_000);
        let (zstd, _) = packed(&header, &disks, &Compression::Zstd(options));
        let stream = container::open(&zstd[..]).unwrap();
        prop_assert!(contents(stream).unwrap().1 == disks);
    }
}

#[test]
fn extents_of_an_aligned_archive_do_not_depend_on_contents_nor_on_other_disks() {
    let one = [disk(7_000_000, 1), disk(9_000_000, 2)];
    let other = [disk(4_000_000, 3), vec![0; 9_000_000]];
    let of_second = |disks: &[Vec<u8>]| {
        let mut groups = groups(&written(&aligned_header(&sizes(disks)), disks));
        groups.retain(|group| group[0].0 == 2);
        groups
    };
    assert_eq!(of_second(&one), of_second(&other));
}

#[test]
fn alignment_costs_one_part_in_a_thousand() {
    let mut full = disk(40_000_000, 5);
    full.iter_mut().for_each(|byte| *byte |= 1);
    let disks = [full];
    let aligned = written(&aligned_header(&sizes(&disks)), &disks).len();
    let plain = archive(&disks).len();
    let more = (aligned - plain) as f64 / plain as f64;
    assert!(more < 0.0012, "{more}");
}

/// Proxmox's own tool has verified, listed and extracted this one, and got what it gets of `multi.vma`.
#[test]
fn an_aligned_archive_that_the_reference_has_read_is_read_alike() {
    let aligned = golden_bytes("aligned-multi.vma");
    let (header, disks) = contents(&aligned[..]).unwrap();
    let (plain, expected) = contents(&golden_bytes("multi.vma")[..]).unwrap();
    assert_eq!(header.configs(), plain.configs());
    assert_eq!(header.devices(), plain.devices());
    assert!(disks == expected);
    assert!(!groups(&aligned).is_empty());
    // What we write is made of the same parts: a longer header and empty extents.
    let mut reader = Reader::new(&aligned[..]).unwrap();
    let mut empty = 0;
    while let Some(extent) = reader.next_extent().unwrap() {
        empty += usize::from(extent.header().entries().is_empty());
    }
    assert!(empty > 0 && header.size() > plain.size());
}
