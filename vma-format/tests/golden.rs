//! Archives written by Proxmox's own tool are read to the bit, and written again to the bit.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "tests may panic"
)]

mod support;

use fleece_vma_format::verify::{Watch, verify};
use fleece_vma_format::{
    ArchiveWriter, BLOCK_SIZE, ErrorKind, HeaderBuilder, RandomAccess, Reader, is_zero,
};
use support::{ShortReads, contents, golden_bytes, manifest, sha256};

#[test]
fn every_golden_archive_gives_the_files_that_the_reference_extracts() {
    for (name, golden) in manifest() {
        let (header, disks) = contents(&golden_bytes(&name)[..]).unwrap();
        let mut seen = 0;
        for config in header.configs() {
            let expected = &golden.files[config.name()];
            assert_eq!(
                sha256(config.data()),
                expected.sha256,
                "{name} {}",
                config.name()
            );
            seen += 1;
        }
        for (device, disk) in header.devices().iter().zip(&disks) {
            let file = format!("disk-{}.raw", device.name());
            if device.is_vmstate() {
                // The reference drops zero blocks here, which would shift what follows them.
                let squeezed: Vec<u8> = disk
                    .chunks(BLOCK_SIZE)
                    .filter(|block| !is_zero(block))
                    .flatten()
                    .copied()
                    .collect();
                assert_eq!(sha256(&squeezed), golden.files["vmstate.bin"].sha256);
            } else {
                assert_eq!(device.size(), golden.files[&file].size);
                assert_eq!(sha256(disk), golden.files[&file].sha256, "{name} {file}");
            }
            seen += 1;
        }
        assert_eq!(seen, golden.files.len(), "{name}");
    }
}

#[test]
fn short_reads_and_interruptions_change_nothing() {
    for (seed, name) in (1..).zip(manifest().keys()) {
        let bytes = golden_bytes(name);
        let whole = contents(&bytes[..]).unwrap();
        assert_eq!(
            contents(ShortReads::new(&bytes[..], seed)).unwrap(),
            whole,
            "{name}"
        );
    }
}

#[test]
fn written_again_every_golden_archive_is_the_same_to_the_bit() {
    for name in manifest().keys() {
        let bytes = golden_bytes(name);
        let mut reader = Reader::new(&bytes[..]).unwrap();
        let old = reader.header().clone();
        let mut builder = HeaderBuilder::new(*old.uuid(), old.ctime());
        for config in old.configs() {
            builder.add_config(config.name(), config.data()).unwrap();
        }
        for device in old.devices() {
            assert_eq!(
                builder.add_device(device.name(), device.size()).unwrap(),
                device.id()
            );
        }
        let mut writer = ArchiveWriter::new(Vec::new(), &builder.build().unwrap()).unwrap();
        let mut buffer = vec![0; 65536];
        while let Some(extent) = reader.next_extent().unwrap() {
            for cluster in extent.clusters() {
                let entry = cluster.entry();
                let device = old.device(entry.device()).unwrap();
                let left = if device.is_vmstate() {
                    u64::MAX
                } else {
                    device.size() - entry.offset()
                };
                let part = &mut buffer[..left.min(65536) as usize];
                cluster.copy_to(part);
                writer
                    .write_cluster(entry.device(), entry.index(), part)
                    .unwrap();
            }
        }
        let (again, summary) = writer.finish().unwrap();
        if name == "live.vma" {
            // Its last block, of 1536 bytes, is zero, and the reference stored it all the same: it
            // looked at its buffer behind the device's end.
            assert_eq!(again.len() + BLOCK_SIZE, bytes.len());
            assert_eq!(contents(&again[..]).unwrap(), contents(&bytes[..]).unwrap());
            continue;
        }
        let differs = again.iter().zip(&bytes).position(|(a, b)| a != b);
        assert_eq!(
            (differs, again.len()),
            (None, bytes.len()),
            "{name} differs"
        );
        assert_eq!(summary.bytes(), bytes.len() as u64);
    }
}

/// Written by the last release that wrote version 1.
#[test]
fn indexes_of_version_1_are_read() {
    struct Deaf;
    impl Watch for Deaf {}

    for name in ["config-only", "multi", "single", "vmstate", "zero"] {
        let good = golden_bytes(&format!("{name}.vma"));
        let index = golden_bytes(&format!("index-1/{name}.vma.idx"));
        let damages = |bytes: &[u8]| {
            let verified = verify(bytes, Some(&mut &index[..]), &mut Deaf).unwrap();
            assert!(verified.deep);
            verified.damages
        };
        assert_eq!(damages(&good), 0, "{name}");
        let archive = RandomAccess::open_with_index(&good, &index[..]).unwrap();
        let (header, disks) = contents(&good[..]).unwrap();
        for (device, disk) in header.devices().iter().zip(&disks) {
            let mut there = vec![0xee; disk.len()];
            archive.read_at(device.id(), 0, &mut there).unwrap();
            assert!(there == *disk, "{name}");
        }
        let mut reader = Reader::new(&good[..]).unwrap();
        let mut last = None;
        while let Some(extent) = reader.next_extent().unwrap() {
            let end = extent.offset() as usize + extent.as_bytes().len() - 1;
            let stored = extent.clusters().filter(|cluster| !cluster.is_zero());
            last = stored
                .last()
                .map(|cluster| (end, cluster.entry().device()))
                .or(last);
        }
        let Some((place, device)) = last else {
            continue;
        };
        let mut bad = good.clone();
        bad[place] ^= 1;
        assert_eq!(damages(&bad), 1, "{name}");
        let archive = RandomAccess::open_with_index(&bad, &index[..]).unwrap();
        let size = archive.device_size(device).unwrap() as usize;
        let error = archive.read_at(device, 0, &mut vec![0; size]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Payload, "{name}");
    }
}
