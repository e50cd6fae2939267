//! Many readers of one file.

use std::io::{self, Write};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::{FrameOptions, FrameWriter, Seekable};
use crate::read_at::ReadAt;

const FRAME: usize = 100_000;
const FRAMES: u64 = 40;

/// Counts how often it is read, and takes its time.
#[derive(Debug)]
struct Counted<'a>(&'a [u8], &'a AtomicUsize);

impl ReadAt for Counted<'_> {
    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.1.fetch_add(1, Ordering::Relaxed);
        // So that others who read would do so meanwhile.
        std::thread::sleep(Duration::from_millis(100));
        self.0.read_exact_at(buffer, offset)
    }
}

fn contents() -> Vec<u8> {
    let numbers = 0..FRAMES * FRAME as u64 / 8;
    numbers.flat_map(u64::to_le_bytes).collect()
}

fn zst() -> Vec<u8> {
    let options = FrameOptions::default().with_frame_size(FRAME).with_level(1);
    let mut writer = FrameWriter::zstd(Vec::new(), &options).unwrap();
    writer.write_all(&contents()).unwrap();
    writer.finish().unwrap().0
}

#[test]
fn readers_of_one_frame_share_its_decompression() {
    const READERS: usize = 8;
    let (zst, reads) = (zst(), AtomicUsize::new(0));
    let seekable = Seekable::open(Counted(&zst, &reads)).unwrap().unwrap();
    reads.store(0, Ordering::Relaxed);
    let start = Barrier::new(READERS);
    std::thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                start.wait();
                seekable.read_exact_at(&mut [0; 512], 777).unwrap();
            });
        }
    });
    assert_eq!(reads.load(Ordering::Relaxed), 1);
}

#[test]
fn readers_in_any_order_get_what_was_written() {
    let (zst, contents) = (zst(), contents());
    let seekable = Seekable::open(&zst).unwrap().unwrap();
    std::thread::scope(|scope| {
        for reader in 0..4 {
            let (seekable, contents) = (&seekable, &contents);
            scope.spawn(move || {
                for turn in 0..200 {
                    // Across the ends of frames, too.
                    let at = (turn * 7_919_317 + reader * 1_000_003) % (contents.len() - FRAME);
                    let mut buffer = vec![0; FRAME];
                    seekable.read_exact_at(&mut buffer, at as u64).unwrap();
                    assert!(buffer == contents[at..at + FRAME], "{at}");
                }
            });
        }
    });
}
