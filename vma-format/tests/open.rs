//! One way in for archives of every kind, and the example programs.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may panic"
)]

mod support;

use std::fs::{self, File};
use std::io::{Cursor, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use fleece_vma_format::container::{Container, FrameOptions, FrameWriter};
use fleece_vma_format::{Archive, ErrorKind, open, open_read_at, open_reader};
use support::{contents, data, golden_bytes, manifest, sha256};
use tempfile::TempDir;

const CONTAINERS: [(&str, Container); 4] = [
    ("single.vma", Container::Plain),
    ("single.vma.zst", Container::Zstd),
    ("single.vma.gz", Container::Gzip),
    ("single.vma.lzo", Container::Lzop),
];

fn copied(archive: &mut Archive<'_>, name: &str) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    archive.copy_device(name, &mut out).unwrap();
    out.into_inner()
}

/// The name and the contents of the disk in the golden archive that is there in every container.
fn single() -> (String, Vec<u8>) {
    let (header, disks) = contents(&golden_bytes("single.vma")[..]).unwrap();
    (header.devices()[0].name().to_owned(), disks[0].clone())
}

fn seekable_zstd(plain: &[u8]) -> Vec<u8> {
    let options = FrameOptions::default().with_frame_size(1 << 16);
    let mut out = FrameWriter::zstd(Vec::new(), &options).unwrap();
    out.write_all(plain).unwrap();
    out.finish().unwrap().0
}

#[test]
fn a_disk_comes_out_of_every_container_whether_it_is_a_file_or_a_pipe() {
    let (name, disk) = single();
    for (file, container) in CONTAINERS {
        let mut archive = open(data(file)).unwrap();
        assert_eq!(archive.container(), container);
        assert_eq!(archive.is_seekable(), container == Container::Plain);
        for _ in 0..2 {
            assert!(copied(&mut archive, &name) == disk, "{file}");
        }
        let mut piped = open_reader(File::open(data(file)).unwrap()).unwrap();
        assert!(copied(&mut piped, &name) == disk, "{file} through a pipe");
        let again = piped.copy_device(&name, Cursor::new(Vec::new()));
        assert_eq!(again.unwrap_err().kind(), ErrorKind::Unsupported);
    }
}

#[test]
fn a_device_is_read_anywhere_where_that_is_possible_and_refused_elsewhere() {
    let (name, disk) = single();
    let plain = golden_bytes("single.vma");
    for bytes in [plain.clone(), seekable_zstd(&plain)] {
        let archive = open_read_at(bytes).unwrap();
        let mut device = archive.device(&name).unwrap().reader().unwrap();
        let half = disk.len() / 2 + 1;
        device
            .seek(SeekFrom::End(half as i64 - disk.len() as i64))
            .unwrap();
        let mut rest = Vec::new();
        device.read_to_end(&mut rest).unwrap();
        assert!(rest == disk[half..]);
        assert_eq!(device.stream_position().unwrap(), disk.len() as u64);
        device.rewind().unwrap();
        assert!(device.seek(SeekFrom::Current(-1)).is_err());
        let mut start = [0; 100];
        device.read_exact(&mut start).unwrap();
        assert_eq!(start, disk[..100]);
    }
    for file in ["single.vma.zst", "single.vma.gz"] {
        let archive = open(data(file)).unwrap();
        let refused = archive.device(&name).unwrap().reader();
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::NotSeekable);
    }
    let twice = open_read_at(seekable_zstd(&seekable_zstd(&plain))).unwrap();
    assert!(!twice.is_seekable());
    let unknown = twice.device("nowhere").unwrap_err();
    assert!(unknown.to_string().contains(&name), "{unknown}");
}

#[test]
fn a_device_that_ends_in_zeroes_is_copied_in_its_whole_length() {
    let bytes = golden_bytes("zero.vma");
    let (header, disks) = contents(&bytes[..]).unwrap();
    for (device, disk) in header.devices().iter().zip(&disks) {
        let mut random = open_read_at(bytes.clone()).unwrap();
        assert!(copied(&mut random, device.name()) == *disk);
        let mut ordered = open_reader(&bytes[..]).unwrap();
        assert!(copied(&mut ordered, device.name()) == *disk);
    }
}

#[test]
fn an_index_that_does_not_fit_is_passed_over() {
    let (name, disk) = single();
    let archive = open_read_at(seekable_zstd(&golden_bytes("single.vma"))).unwrap();
    let mut archive = archive.with_index(&b"VIX1 and nothing else"[..]);
    assert!(copied(&mut archive, &name) == disk);
    let why = archive.index_error().map(fleece_vma_format::Error::kind);
    assert_eq!(why, Some(ErrorKind::Index));
}

#[test]
fn an_archive_can_be_shared_between_threads() {
    const fn shared<T: Send + Sync>() {}
    shared::<Archive<'static>>();
}

#[test]
fn what_is_no_archive_is_named() {
    let error = open_reader(&b"BZh91AY&SY"[..]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Wrapped);
    let error = open_reader(&b"QFI\xfb\0\0\0\x03"[..]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Foreign);
    let error = open("/nowhere/a.vma").unwrap_err();
    assert!(error.to_string().contains("/nowhere/a.vma"), "{error}");
}

/// An example, which cargo builds when it builds all tests.
fn example(name: &str, arguments: &[&Path]) {
    let test = std::env::current_exe().unwrap();
    let target = test.parent().and_then(Path::parent).unwrap();
    let program = target.join("examples").join(name);
    let built = program.is_file();
    assert!(built, "{name} is not built: run the tests without --test");
    let status = Command::new(&program).args(arguments).status().unwrap();
    assert!(status.success(), "{name} {arguments:?}");
}

#[test]
fn the_examples_read_what_the_reference_extracts_and_make_archives() {
    let dir = TempDir::new().unwrap();
    let path = |name: &str| -> PathBuf { dir.path().join(name) };
    for (archive, golden) in manifest() {
        let (header, _) = contents(&golden_bytes(&archive)[..]).unwrap();
        for device in header
            .devices()
            .iter()
            .filter(|device| !device.is_vmstate())
        {
            let to = path(&format!("{archive}-{}", device.name()));
            example(
                "read_disk",
                &[&data(&archive), Path::new(device.name()), &to],
            );
            let expected = &golden.files[&format!("disk-{}.raw", device.name())];
            assert_eq!(sha256(&fs::read(to).unwrap()), expected.sha256, "{archive}");
        }
    }
    fs::write(path("drive-a.raw"), vec![7; 100_000]).unwrap();
    fs::write(path("drive-b.raw"), vec![0; 5 << 16]).unwrap();
    example(
        "make_archive",
        &[&path("new.vma"), &path("drive-a.raw"), &path("drive-b.raw")],
    );
    let mut made = open(path("new.vma")).unwrap();
    assert!(copied(&mut made, "drive-a") == vec![7; 100_000]);
    assert!(copied(&mut made, "drive-b") == vec![0; 5 << 16]);
}
