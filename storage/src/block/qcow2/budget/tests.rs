#![expect(
    clippy::cast_possible_truncation,
    reason = "images and tables are few here"
)]

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use tempfile::TempDir;

use super::*;
use crate::block::qcow2::Image;
use crate::block::{Backing, Operation, Qcow2, ReadAt, WriteAt};

/// One L2 table of 64 KiB clusters tells of so much.
const REACH: u64 = 512 << 20;

fn images(dir: &Path, count: usize) -> Vec<Qcow2> {
    (0..count)
        .map(|number| Qcow2::create(&dir.join(number.to_string()), 64 * REACH).unwrap())
        .collect()
}

fn used(images: &[Qcow2]) -> Vec<u64> {
    images.iter().map(|image| writer(image).bytes()).collect()
}

fn writer(image: &Qcow2) -> &Image {
    image.writer(Operation::Write).unwrap()
}

/// What an image has where its `table`th table begins.
fn mark(image: usize, table: u64) -> [u8; 4] {
    [1, image as u8, table as u8, 2]
}

#[test]
fn images_that_give_up_their_tables_keep_their_contents() {
    let dir = TempDir::new().unwrap();
    let all = images(dir.path(), 40);
    // From two threads at once, so that one drops what the other works with.
    thread::scope(|scope| {
        for half in 0..2 {
            let all = &all;
            scope.spawn(move || {
                for table in 0..24 {
                    for (number, image) in all.iter().enumerate().skip(half).step_by(2) {
                        image.write_at(&mark(number, table), table * REACH).unwrap();
                        image.write_zeroes(table * REACH + 100_000, 9).unwrap();
                    }
                }
            });
        }
    });
    let used = used(&all);
    assert!(used.iter().sum::<u64>() <= BUDGET, "{used:?}");
    assert!(used.contains(&0), "{used:?}");
    for image in &all {
        image.flush().unwrap();
    }
    drop(all);
    for number in 0..40 {
        let path = dir.path().join(number.to_string());
        let image = Qcow2::open(&path, Backing::Deny).unwrap();
        for table in 0..24 {
            let mut read = [0; 4];
            image.read_at(&mut read, table * REACH).unwrap();
            assert_eq!(read, mark(number, table));
        }
        match Command::new("qemu-img").arg("check").arg(&path).output() {
            Ok(checked) => assert!(checked.status.success(), "{checked:?}"),
            Err(error) => eprintln!("SKIP: qemu-img: {error}"),
        }
    }
}

#[test]
fn eight_disks_in_turn_keep_their_tables() {
    let dir = TempDir::new().unwrap();
    let all = images(dir.path(), 8);
    for table in 0..8 {
        for (number, image) in all.iter().enumerate() {
            image.write_at(&mark(number, table), table * REACH).unwrap();
        }
    }
    let used = used(&all);
    assert!(!used.contains(&0), "{used:?}");
}

#[test]
fn an_image_alone_keeps_its_tables_however_large_they_are() {
    let dir = TempDir::new().unwrap();
    // An L1 table of 32 MiB, the largest that there can be.
    let image = Qcow2::create(&dir.path().join("image"), 2 << 50).unwrap();
    for table in 0..24 {
        image.write_at(&mark(0, table), table * REACH).unwrap();
        assert!(writer(&image).bytes() > BUDGET);
    }
}

#[test]
fn tables_that_cannot_be_written_when_they_are_given_up_fail_a_write_and_the_flush() {
    let dir = TempDir::new().unwrap();
    // A file in memory that refuses to be written from a certain point on.
    let flags = MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC;
    let mut failing = File::from(memfd_create("image", flags).unwrap());
    drop(images(dir.path(), 1));
    let empty = dir.path().join("0");
    failing.write_all(&fs::read(&empty).unwrap()).unwrap();
    fs::remove_file(empty).unwrap();
    let path = PathBuf::from(format!("/proc/self/fd/{}", failing.as_raw_fd()));
    let image = Qcow2::open_writable(&path).unwrap();
    let others = images(dir.path(), 8);
    for table in 0..24 {
        image.write_at(&mark(0, table), table * REACH).unwrap();
    }
    fcntl_add_seals(&failing, SealFlags::WRITE).unwrap();
    let error = others.iter().enumerate().find_map(|(number, other)| {
        (0..24).find_map(|table| other.write_at(&mark(number, table), table * REACH).err())
    });
    let error = error.unwrap().to_string();
    assert!(error.contains(path.to_str().unwrap()), "{error}");
    image.flush().unwrap_err();
}

#[test]
fn a_guests_image_keeps_its_tables_whatever_others_do() {
    let dir = TempDir::new().unwrap();
    drop(images(dir.path(), 1));
    let path = dir.path().join("0");
    let guest = Qcow2::open_for_guest(&path).unwrap();
    for table in 0..64 {
        guest.write_at(&mark(0, table), table * REACH).unwrap();
    }
    let bytes = writer(&guest).bytes();
    fs::rename(&path, dir.path().join("guest")).unwrap();
    let others = images(dir.path(), 50);
    for image in &others {
        image.write_at(&mark(1, 0), 0).unwrap();
    }
    assert!(used(&others).contains(&0));
    assert_eq!(writer(&guest).bytes(), bytes);
}
