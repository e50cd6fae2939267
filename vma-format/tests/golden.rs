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

use fleece_vma_format::{ArchiveWriter, BLOCK_SIZE, HeaderBuilder, Reader, is_zero};
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
