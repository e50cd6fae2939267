//! One conformance suite for all devices, and what only some can show.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "an overflow fails the test, as it should"
)]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

/// One device of each kind that can be written, empty and of the same size, and its directory.
fn devices(size: u64) -> (TempDir, Vec<Box<dyn BlockDevice>>) {
    let dir = TempDir::new().unwrap();
    let devices: Vec<Box<dyn BlockDevice>> = vec![
        Box::new(MemoryDevice::new(size)),
        Box::new(RawFile::create(&dir.path().join("raw"), size).unwrap()),
        Box::new(Qcow2::create(&dir.path().join("qcow2"), size).unwrap()),
    ];
    (dir, devices)
}

#[derive(Clone, Debug)]
enum Step {
    Write(u64, Vec<u8>),
    Zero(u64, u64),
    ZeroAllocated(u64, u64),
    Read(u64, u64),
    Flush,
}

/// Larger than a qcow2 cluster, and no multiple of a page. imago wants whole sectors.
const SIZE: u64 = 200 * 1024 + 512;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let range = || (0..=SIZE).prop_flat_map(|offset| (Just(offset), 0..=(SIZE - offset)));
    let step = prop_oneof![
        (range(), any::<u8>()).prop_map(|((offset, len), byte)| {
            Step::Write(offset, vec![byte; usize::try_from(len).unwrap()])
        }),
        range().prop_map(|(offset, len)| Step::Zero(offset, len)),
        range().prop_map(|(offset, len)| Step::ZeroAllocated(offset, len)),
        range().prop_map(|(offset, len)| Step::Read(offset, len)),
        Just(Step::Flush),
    ];
    prop::collection::vec(step, 1..12)
}

fn range(offset: u64, len: u64) -> std::ops::Range<usize> {
    let start = usize::try_from(offset).unwrap();
    start..start + usize::try_from(len).unwrap()
}

fn apply(device: &dyn BlockDevice, model: &mut [u8], step: &Step) {
    match step {
        Step::Write(offset, data) => {
            device.write_at(data, *offset).unwrap();
            model[range(*offset, data.len() as u64)].copy_from_slice(data);
        }
        Step::Zero(offset, len) => {
            device.write_zeroes(*offset, *len).unwrap();
            model[range(*offset, *len)].fill(0);
        }
        Step::ZeroAllocated(offset, len) => {
            device.write_zeroes_allocated(*offset, *len).unwrap();
            model[range(*offset, *len)].fill(0);
        }
        Step::Read(offset, len) => {
            let mut buf = vec![0xee; usize::try_from(*len).unwrap()];
            device.read_at(&mut buf, *offset).unwrap();
            assert!(buf == model[range(*offset, *len)], "{device:?}: {step:?}");
        }
        Step::Flush => device.flush().unwrap(),
    }
}

/// Walks the whole device and checks that what is told to be zero is zero.
pub(super) fn check_status(device: &dyn BlockDevice, model: &[u8]) {
    let mut offset = 0;
    while offset < device.size() {
        let extent = device.block_status(offset, device.size() - offset).unwrap();
        assert!(
            extent.len > 0 && extent.len <= device.size() - offset,
            "{device:?}: {extent:?}"
        );
        if extent.status == Status::Zero {
            assert!(
                is_zero(&model[range(offset, extent.len)]),
                "{device:?} at {offset}"
            );
        }
        offset += extent.len;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_device_behaves_like_an_array(steps in steps()) {
        let (_dir, devices) = devices(SIZE);
        for device in devices {
            let mut model = vec![0; usize::try_from(SIZE).unwrap()];
            for step in &steps {
                apply(&*device, &mut model, step);
            }
            check_status(&*device, &model);
            apply(&*device, &mut model, &Step::Read(0, SIZE));
        }
    }

    #[test]
    fn zero_is_what_has_no_other_byte(len in 0_usize..5000, at in 0_usize..5000) {
        let mut bytes = vec![0; len];
        prop_assert!(is_zero(&bytes));
        if let Some(byte) = bytes.get_mut(at) {
            *byte = 1;
            prop_assert!(!is_zero(&bytes));
        }
    }
}

#[test]
fn a_range_outside_is_refused_and_changes_nothing() {
    let (_dir, devices) = devices(8192);
    for device in devices {
        let outside = [
            (8192, 1),
            (8191, 2),
            (0, 8193),
            (u64::MAX, 2),
            (1, u64::MAX),
        ];
        for (offset, len) in outside {
            let kind = |result: Result<()>| result.expect_err("is outside").kind();
            assert_eq!(
                kind(device.write_zeroes(offset, len)),
                ErrorKind::OutOfBounds
            );
            assert_eq!(
                kind(device.write_zeroes_allocated(offset, len)),
                ErrorKind::OutOfBounds
            );
            assert_eq!(kind(device.discard(offset, len)), ErrorKind::OutOfBounds);
            assert_eq!(
                kind(device.block_status(offset, len).map(drop)),
                ErrorKind::OutOfBounds
            );
            if len < 10_000 {
                let mut buf = vec![1; usize::try_from(len).unwrap()];
                assert_eq!(kind(device.write_at(&buf, offset)), ErrorKind::OutOfBounds);
                assert_eq!(
                    kind(device.read_at(&mut buf, offset)),
                    ErrorKind::OutOfBounds
                );
            }
        }
        let mut content = vec![1; 8192];
        device.read_at(&mut content, 0).unwrap();
        assert!(is_zero(&content), "{device:?}");
    }
}

#[test]
fn an_empty_range_does_nothing_anywhere() {
    let (_dir, devices) = devices(4096);
    for device in devices {
        for offset in [0, 4096] {
            device.read_at(&mut [], offset).unwrap();
            device.write_at(&[], offset).unwrap();
            device.write_zeroes(offset, 0).unwrap();
            device.write_zeroes_allocated(offset, 0).unwrap();
            device.discard(offset, 0).unwrap();
            assert_eq!(device.block_status(offset, 0).unwrap().len, 0);
        }
    }
}

#[test]
fn a_device_of_no_bytes_is_a_device() {
    let dir = TempDir::new().unwrap();
    let file = RawFile::create(&dir.path().join("empty"), 0).unwrap();
    assert_eq!((file.size(), MemoryDevice::new(0).size()), (0, 0));
    file.read_at(&mut [], 0).unwrap();
}

#[test]
fn threads_on_different_parts_do_not_disturb_each_other() {
    let (_dir, devices) = devices(64 * 4096);
    for device in devices {
        std::thread::scope(|scope| {
            for part in 0..4_u8 {
                let device = &device;
                scope.spawn(move || {
                    for page in 0..16 {
                        let offset = (u64::from(part) * 16 + page) * 4096;
                        device.write_at(&[part + 1; 4096], offset).unwrap();
                    }
                });
            }
        });
        let mut content = vec![0; 64 * 4096];
        device.read_at(&mut content, 0).unwrap();
        for (part, bytes) in content.chunks(16 * 4096).enumerate() {
            assert!(
                bytes.iter().all(|byte| usize::from(*byte) == part + 1),
                "{device:?}"
            );
        }
    }
}

#[test]
fn a_raw_file_tells_its_holes_and_gives_back_space() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("disk");
    let disk = RawFile::create(&path, 1 << 20).unwrap();
    disk.write_at(&[7; 65536], 65536).unwrap();

    let status = |offset| disk.block_status(offset, (1 << 20) - offset).unwrap();
    assert_eq!(
        status(0),
        Extent {
            status: Status::Zero,
            len: 65536
        }
    );
    assert_eq!(
        status(65536),
        Extent {
            status: Status::Data,
            len: 65536
        }
    );
    assert_eq!(
        status(131_072),
        Extent {
            status: Status::Zero,
            len: (1 << 20) - 131_072
        }
    );

    // What has become a hole since it was seen is one.
    disk.write_at(&[7; 65536], 524_288).unwrap();
    assert_eq!(status(131_072).len, 524_288 - 131_072);
    disk.discard(524_288, 65536).unwrap();
    let to_the_end = Extent {
        status: Status::Zero,
        len: 524_288,
    };
    assert_eq!(status(524_288), to_the_end);

    assert!(fs::metadata(&path).unwrap().blocks() >= 128);
    disk.write_zeroes_allocated(65536, 131_072).unwrap();
    assert!(fs::metadata(&path).unwrap().blocks() >= 256);
    disk.write_zeroes(131_072, 65536).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().blocks(), 128);
    disk.discard(65536, 65536).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().blocks(), 0);
}

#[test]
fn a_read_only_device_refuses_to_be_changed() {
    let dir = TempDir::new().unwrap();
    let (raw, qcow2) = (dir.path().join("raw"), dir.path().join("qcow2"));
    drop(RawFile::create(&raw, 4096).unwrap());
    drop(Qcow2::create(&qcow2, 4096).unwrap());
    let devices: [Box<dyn BlockDevice>; 2] = [
        Box::new(RawFile::open(&raw, Access::ReadOnly).unwrap()),
        Box::new(Qcow2::open(&qcow2, Backing::Deny).unwrap()),
    ];
    for device in devices {
        for result in [
            device.write_at(&[1], 0),
            device.write_zeroes(0, 1),
            device.write_zeroes_allocated(0, 1),
            device.discard(0, 1),
        ] {
            assert_eq!(
                result.expect_err("is read-only").kind(),
                ErrorKind::ReadOnly
            );
        }
    }
}

#[test]
fn an_existing_file_is_never_overwritten_by_create() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("precious");
    fs::write(&path, "data").unwrap();
    RawFile::create(&path, 1).expect_err("it exists");
    Qcow2::create(&path, 4096).expect_err("it exists");
    assert_eq!(fs::read(&path).unwrap(), b"data");
}

#[test]
fn errors_name_the_file_and_the_place_once() {
    let missing = RawFile::open(Path::new("/nonexistent/disk"), Access::ReadOnly).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert_eq!(missing.to_string(), "cannot open /nonexistent/disk");
    let outside = MemoryDevice::new(10).write_zeroes(8, 4).unwrap_err();
    assert_eq!(
        outside.to_string(),
        "cannot write zeroes to the device at offset 8: out of bounds: \
         4 bytes do not fit into a device of 10 bytes"
    );
}

#[test]
fn what_is_created_is_for_its_owner() {
    let dir = tempfile::tempdir().unwrap();
    let paths = ["raw", "qcow2"].map(|name| dir.path().join(name));
    RawFile::create(&paths[0], 4096).unwrap();
    Qcow2::create(&paths[1], 4096).unwrap();
    for path in paths {
        let mode = fs::metadata(&path).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", path.display());
    }
}
