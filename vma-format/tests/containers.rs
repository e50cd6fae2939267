//! Containers made by the real programs are read; ours are read by the real programs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "tests may panic"
)]

mod support;

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use fleece_vma_format::container::{self, Container, FrameOptions, FrameWriter};
use fleece_vma_format::{Error, ErrorKind, Result};
use support::{ShortReads, contents, disk, golden_bytes, have};

/// Runs a filter program over `input`.
fn filter(program: &str, args: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).unwrap());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{program} {args:?}");
        output.stdout
    })
}

fn decompress(input: &[u8]) -> Result<Vec<u8>> {
    let mut plain = Vec::new();
    container::open(input)?
        .read_to_end(&mut plain)
        .map_err(|e| Error::io("read", e))?;
    Ok(plain)
}

fn compress(plain: &[u8], zstd: bool, options: &FrameOptions, piece: usize) -> Vec<u8> {
    let make = if zstd {
        FrameWriter::zstd
    } else {
        FrameWriter::gzip
    };
    let mut writer = make(Vec::new(), options).unwrap();
    for part in plain.chunks(piece) {
        writer.write_all(part).unwrap();
    }
    writer.finish().unwrap().0
}

#[test]
fn golden_containers_hold_the_golden_archive() {
    let plain = contents(&golden_bytes("single.vma")[..]).unwrap();
    for (name, kind) in [
        ("single.vma", Container::Plain),
        ("single.vma.zst", Container::Zstd),
        ("single.vma.gz", Container::Gzip),
        ("single.vma.lzo", Container::Lzop),
    ] {
        let bytes = golden_bytes(name);
        let stream = container::open(ShortReads::new(&bytes[..], 7)).unwrap();
        assert_eq!(stream.container(), kind);
        assert_eq!(contents(stream).unwrap(), plain, "{name}");
    }
}

#[test]
fn an_archive_compressed_twice_is_still_read() {
    let inner = golden_bytes("single.vma.lzo");
    let outer = compress(&inner, true, &FrameOptions::default(), 1 << 16);
    let outer = compress(
        &outer,
        false,
        &FrameOptions::default().with_level(1),
        1 << 16,
    );
    assert_eq!(decompress(&outer).unwrap(), golden_bytes("single.vma"));
}

#[test]
fn output_does_not_depend_on_threads_or_on_the_length_of_writes() {
    let plain = disk(3_000_000, 5);
    for zstd in [true, false] {
        let options = FrameOptions::default()
            .with_frame_size(100_000)
            .with_level(1);
        let one = compress(&plain, zstd, &options.clone().with_threads(1), plain.len());
        for (threads, piece) in [(2, 4096), (5, 777_777)] {
            assert!(compress(&plain, zstd, &options.clone().with_threads(threads), piece) == one);
        }
        assert_eq!(decompress(&one).unwrap(), plain);
    }
}

#[test]
fn the_zstd_program_decompresses_our_frames() {
    if !have("zstd") {
        return;
    }
    let plain = disk(5_000_000, 1);
    for plain in [&plain[..], &[]] {
        let mut writer = FrameWriter::zstd(Vec::new(), &FrameOptions::default()).unwrap();
        writer.write_all(plain).unwrap();
        writer.skippable(0x184D_2A55, b"to be skipped").unwrap();
        let (bytes, written) = writer.finish().unwrap();
        assert_eq!(written.compressed, bytes.len() as u64);
        assert_eq!(written.plain, plain.len() as u64);
        assert!(filter("zstd", &["-dc"], &bytes) == plain);
        assert!(decompress(&bytes).unwrap() == plain);
    }
}

#[test]
fn zeroes_behind_gzip_are_padding_and_nothing_else_is() {
    let plain = vec![7; 300_000];
    let mut writer = FrameWriter::gzip(Vec::new(), &FrameOptions::default()).unwrap();
    writer.write_all(&plain).unwrap();
    let bytes = writer.finish().unwrap().0;
    let read = |behind: &[u8]| {
        let bytes = [&bytes[..], behind].concat();
        let mut read = Vec::new();
        let mut stream = container::open(&bytes[..]).unwrap();
        stream.read_to_end(&mut read).map(|_| read)
    };
    for zeroes in [0, 1, 1000, 300_000] {
        assert!(read(&vec![0; zeroes]).unwrap() == plain, "{zeroes}");
    }
    let mut late = vec![0; 1000];
    late.extend(&bytes);
    assert!(read(&late).is_err());
    assert!(read(b"x").is_err());
    assert!(read(&bytes).unwrap().len() == 2 * plain.len());
}

#[test]
fn the_gzip_program_decompresses_our_members() {
    if !have("gzip") {
        return;
    }
    let plain = disk(3_000_000, 2);
    let bytes = compress(
        &plain,
        false,
        &FrameOptions::default().with_level(1),
        1 << 20,
    );
    assert!(filter("gzip", &["-dc"], &bytes) == plain);
    // Many members, as pigz and gzip on a list of files make them.
    let members = [
        filter("gzip", &["-c"], &plain),
        filter("gzip", &["-1c"], &plain),
    ]
    .concat();
    assert!(decompress(&members).unwrap() == [&plain[..], &plain].concat());
}

#[test]
fn what_the_zstd_program_makes_is_read_with_and_without_known_sizes() {
    if !have("zstd") {
        return;
    }
    let plain = disk(9_000_000, 3);
    // From a pipe zstd does not know the size, so that frame is streamed.
    let piped = filter("zstd", &["-c"], &plain);
    let small = filter(
        "zstd",
        &["-c", "-19", "--stream-size=4000000"],
        &plain[..4_000_000],
    );
    assert!(decompress(&piped).unwrap() == plain);
    assert!(decompress(&small).unwrap() == plain[..4_000_000]);
    let mixed = [&small[..], &piped, &small].concat();
    assert!(
        decompress(&mixed).unwrap() == [&plain[..4_000_000], &plain, &plain[..4_000_000]].concat()
    );
}

#[test]
fn what_the_lzop_program_makes_is_read_at_every_level_and_with_every_checksum() {
    if !have("lzop") {
        return;
    }
    let plain = disk(1_500_000, 4);
    let ways = [
        &["-c"][..],
        &["-1c"],
        &["-9c"],
        &["-cF"],
        &["-c", "--crc32"],
        &["-c", "-CC"],
    ];
    for args in ways {
        assert!(
            decompress(&filter("lzop", args, &plain)).unwrap() == plain,
            "{args:?}"
        );
    }
    let two = [
        filter("lzop", &["-c"], &plain),
        filter("lzop", &["-9c"], &plain),
    ]
    .concat();
    assert!(decompress(&two).unwrap() == [&plain[..], &plain].concat());
}

#[test]
fn a_cut_container_is_an_error_wherever_it_is_cut() {
    for name in ["single.vma.zst", "single.vma.gz", "single.vma.lzo"] {
        let bytes = golden_bytes(name);
        for cut in [
            10,
            11,
            20,
            50,
            100,
            70_000,
            bytes.len() / 2,
            bytes.len() - 5,
            bytes.len() - 1,
        ] {
            let error = decompress(&bytes[..cut]).expect_err(name);
            assert_eq!(
                error.kind(),
                ErrorKind::Container,
                "{name} cut at {cut}: {error}"
            );
            assert!(
                error.offset().is_some_and(|offset| offset <= cut as u64),
                "{name}: {error}"
            );
        }
    }
    let frames = compress(
        &golden_bytes("single.vma"),
        true,
        &FrameOptions::default().with_frame_size(50_000),
        9999,
    );
    for cut in (60..frames.len() - 200).step_by(4999) {
        let plain = decompress(&frames[..cut]);
        // Where a frame happens to end, it is up to the archive's own rules to find the loss.
        assert!(
            plain.is_err_and(|e| e.kind() == ErrorKind::Container),
            "cut at {cut}"
        );
    }
}

#[test]
fn a_flipped_bit_is_an_error_that_says_where() {
    for name in ["single.vma.zst", "single.vma.gz", "single.vma.lzo"] {
        let good = golden_bytes(name);
        for place in (100..good.len()).step_by(30_011) {
            let mut bytes = good.clone();
            bytes[place] ^= 0x10;
            let error = decompress(&bytes).expect_err(name);
            assert_eq!(error.kind(), ErrorKind::Container, "{name}: {error}");
            assert!(error.offset().is_some(), "{name}: {error}");
        }
    }
}

#[test]
fn a_huge_window_is_refused() {
    if !have("zstd") {
        return;
    }
    let plain = vec![1; 1 << 20];
    // From a pipe, so that the window is not cut down to the size of the input: 2 GiB.
    let bytes = filter("zstd", &["-c", "--ultra", "--long=31"], &plain);
    let error = decompress(&bytes).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(
        format!("{:?}", error.advice()).contains("zstd -d --long=31"),
        "{error}"
    );
}

#[test]
fn what_is_in_front_of_a_damaged_frame_is_read() {
    let plain = disk(1_000_000, 11);
    let options = FrameOptions::default().with_frame_size(100_000);
    let mut bytes = compress(&plain, true, &options, plain.len());
    bytes.truncate(bytes.len() / 2);
    let mut stream = container::open(&bytes[..]).unwrap();
    let mut got = Vec::new();
    assert!(stream.read_to_end(&mut got).is_err());
    assert!(
        got.len() >= 300_000 && plain.starts_with(&got),
        "{} bytes",
        got.len()
    );
}
