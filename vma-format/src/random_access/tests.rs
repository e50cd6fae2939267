use super::*;
use crate::container::{FrameOptions, FrameWriter, Seekable, embedded_index};
use crate::header::HeaderBuilder;
use crate::index::INDEX_FRAME_MAGIC;
use crate::index::tests::index;
use crate::layout::cluster_length;
use crate::reader::Reader;
use proptest::prelude::*;
use std::io::Write;

/// Two disks of odd sizes with a cluster pattern given by `kinds`, interleaved and backwards for
/// one of them.
fn sample(kinds: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let sizes = [kinds.len() as u64 * 65536 - 512, 3 * 65536 + 4097];
    let mut builder = HeaderBuilder::new([9; 16], 0);
    let ids: Vec<_> = sizes
        .iter()
        .zip(["a", "b"])
        .map(|(s, n)| builder.add_device(n, *s).unwrap())
        .collect();
    let header = builder.build().unwrap();
    let disks: Vec<Vec<u8>> = sizes
        .iter()
        .map(|&size| {
            let byte = |i: u64| match kinds[(i / 65536) as usize % kinds.len()] % 3 {
                0 => 0,
                1 => (i % 251) as u8 | 1,
                _ => u8::from((i / 4096) % 3 == 1) * 7,
            };
            (0..size).map(byte).collect()
        })
        .collect();
    let mut writer = crate::writer::ArchiveWriter::new(Vec::new(), &header).unwrap();
    for step in 0..kinds.len().max(4) as u64 {
        for (disk, (id, size)) in disks.iter().zip(ids.iter().zip(sizes)) {
            let count = crate::cluster_count(size);
            if step >= count {
                continue;
            }
            let index = if id.get() == 1 {
                count - 1 - step
            } else {
                step
            };
            let start = (index * 65536) as usize;
            let end = start + cluster_length(size, index);
            writer.write_cluster(*id, index, &disk[start..end]).unwrap();
        }
    }
    (writer.finish().unwrap().0, disks)
}

fn check(
    archive: &RandomAccess<impl ReadAt, impl ReadAt>,
    disks: &[Vec<u8>],
    places: &[(u32, u32)],
) {
    for (device, disk) in archive.header().devices().iter().zip(disks) {
        let mut whole = vec![0xee; disk.len()];
        archive.read_at(device.id(), 0, &mut whole).unwrap();
        assert!(whole == *disk);
        for &(from, length) in places {
            let from = from as usize % disk.len();
            let to = (from + length as usize % 200_000).min(disk.len());
            let mut part = vec![0xee; to - from];
            archive
                .read_at(device.id(), from as u64, &mut part)
                .unwrap();
            assert!(part == disk[from..to]);
            if from < disk.len() {
                let stretch = archive.stretch_at(device.id(), from as u64).unwrap();
                let end = from + stretch.length as usize;
                assert!(stretch.length > 0 && end <= disk.len());
                assert!(stretch.data || is_zero(&disk[from..end]));
                let all = archive.stretches_at(device.id(), from as u64, u64::MAX, usize::MAX);
                let all = all.unwrap();
                assert_eq!(all[0], stretch);
                assert!(all.windows(2).all(|pair| pair[0].data != pair[1].data));
                let sum: u64 = all.iter().map(|stretch| stretch.length).sum();
                assert_eq!(sum as usize, disk.len() - from);
                let some = archive
                    .stretches_at(device.id(), from as u64, 5, 2)
                    .unwrap();
                assert_eq!(some.iter().map(|it| it.length).sum::<u64>(), 5.min(sum));
            }
        }
        assert!(
            archive
                .read_at(device.id(), disk.len() as u64 - 1, &mut [0; 2])
                .is_err()
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_way_in_gives_the_same_bytes(
        kinds in prop::collection::vec(0..3_u8, 1..70),
        places in prop::collection::vec((any::<u32>(), any::<u32>()), 1..12),
    ) {
        let (bytes, disks) = sample(&kinds);
        let index = index(&bytes);
        check(&RandomAccess::open(&bytes).unwrap(), &disks, &places);
        check(&RandomAccess::open_with_index(&bytes, &index[..]).unwrap(), &disks, &places);

        let options = FrameOptions::default().with_frame_size(77_777).with_level(1);
        let mut writer = FrameWriter::zstd(Vec::new(), &options).unwrap();
        writer.write_all(&bytes).unwrap();
        let (one, two) = index.split_at(index.len() / 2);
        writer.skippable(INDEX_FRAME_MAGIC, one).unwrap();
        writer.skippable(INDEX_FRAME_MAGIC, two).unwrap();
        let (zst, _) = writer.finish().unwrap();
        let contents = Seekable::open(&zst).unwrap().unwrap();
        let inside = embedded_index(&zst).unwrap().unwrap();
        check(&RandomAccess::open_with_index(contents, inside).unwrap(), &disks, &places);
    }
}

#[test]
fn an_archive_that_misses_its_last_extent_does_not_open() {
    let (bytes, _) = sample(&[1; 80]);
    let mut reader = Reader::new(&bytes[..]).unwrap();
    let mut last = 0;
    while let Some(extent) = reader.next_extent().unwrap() {
        last = extent.offset() as usize;
    }
    let index = index(&bytes);
    let cut = bytes[..last].to_vec();
    assert_eq!(
        RandomAccess::open(&cut).unwrap_err().kind(),
        ErrorKind::MissingCluster
    );
    let error = RandomAccess::open_with_index(&cut, &index[..]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated);
}

/// What is read of an archive of which one bit has changed.
fn flipped_bit(index: &[u8], bytes: &[u8], disks: &[Vec<u8>]) {
    let mut reader = Reader::new(bytes).unwrap();
    let extent = reader.next_extent().unwrap().unwrap();
    let (at, mut place) = (extent.clusters().nth(3).unwrap().entry(), 512);
    for cluster in extent.clusters().take(3) {
        place += cluster.blocks().len();
    }
    let mut bad = bytes.to_vec();
    bad[extent.offset() as usize + place + 777] ^= 4;
    let archive = RandomAccess::open_with_index(&bad, index).unwrap();
    assert!(archive.is_checked());
    for (device, disk) in archive.header().devices().iter().zip(disks) {
        // In steps that are parts of clusters, whole ones, and several.
        for step in [4096, 65536, 200_000] {
            for from in (0..disk.len()).step_by(step) {
                let to = (from + step).min(disk.len());
                let mut part = vec![0xee; to - from];
                let read = archive.read_at(device.id(), from as u64, &mut part);
                let cluster = at.offset() as usize..at.offset() as usize + 65536;
                // Of a cluster that is read in parts, those that are zero are not stored.
                let hit = at.device() == device.id() && from < cluster.end && cluster.start < to;
                if hit && !is_zero(&disk[from..to]) {
                    assert_eq!(read.unwrap_err().kind(), ErrorKind::Payload);
                } else {
                    read.unwrap();
                    assert!(part == disk[from..to]);
                }
            }
        }
    }
}

#[test]
fn one_flipped_bit_is_never_read_with_an_index() {
    let (bytes, disks) = sample(&[1, 1, 2, 0, 2, 1, 1, 1]);
    flipped_bit(&index(&bytes), &bytes, &disks);
}

#[test]
fn an_index_that_changes_while_it_is_used_is_an_error() {
    struct Changing(Vec<u8>, std::sync::atomic::AtomicBool);
    impl ReadAt for &Changing {
        fn size(&self) -> io::Result<u64> {
            self.0.size()
        }
        fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
            self.0.read_exact_at(buffer, offset)?;
            if self.1.load(std::sync::atomic::Ordering::Relaxed) {
                buffer.iter_mut().for_each(|byte| *byte ^= 1);
            }
            Ok(())
        }
    }
    let (bytes, disks) = sample(&[1; 8]);
    let index = Changing(index(&bytes), false.into());
    let archive = RandomAccess::open_with_index(&bytes, &index).unwrap();
    index.1.store(true, std::sync::atomic::Ordering::Relaxed);
    let device = archive.header().devices()[0].id();
    let mut there = vec![0; disks[0].len()];
    let error = archive.read_at(device, 0, &mut there).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Index);
}
