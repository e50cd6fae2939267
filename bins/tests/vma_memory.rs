//! `vma` stays below 96 MiB of memory, whatever an archive holds or claims.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a test may fail by a panic"
)]

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::Command;

use fleece_storage::block::{Backing, Qcow2, ReadAt};
use fleece_vma_format::{ArchiveWriter, CLUSTER_SIZE, DeviceId, HeaderBuilder};
use tempfile::TempDir;

/// The most that it may have, in KiB.
const LIMIT: u64 = 96 << 10;

/// Python tells what the system counted for a process that has ended; std does not.
const MEASURE: &str = "
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
";

/// Runs `vma`, expects an exit code and words on standard error, and that its memory is bounded.
fn run(args: &[&str], expected: i32, reason: &str) {
    let mut python = Command::new("python3");
    python
        .args(["-c", MEASURE, env!("CARGO_BIN_EXE_vma")])
        .args(args);
    let output = python.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let (code, memory) = told.trim().split_once(' ').unwrap();
    assert_eq!(code.parse(), Ok(expected), "{args:?}: {said}");
    assert!(said.contains(reason), "{args:?}: {said}");
    let memory: u64 = memory.parse().unwrap();
    eprintln!("{} KiB: {args:?}", memory);
    assert!(memory <= LIMIT, "{args:?}: {memory} KiB");
}

fn path(dir: &TempDir, name: &str) -> String {
    dir.path().join(name).to_str().unwrap().to_owned()
}

/// Writes an archive of one disk to a file: of `zero` zero clusters and then `data` with contents.
fn archive(path: &str, zero: u64, data: u64) {
    let mut builder = HeaderBuilder::new([0; 16], 0);
    let size = (zero + data) * CLUSTER_SIZE as u64;
    let disk = builder.add_device("a", size).unwrap();
    let header = builder.build().unwrap();
    let out = io::BufWriter::new(File::create(path).unwrap());
    let mut writer = ArchiveWriter::new(out, &header).unwrap();
    writer.write_zeroes(disk, 0..zero).unwrap();
    let mut cluster = vec![7; CLUSTER_SIZE];
    for index in zero..zero + data {
        cluster
            .iter_mut()
            .step_by(4096)
            .for_each(|byte| *byte = index as u8 | 1);
        writer.write_cluster(disk, index, &cluster).unwrap();
    }
    writer.finish().unwrap();
}

/// Compresses a file into one zstd frame of unknown size with a window of 2^`log` bytes.
fn with_window(from: &str, to: &str, log: u32) {
    let mut out = zstd::Encoder::new(File::create(to).unwrap(), 1).unwrap();
    out.window_log(log).unwrap();
    io::copy(&mut File::open(from).unwrap(), &mut out).unwrap();
    out.finish().unwrap();
}

#[test]
fn every_command_on_a_large_archive() {
    let dir = TempDir::new().unwrap();
    let plain = path(&dir, "a.vma");
    archive(&plain, 500_000, 1_000);
    let (zst, gz) = (path(&dir, "a.zst"), path(&dir, "a.gz"));
    run(&["index", &plain], 0, "");
    run(&["reframe", &plain, &zst], 0, "");
    run(
        &["reframe", "--compress", "gzip=1", "--no-index", &plain, &gz],
        0,
        "",
    );
    for (number, file) in [&plain, &zst, &gz].into_iter().enumerate() {
        run(&["list", file], 0, "");
        run(&["verify", file], 0, "");
        run(&["info", file], 0, "");
        let out = path(&dir, &format!("out{number}"));
        run(&["extract", "--no-sync", file, &out], 0, "");
        fs::remove_dir_all(out).unwrap();
    }
    run(&["verify", "--deep", &plain], 0, "");
    run(&["verify", "--deep", &zst], 0, "");
    let disk = path(&dir, "disk");
    fs::write(&disk, fs::read(&plain).unwrap()).unwrap();
    let drive = format!("format=raw:a={disk}");
    for method in ["none", "zstd=1", "zstd=9", "gzip=1"] {
        let to = path(&dir, method);
        let args = [
            "create",
            &to,
            "-d",
            &drive,
            "--compress",
            method,
            "--no-sync",
        ];
        run(&args, 0, "");
    }
}

#[test]
fn windows_of_zstd_up_to_the_limit_are_read_and_larger_ones_refused() {
    let dir = TempDir::new().unwrap();
    let plain = path(&dir, "a.vma");
    archive(&plain, 0, 1_600);
    for log in [26, 27, 31] {
        let zst = path(&dir, &format!("{log}.zst"));
        with_window(&plain, &zst, log);
        let (code, reason) = if log == 26 {
            (0, "")
        } else {
            (1, "zstd -d --long=31")
        };
        for command in ["list", "verify"] {
            run(&[command, &zst], code, reason);
        }
        let out = path(&dir, &format!("out{log}"));
        run(&["extract", "--no-sync", &zst, &out], code, reason);
    }
}

#[test]
fn bombs() {
    let dir = TempDir::new().unwrap();
    let bomb = path(&dir, "bomb");
    // Containers in containers, which hold a gigabyte of zeroes.
    let mut bytes = Vec::new();
    let zeroes = io::repeat(0).take(1 << 30);
    zstd::stream::copy_encode(zeroes, &mut bytes, 1).unwrap();
    for _ in 0..2 {
        bytes = zstd::encode_all(&bytes[..], 1).unwrap();
    }
    fs::write(&bomb, &bytes).unwrap();
    run(&["verify", &bomb], 4, "not a vma file");
    fs::write(&bomb, zstd::encode_all(&bytes[..], 1).unwrap()).unwrap();
    run(&["verify", &bomb], 4, "compressed more than 3 times over");
    // One in front of which an archive's header stands, and without end.
    let mut file = flate2::write::GzEncoder::new(File::create(&bomb).unwrap(), Default::default());
    file.write_all(header_of_most().as_bytes()).unwrap();
    io::copy(&mut io::repeat(0).take(1 << 27), &mut file).unwrap();
    file.finish().unwrap();
    for (command, code) in [("list", 0), ("config", 1), ("info", 4), ("verify", 4)] {
        run(&[command, &bomb], code, "");
    }
    // Members and frames with nothing in them.
    let member = flate2::write::GzEncoder::new(Vec::new(), Default::default());
    let frame = zstd::bulk::compress(&[], 1).unwrap();
    for nothing in [member.finish().unwrap(), frame] {
        fs::write(&bomb, nothing.repeat(200_000)).unwrap();
        run(&["verify", &bomb], 1, "this is empty");
    }
    // Many frames, small and large in turn, none of an archive.
    let small = zstd::bulk::compress(&[0; 100], 1).unwrap();
    let large = zstd::bulk::compress(&vec![0; 4 << 20], 1).unwrap();
    let header = header_of_most().as_bytes().to_vec();
    let mut file = File::create(&bomb).unwrap();
    file.write_all(&zstd::bulk::compress(&header, 1).unwrap())
        .unwrap();
    for _ in 0..200 {
        (0..20).for_each(|_| file.write_all(&small).unwrap());
        file.write_all(&large).unwrap();
    }
    for args in [["verify", &bomb], ["list", &bomb]] {
        let code = if args[0] == "list" { 0 } else { 4 };
        run(&args, code, "");
    }
}

/// A header with as many devices and configs as there can be, each as large as can be.
fn header_of_most() -> fleece_vma_format::Header {
    let mut builder = HeaderBuilder::new([0; 16], 0);
    for number in 0..7 {
        builder
            .add_config(&format!("config{number}"), vec![b'x'; 65535])
            .unwrap();
    }
    for number in 0..254 {
        builder
            .add_device(&format!("drive{number}"), 1 << 48)
            .unwrap();
    }
    builder.build().unwrap()
}

#[test]
fn clusters_scattered_over_huge_disks() {
    let dir = TempDir::new().unwrap();
    let file = path(&dir, "a.vma");
    let header = header_of_most();
    let mut writer =
        ArchiveWriter::new(io::BufWriter::new(File::create(&file).unwrap()), &header).unwrap();
    // As far apart as can be, until our own writer keeps track of no more.
    let error = (0..).find_map(|number: u64| {
        let device = DeviceId::new((number % 254 + 1) as u8).unwrap();
        let index = number / 254 * 1024;
        writer.write_zeroes(device, index..index + 1).err()
    });
    assert!(error.unwrap().to_string().contains("scattered"));
    drop(writer);
    let length = fs::metadata(&file).unwrap().len();
    assert!(length > 4 << 20, "{length}");
    run(&["verify", &file], 4, "");
}

/// Writes an archive of one disk of zeroes whose even clusters come first, so that no two follow
/// each other, and then, if it shall be `whole`, the odd ones.
fn alternating(path: &str, clusters: u64, whole: bool) {
    let mut builder = HeaderBuilder::new([0; 16], 0);
    let size = clusters * CLUSTER_SIZE as u64;
    let disk = builder.add_device("a", size).unwrap();
    builder.add_device("b", CLUSTER_SIZE as u64).unwrap();
    let header = builder.build().unwrap();
    let out = io::BufWriter::new(File::create(path).unwrap());
    let mut writer = ArchiveWriter::new(out, &header).unwrap();
    for odd in 0..=u64::from(whole) {
        for index in (odd..clusters).step_by(2) {
            writer.write_zeroes(disk, index..index + 1).unwrap();
        }
    }
    let other = header.devices()[1].id();
    writer.write_zeroes(other, 0..1).unwrap();
    // Without its last extent if it is not whole.
    let _ = writer.finish();
}

#[test]
fn clusters_of_which_no_two_follow_each_other() {
    let dir = TempDir::new().unwrap();
    let (few, many) = (path(&dir, "few.vma"), path(&dir, "many.vma"));
    alternating(&few, 1_500_000, true);
    alternating(&many, 1_700_000, true);
    run(&["diff", &few, &few], 0, "");
    run(&["diff", &few, &many], 1, "too scattered");
    let (zst, out) = (path(&dir, "many.zst"), path(&dir, "out"));
    run(&["reframe", "--no-sync", &many, &zst], 0, "");
    run(&["info", &zst], 0, "");
    run(&["extract", "-d", "b", &zst, &out], 0, "");
}

#[test]
fn every_other_cluster_is_lost() {
    let dir = TempDir::new().unwrap();
    let (file, out) = (path(&dir, "a.vma"), path(&dir, "out"));
    alternating(&file, 2_000_000, false);
    run(&["recover", &file, &out], 4, "damages found");
    let map = fs::metadata(format!("{out}/disk-a.map")).unwrap();
    assert!(map.len() > 32 << 20, "{}", map.len());
}

#[test]
fn seek_tables_of_many_frames() {
    let dir = TempDir::new().unwrap();
    let (plain, file) = (path(&dir, "a.vma"), path(&dir, "a.zst"));
    archive(&plain, 10, 0);
    let contents = fs::read(&plain).unwrap();
    let frame = zstd::bulk::compress(&contents, 1).unwrap();
    // Frames that nobody has: as many as are kept account of, and more.
    for (frames, code) in [(1_500_000_u32, 4), (8_000_000, 0)] {
        let mut bytes = frame.clone();
        bytes.extend(0x184D_2A5E_u32.to_le_bytes());
        bytes.extend((frames * 8 + 9).to_le_bytes());
        bytes.extend((frame.len() as u32).to_le_bytes());
        bytes.extend((contents.len() as u32).to_le_bytes());
        (1..frames).for_each(|_| bytes.extend([0, 0, 0, 0, 1, 0, 0, 0]));
        bytes.extend(frames.to_le_bytes());
        bytes.push(0);
        bytes.extend(0x8F92_EAB1_u32.to_le_bytes());
        fs::write(&file, bytes).unwrap();
        run(&["info", &file], code, "");
        run(&["verify", &file], 0, "");
        run(&["verify", "--deep", &file], 1, "there is no index");
    }
}

#[test]
fn windows_within_windows() {
    let dir = TempDir::new().unwrap();
    let (plain, inner, outer) = (
        path(&dir, "a.vma"),
        path(&dir, "a.zst"),
        path(&dir, "b.zst"),
    );
    // An archive and noise behind it, enough to fill the window of what holds it.
    archive(&plain, 10, 0);
    let mut file = File::options().append(true).open(&plain).unwrap();
    let mut state = 1_u64;
    let mut noise = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 32) as u8
    };
    let noise: Vec<u8> = (0..100 << 20).map(|_| noise()).collect();
    file.write_all(&noise).unwrap();
    for (log, code, reason) in [(26, 1, "larger than 8 MiB"), (23, 4, "")] {
        with_window(&plain, &inner, log);
        with_window(&inner, &outer, 26);
        run(&["verify", &outer], code, reason);
    }
}

/// What a disk holds where its `turn`th cluster is.
fn contents(disk: usize, turn: u64) -> Vec<u8> {
    let mut cluster = vec![7; CLUSTER_SIZE];
    cluster[..16]
        .copy_from_slice(&(((disk as u128) << 64) | (1 << 63) | u128::from(turn)).to_le_bytes());
    cluster
}

/// Writes an archive of as many disks as there can be, of `size` bytes each and with a cluster every `step`:
/// first all of the first turn, then all of the second, as disks come that are backed up at once.
fn interleaved(path: &str, size: u64, step: u64, turns: u64) {
    let mut builder = HeaderBuilder::new([0; 16], 0);
    let disks: Vec<_> = (0..254)
        .map(|number| builder.add_device(&format!("d{number}"), size).unwrap())
        .collect();
    let header = builder.build().unwrap();
    let out = io::BufWriter::new(File::create(path).unwrap());
    let mut writer = ArchiveWriter::new(out, &header).unwrap();
    for turn in 0..turns {
        for (number, disk) in disks.iter().enumerate() {
            let index = turn * step / CLUSTER_SIZE as u64;
            writer
                .write_cluster(*disk, index, &contents(number, turn))
                .unwrap();
        }
    }
    // Without its last extent where not all clusters were written.
    let _ = writer.finish();
}

#[test]
fn qcow2_images_of_as_many_disks_as_there_can_be_in_turn() {
    let dir = TempDir::new().unwrap();
    let (file, out) = (path(&dir, "a.vma"), path(&dir, "out"));
    let (size, step) = (4 * CLUSTER_SIZE as u64, CLUSTER_SIZE as u64);
    interleaved(&file, size, step, 4);
    let extract = ["extract", "--no-sync", "--format", "qcow2"];
    run(&[&extract[..], &[&file, &out]].concat(), 0, "");
    for disk in 0..254 {
        let image = PathBuf::from(format!("{out}/disk-d{disk}.qcow2"));
        let image = Qcow2::open(&image, Backing::Deny).unwrap();
        let mut read = vec![0; CLUSTER_SIZE];
        for turn in 0..4 {
            image.read_at(&mut read, turn * step).unwrap();
            assert!(read == contents(disk, turn), "{disk}, {turn}");
        }
    }
    // And now each cluster where another table tells of it.
    let far = 512 << 20;
    interleaved(&file, 1 << 40, far, 6);
    fs::remove_dir_all(&out).unwrap();
    let zst = path(&dir, "a.zst");
    with_window(&file, &zst, 23);
    run(&[&extract[..], &[&file, &out]].concat(), 4, "");
    run(&[&extract[..], &[&zst, &out]].concat(), 4, "");
}
