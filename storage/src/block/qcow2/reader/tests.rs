//! Every kind of image that QEMU's specification describes, as QEMU's own tools make and read it.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "an overflow fails the test, as it should"
)]

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::process::Command;

use tempfile::TempDir;

use super::*;
use crate::block::Qcow2;
use crate::block::tests::check_status;

/// Runs lines of `qemu-img` and `qemu-io` in a directory, each from its program's name on.
fn run(dir: &Path, lines: &[&str]) {
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        let (program, words) = words.split_first().unwrap();
        // What qemu-io shall do has blanks: the rest of its line behind the image's name is one command.
        let words: Vec<String> = match *program {
            "qemu-io" => {
                let (image, rest) = words.split_first().unwrap();
                ["-c", &rest.join(" "), image].map(str::to_owned).to_vec()
            }
            _ => words.iter().map(|&word| word.to_owned()).collect(),
        };
        let output = Command::new(program)
            .args(&words)
            .current_dir(dir)
            .output()
            .unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
    }
}

/// What every image gets besides: data across clusters, zeroes, and what is neither.
const WRITES: [&str; 6] = [
    "qemu-io image write -P 1 60k 200k",
    "qemu-io image write -P 2 1000k 3k",
    "qemu-io image write -z 128k 70k",
    "qemu-io image write -P 3 3000k 1500k",
    "qemu-io image discard 3500k 128k",
    "qemu-io image write -P 4 5119k 1k",
];

/// What is read must be what `qemu-img convert` reads, in whatever pieces.
fn check(dir: &Path, name: &str) {
    run(dir, &["qemu-img convert -f qcow2 -O raw image expected"]);
    let expected = fs::read(dir.join("expected")).unwrap();
    let image = Qcow2::open(&dir.join("image"), Backing::Follow)
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(image.size(), expected.len() as u64, "{name}");
    for piece in [expected.len(), 65536, 100_003] {
        let mut read = vec![0xee; expected.len()];
        for (number, part) in read.chunks_mut(piece).enumerate() {
            image.read_at(part, (number * piece) as u64).unwrap();
        }
        assert!(read == expected, "{name}, in pieces of {piece}");
    }
    check_status(&image, &expected);
}

fn put(dir: &Path, at: u64, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).open(dir.join("image"));
    file.unwrap().write_all_at(bytes, at).unwrap();
}

#[test]
fn every_kind_of_image_is_read_as_qemu_reads_it() {
    for options in [
        "compat=1.1",
        "compat=0.10",
        "cluster_size=512",
        "cluster_size=2M",
        "refcount_bits=1",
        "refcount_bits=64",
        "lazy_refcounts=on",
        "preallocation=metadata",
        "preallocation=falloc",
        "extended_l2=on",
        "extended_l2=on,cluster_size=16k",
        "extended_l2=on,cluster_size=2M",
        "compression_type=zstd",
        "data_file=data",
        "data_file=data,data_file_raw=on",
        "data_file=data,extended_l2=on",
    ] {
        let dir = TempDir::new().unwrap();
        let create = format!("qemu-img create -f qcow2 -o {options} image 5M");
        run(dir.path(), &[&create]);
        run(dir.path(), &WRITES);
        check(dir.path(), options);
    }
}

#[test]
fn compressed_clusters_of_both_kinds_are_read_as_qemu_reads_them() {
    for kind in ["zlib", "zstd"] {
        for more in [
            "",
            ",cluster_size=512",
            ",cluster_size=2M",
            ",extended_l2=on",
        ] {
            let dir = TempDir::new().unwrap();
            let content: Vec<u8> = (0..5_u32 << 18)
                .flat_map(|n| (n / 9 * (n >> 17)).to_le_bytes())
                .collect();
            fs::write(dir.path().join("raw"), content).unwrap();
            let convert =
                format!("qemu-img convert -O qcow2 -c -o compression_type={kind}{more} raw image");
            run(dir.path(), &[&convert, WRITES[1], WRITES[2]]);
            check(dir.path(), &convert);
        }
    }
}

#[test]
fn images_on_others_are_read_as_qemu_reads_them() {
    // A format of the image below, options of the one above, and how large it is.
    for (below, options, size) in [
        ("raw", "backing_fmt=raw", "5M"),
        ("raw", "backing_fmt=raw,extended_l2=on", "5M"),
        ("raw", "backing_fmt=raw,cluster_size=2M", "9M"),
        ("qcow2", "backing_fmt=qcow2,extended_l2=on", "9M"),
        ("qcow2", "backing_fmt=qcow2,compat=0.10", "5M"),
        ("qcow2", "backing_fmt=qcow2,cluster_size=512", "6M"),
    ] {
        let dir = TempDir::new().unwrap();
        let base = format!("qemu-img create -f {below} base 4M");
        let fill = format!("qemu-io {} write -P 9 0 4M", "base");
        // Nothing may be guessed from the raw one.
        let fill = match below {
            "raw" => {
                fs::write(dir.path().join("base"), vec![9; 4 << 20]).unwrap();
                None
            }
            _ => Some([base.as_str(), fill.as_str()]),
        };
        run(
            dir.path(),
            fill.as_ref().map_or(&[], |fill| fill.as_slice()),
        );
        let above = format!("qemu-img create -f qcow2 -b base -o {options} image 5M");
        run(
            dir.path(),
            &[&above, &format!("qemu-img resize image {size}")],
        );
        run(dir.path(), &WRITES);
        check(dir.path(), options);
    }
}

#[test]
fn a_backing_file_without_a_format_is_probed_as_of_old() {
    for (base, is_read) in [("qcow2", true), ("raw", true), ("vmdk", false)] {
        let dir = TempDir::new().unwrap();
        let create = format!("qemu-img create -f {base} base 5M");
        run(dir.path(), &[&create]);
        run(
            dir.path(),
            &["qemu-img create -u -f qcow2 -b base -F raw image 5M"],
        );
        // The type of the extension that names the format becomes one that nobody knows.
        let header = fs::read(dir.path().join("image")).unwrap();
        let at = header
            .windows(4)
            .position(|bytes| bytes == 0xe279_2aca_u32.to_be_bytes())
            .unwrap();
        put(dir.path(), at as u64, &[0x12, 0x34, 0x56, 0x78]);
        if is_read {
            check(dir.path(), base);
        } else {
            let error = Qcow2::open(&dir.path().join("image"), Backing::Follow).unwrap_err();
            assert!(
                error.to_string().contains("looks like a VMDK image"),
                "{error}"
            );
        }
    }
}

#[test]
fn what_does_not_concern_a_reader_changes_nothing() {
    let dirty = (79, [1_u8]);
    let lazy = (87, [255]);
    let unknown_autoclear = (95, [0xfc]);
    for (at, byte) in [dirty, lazy, unknown_autoclear] {
        let dir = TempDir::new().unwrap();
        run(dir.path(), &["qemu-img create -f qcow2 image 5M"]);
        run(dir.path(), &WRITES);
        put(dir.path(), at, &byte);
        let before = fs::read(dir.path().join("image")).unwrap();
        check_untouched(dir.path(), &before);
    }
    let dir = TempDir::new().unwrap();
    run(
        dir.path(),
        &["qemu-img create -f qcow2 image 5M", WRITES[0]],
    );
    run(
        dir.path(),
        &[
            "qemu-img snapshot -c before image",
            "qemu-img bitmap --add image changes",
        ],
    );
    run(dir.path(), &WRITES);
    let before = fs::read(dir.path().join("image")).unwrap();
    check_untouched(dir.path(), &before);
}

/// QEMU's own reading may change an image, so ours comes first.
fn check_untouched(dir: &Path, before: &[u8]) {
    let image = Qcow2::open(&dir.join("image"), Backing::Deny).unwrap();
    image.read_at(&mut vec![0; 1 << 20], 0).unwrap();
    assert!(fs::read(dir.join("image")).unwrap() == before);
    check(dir, "untouched");
}

#[test]
fn what_is_not_read_is_refused_with_the_cause_and_the_next_step() {
    let secret = "--object secret,id=s,data=abc -o encrypt.key-secret=s,encrypt.format";
    let corrupt: &[(u64, &[u8])] = &[(79, &[2])];
    let unknown: &[(u64, &[u8])] = &[(78, &[1])];
    let compression: &[(u64, &[u8])] = &[(79, &[8]), (104, &[9])];
    for (create, patches, reason) in [
        (
            format!("{secret}=aes"),
            &[][..],
            "encrypted with AES; decrypt a copy with `qemu-img convert`",
        ),
        (
            format!("{secret}=luks"),
            &[],
            "encrypted with LUKS; decrypt a copy with `qemu-img convert`",
        ),
        (
            "-q".into(),
            corrupt,
            "marked corrupt; repair it with `qemu-img check -r all`",
        ),
        (
            "-q".into(),
            unknown,
            "bit 8; convert it with a `qemu-img convert` that knows them",
        ),
        (
            "-q".into(),
            compression,
            "compressed in an unknown way (9); convert it",
        ),
        (
            "-u -b base -F vmdk".into(),
            &[],
            "is a vmdk image, and only raw and qcow2 ones are read; `qemu-img convert`",
        ),
        (
            "-u -b nbd:localhost:1 -F raw".into(),
            &[],
            "named by a protocol or a description, and only files are supported; `qemu-img convert`",
        ),
    ] {
        let dir = TempDir::new().unwrap();
        run(
            dir.path(),
            &[&format!("qemu-img create -f qcow2 {create} image 5M")],
        );
        for (at, bytes) in patches {
            put(dir.path(), *at, bytes);
        }
        let error = Qcow2::open(&dir.path().join("image"), Backing::Follow).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{create}: {error}");
        assert!(error.to_string().contains(reason), "{create}: {error}");
    }
}

#[test]
fn an_image_that_is_cut_off_or_has_impossible_entries_is_no_image_of_zeroes() {
    let dir = TempDir::new().unwrap();
    run(dir.path(), &["qemu-img create -f qcow2 image 5M"]);
    run(dir.path(), &WRITES);
    let whole = fs::read(dir.path().join("image")).unwrap();
    let u64_at = |at: u64| {
        let at = usize::try_from(at).unwrap();
        u64::from_be_bytes(*whole[at..].first_chunk().unwrap())
    };
    let l1 = u64_at(40);
    let l2 = u64_at(l1) & OFFSET;
    let failure = || {
        let image = Qcow2::open(&dir.path().join("image"), Backing::Deny)?;
        image.read_at(&mut vec![0; 5 << 20], 0)
    };
    for (at, bytes, reason) in [
        (l1, 513_u64 << 9, "an L2 table does not begin where one can"),
        (l1, 1 << 40, "the file ends before a table"),
        (l2, 513 << 9, "a cluster does not begin where one can"),
        (l2, 1 << 40, "the file ends before a cluster"),
        (l2, 1 << 62 | 3 << 60 | 0x50000, "cannot be decompressed"),
    ] {
        fs::write(dir.path().join("image"), &whole).unwrap();
        put(dir.path(), at, &bytes.to_be_bytes());
        let error = failure().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidFormat, "{error}");
        let text = error.to_string();
        assert!(
            text.contains(reason) && text.contains("qemu-img check"),
            "{text}"
        );
    }
    let entries = (0..80).map(|entry| u64_at(l2 + entry * 8));
    let data = entries.filter(|entry| entry & 1 == 0);
    let last = data.map(|entry| entry & OFFSET).max().unwrap();
    for length in [last, l2 + 8, l1 + 4, 100] {
        fs::write(dir.path().join("image"), &whole).unwrap();
        let file = OpenOptions::new()
            .write(true)
            .open(dir.path().join("image"));
        file.unwrap().set_len(length).unwrap();
        let error = failure().expect_err(&length.to_string());
        assert_eq!(error.kind(), ErrorKind::InvalidFormat, "{length}: {error}");
    }
}

#[test]
fn what_an_image_names_is_only_opened_when_asked_for() {
    for create in ["-o data_file=data", "-u -b base -F raw"] {
        let dir = TempDir::new().unwrap();
        run(
            dir.path(),
            &[&format!("qemu-img create -f qcow2 {create} image 5M")],
        );
        let error = Qcow2::open(&dir.path().join("image"), Backing::Deny).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    }
}

#[test]
fn features_that_only_the_reader_knows_are_not_written() {
    for (options, reason) in [
        ("extended_l2=on", "makes a plain one"),
        ("data_file=data", "makes a plain one"),
        ("compression_type=zstd", "makes a plain one"),
        ("compat=1.1", "`qemu-img check -r all`"),
    ] {
        let dir = TempDir::new().unwrap();
        run(
            dir.path(),
            &[&format!("qemu-img create -f qcow2 -o {options} image 5M")],
        );
        if options == "compat=1.1" {
            put(dir.path(), 79, &[1]);
        }
        let error = Qcow2::open_writable(&dir.path().join("image")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{options}: {error}");
        assert!(error.to_string().contains(reason), "{options}: {error}");
    }
}

#[test]
fn reading_takes_the_same_memory_whatever_is_read() {
    let dir = TempDir::new().unwrap();
    run(
        dir.path(),
        &["qemu-img create -f qcow2 -o cluster_size=512 image 5M"],
    );
    run(dir.path(), &WRITES);
    let reader = Reader::open(&dir.path().join("image"), Backing::Deny).unwrap();
    reader.read_at(&mut vec![0; 5 << 20], 0).unwrap();
    let slices = reader.slices.lock().unwrap();
    assert_eq!(slices.len(), SLICES);
    let bytes = slices.iter().flat_map(|(_, slice)| slice);
    assert!(
        bytes
            .map(|slice| slice.len() as u64)
            .all(|len| len <= SLICE)
    );
}

#[test]
fn whatever_bytes_an_image_has_reading_it_ends() {
    for options in ["cluster_size=512", "cluster_size=16k,extended_l2=on"] {
        let dir = TempDir::new().unwrap();
        let create = format!("qemu-img create -f qcow2 -o {options} image 300k");
        run(dir.path(), &[&create, "qemu-io image write -P 7 1k 5k"]);
        let whole = fs::read(dir.path().join("image")).unwrap();
        let mut random = 1_u64;
        for _ in 0..1000 {
            let mut bytes = whole.clone();
            for _ in 0..4 {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let place = usize::try_from(random >> 33).unwrap() % bytes.len();
                bytes[place] = random.to_be_bytes()[1];
            }
            crate::fuzzing::qcow2_image(&bytes);
        }
    }
}
