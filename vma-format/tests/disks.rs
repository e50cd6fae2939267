//! Disks through archives and back: every way in and out gives the same bytes.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "tests may panic"
)]

mod support;

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use fleece_vma_format::container::{self, FrameOptions, Seekable, embedded_index};
use fleece_vma_format::restore::{self, Target, Targets};
use fleece_vma_format::{
    Compression, Error, ErrorKind, Header, Output, RandomAccess, ReadAt, Reader, Source, Stretch,
    pack,
};
use proptest::prelude::*;
use support::{disk, header};

/// A disk that knows its zeroes as a file with holes does, in units of 4 KiB.
/// It counts how often it is asked.
struct Image(Vec<u8>, AtomicUsize);

impl Image {
    const fn new(contents: Vec<u8>) -> Self {
        Self(contents, AtomicUsize::new(0))
    }
}

impl Source for Image {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    fn stretch_at(&self, offset: u64, length: u64) -> io::Result<Stretch> {
        self.1.fetch_add(1, Ordering::Relaxed);
        let rest = &self.0[offset as usize..(offset + length) as usize];
        let is_zero = |block: &&[u8]| block.iter().all(|&byte| byte == 0);
        let first = rest
            .chunks(4096)
            .next()
            .is_some_and(|block| is_zero(&block));
        let same = rest
            .chunks(4096)
            .take_while(|block| is_zero(block) == first);
        let length = same.map(|block| block.len() as u64).sum();
        Ok(match first {
            true => Stretch::zeroes(length),
            false => Stretch::data(length),
        })
    }
}

/// A disk that cannot be read from some place on.
struct Broken(u64);

impl Source for Broken {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        buffer.fill(1);
        if offset + buffer.len() as u64 > self.0 {
            Err(io::Error::other("bad sector"))
        } else {
            Ok(())
        }
    }

    fn stretch_at(&self, _: u64, length: u64) -> io::Result<Stretch> {
        Ok(Stretch::data(length))
    }
}

/// Memory with rubbish in it, if zeroes are to be written, or zeroes.
struct Memory {
    disk: Arc<Mutex<Vec<u8>>>,
    zeroes: bool,
    full_at: u64,
}

impl Target for Memory {
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if offset + data.len() as u64 > self.full_at {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let start = offset as usize;
        self.disk.lock().unwrap()[start..start + data.len()].copy_from_slice(data);
        Ok(())
    }

    fn zero_at(&self, offset: u64, length: u64) -> io::Result<()> {
        assert!(self.zeroes);
        self.write_at(offset, &vec![0; length as usize])
    }

    fn zeroes_needed(&self) -> bool {
        self.zeroes
    }
}

fn packed(header: &Header, disks: &[Vec<u8>], compression: &Compression) -> Vec<u8> {
    let images: Vec<Image> = disks.iter().cloned().map(Image::new).collect();
    let sources: Vec<&dyn Source> = images.iter().map(|image| image as _).collect();
    let output = Output::new(Vec::new(), compression, None).unwrap();
    let (_, bytes, written) = pack(header, &sources, output, &mut |_| Ok(())).unwrap();
    assert_eq!(written.compressed, bytes.len() as u64);
    bytes
}

type Disks = Vec<Arc<Mutex<Vec<u8>>>>;

fn targets(header: &Header, zeroes: bool, full_at: u64) -> (Targets<'static>, Disks) {
    let mut targets = Targets::new();
    let mut disks = Vec::new();
    for device in header.devices() {
        let fill = if zeroes { 0x5a } else { 0 };
        let disk = Arc::new(Mutex::new(vec![fill; device.size() as usize]));
        disks.push(Arc::clone(&disk));
        targets.insert(
            device.id(),
            Box::new(Memory {
                disk,
                zeroes,
                full_at,
            }) as _,
        );
    }
    (targets, disks)
}

fn same(restored: &Disks, disks: &[Vec<u8>]) -> bool {
    restored
        .iter()
        .zip(disks)
        .all(|(a, b)| *a.lock().unwrap() == *b)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn every_way_through_an_archive_keeps_the_disks(
        sizes in prop::collection::vec(1..5_000_000_usize, 1..4),
        seed in any::<u64>(),
    ) {
        let disks: Vec<_> = sizes.iter().zip(seed..=u64::MAX).map(|(&n, s)| disk(n, s)).collect();
        let sizes: Vec<u64> = sizes.iter().map(|&size| size as u64).collect();
        let header = header(&sizes);
        let plain = packed(&header, &disks, &Compression::None);
        prop_assert!(plain == support::archive(&disks), "threads and holes change nothing");
        let options = FrameOptions::default().with_level(1).with_frame_size(300_000);
        let zstd = packed(&header, &disks, &Compression::Zstd(options.clone()));
        let gzip = packed(&header, &disks, &Compression::Gzip(options));
        for (bytes, zeroes) in [(&plain, false), (&zstd, true), (&gzip, true)] {
            let (to, restored) = targets(&header, zeroes, u64::MAX);
            let mut reader = Reader::new(container::open(&bytes[..]).unwrap()).unwrap();
            restore::from_stream(&mut reader, &to, &mut |_| Ok(())).unwrap();
            prop_assert!(same(&restored, &disks));
        }
        let (to, restored) = targets(&header, true, u64::MAX);
        restore::from_archive(&RandomAccess::open(&plain).unwrap(), &to, &mut |_| Ok(())).unwrap();
        prop_assert!(same(&restored, &disks));
        for zeroes in [false, true] {
            let (mut to, restored) = targets(&header, zeroes, u64::MAX);
            restore::from_file(&plain, &to, &mut |_| Ok(())).unwrap();
            prop_assert!(same(&restored, &disks));
            // One disk alone touches nothing of the others.
            to.pop_first();
            let first = std::mem::take(&mut *restored[0].lock().unwrap());
            restore::from_file(&plain, &to, &mut |_| Ok(())).unwrap();
            prop_assert!(first == disks[0] && same(&restored[1..].to_vec(), &disks[1..]));
        }
        let index = embedded_index(&zstd).unwrap().unwrap();
        let seekable = Seekable::open(&zstd).unwrap().unwrap();
        let archive = RandomAccess::open_with_index(seekable, index).unwrap();
        let (to, restored) = targets(&header, false, u64::MAX);
        let mut read = 0;
        restore::from_archive(&archive, &to, &mut |tally| { read = tally.bytes(); Ok(()) }).unwrap();
        prop_assert!(same(&restored, &disks));
        let clusters: u64 = header.devices().iter().map(|device| device.clusters()).sum();
        prop_assert_eq!(read, clusters * 65536);
    }
}

#[test]
fn a_full_target_is_the_error_that_is_told() {
    let disks = [disk(40 << 20, 1)];
    let header = header(&[40 << 20]);
    let bytes = packed(&header, &disks, &Compression::None);
    let (to, _) = targets(&header, true, 5 << 20);
    let mut reader = Reader::new(&bytes[..]).unwrap();
    let error = restore::from_stream(&mut reader, &to, &mut |_| Ok(())).unwrap_err();
    assert_eq!(
        (error.kind(), error.io_kind()),
        (ErrorKind::Io, Some(io::ErrorKind::StorageFull))
    );
    assert!(error.to_string().contains("drive-scsi0"), "{error}");
    let error = restore::from_file(&bytes, &to, &mut |_| Ok(())).unwrap_err();
    assert_eq!(error.io_kind(), Some(io::ErrorKind::StorageFull));
    let archive = RandomAccess::open(bytes).unwrap();
    let error = restore::from_archive(&archive, &to, &mut |_| Ok(())).unwrap_err();
    assert_eq!(error.io_kind(), Some(io::ErrorKind::StorageFull));
}

#[test]
fn a_disk_that_cannot_be_read_is_the_error_that_is_told() {
    let header = header(&[50 << 20]);
    let output = Output::new(Vec::new(), &Compression::None, None).unwrap();
    let broken = Broken(20 << 20);
    let error = pack(&header, &[&broken], output, &mut |_| Ok(())).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("cannot read drive-scsi0 at 20840448"),
        "{error}"
    );
}

#[test]
fn an_output_that_fails_is_the_error_that_is_told() {
    struct Full(u64);
    impl io::Write for Full {
        fn write(&mut self, data: &[u8]) -> io::Result<usize> {
            self.0 = self
                .0
                .checked_sub(data.len() as u64)
                .ok_or(io::ErrorKind::StorageFull)?;
            Ok(data.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let disks = [Image::new(disk(60 << 20, 8))];
    let header = header(&[60 << 20]);
    for compression in [
        Compression::None,
        Compression::Zstd(FrameOptions::default()),
    ] {
        let output = Output::new(Full(9 << 20), &compression, None).unwrap();
        let error = pack(&header, &[&disks[0]], output, &mut |_| Ok(()))
            .map(drop)
            .unwrap_err();
        assert_eq!(error.io_kind(), Some(io::ErrorKind::StorageFull), "{error}");
    }
}

#[test]
fn progress_can_end_the_work() {
    let disks = [Image::new(disk(60 << 20, 8))];
    let header = header(&[60 << 20]);
    let stop = || Error::io("stopped", io::ErrorKind::Interrupted.into());
    let output = Output::new(Vec::new(), &Compression::None, None).unwrap();
    let error = pack(&header, &[&disks[0]], output, &mut |_| Err(stop()))
        .map(drop)
        .unwrap_err();
    assert_eq!(error.to_string(), "stopped");
}

#[test]
fn a_full_disk_is_asked_once_for_each_extent() {
    let disk = Image::new(vec![1; 58 << 18]);
    let output = Output::new(Vec::new(), &Compression::None, None).unwrap();
    let (summary, ..) = pack(&header(&[58 << 18]), &[&disk], output, &mut |_| Ok(())).unwrap();
    assert_eq!(summary.extents(), 4);
    assert_eq!(disk.1.load(Ordering::Relaxed), 4);
}
