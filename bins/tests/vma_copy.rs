//! Archives that can only be read from front to back: read at any offset through a copy that is made once.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail by a panic"
)]

#[path = "support/vma.rs"]
mod support;

use std::fs::{self, OpenOptions, Permissions};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use support::{archive, disk, made, ok, path, run, signal, vma};
use tempfile::TempDir;

/// A disk that no compression makes smaller, with a hole.
fn noise() -> Vec<u8> {
    let mut state = 1_u64;
    let mut disk: Vec<u8> = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state.to_be_bytes()[0]
    })
    .take(4 << 20)
    .collect();
    disk[1 << 20..2 << 20].fill(0);
    disk
}

/// An archive of one frame, as Proxmox writes it, in a directory of its own.
struct OneFrame {
    dir: TempDir,
    disk: Vec<u8>,
    archive: String,
    cache: String,
}

impl OneFrame {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let disk = noise();
        let plain = made(&dir, "plain.vma", &disk, "none");
        let archive = path(&dir, "a.vma.zst");
        let zstd = Command::new("zstd")
            .args(["-q", &plain, "-o", &archive])
            .status();
        assert!(zstd.unwrap().success());
        let cache = path(&dir, "cache/fleece");
        Self {
            dir,
            disk,
            archive,
            cache,
        }
    }

    fn extract(&self, more: &[&str]) -> Output {
        run(&[&["extract", &self.archive, "-", "-d", "a"], more].concat())
    }

    /// Extracts the disk, which is right; gives what was said.
    fn extracted(&self) -> String {
        let output = self.extract(&["--cache", &self.cache]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            output.status.success() && output.stdout == self.disk,
            "{said}"
        );
        said
    }

    fn copies(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(&self.cache) else {
            return Vec::new();
        };
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// Damages the archive without a trace in its metadata: whoever reads it now gets no disk.
    fn make_unreadable(&self) {
        let file = OpenOptions::new().write(true).open(&self.archive).unwrap();
        let before = file.metadata().unwrap();
        file.write_all_at(&[0xff; 64], before.len() / 2).unwrap();
        file.set_modified(before.modified().unwrap()).unwrap();
    }
}

const COST: &str = "is read once now, and a seekable copy of about that size is kept as";

#[test]
fn the_pass_over_an_archive_of_one_frame_is_told_before_and_paid_once() {
    let one = OneFrame::new();
    let said = one.extracted();
    assert!(said.contains(COST) && said.contains("free there"), "{said}");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let copies = one.copies();
    assert_eq!((copies.len(), mode(&copies[0])), (1, 0o600));
    assert_eq!(mode(Path::new(&one.cache)), 0o700);

    assert_eq!(one.extracted(), "");
    // So do the others: to a directory, and over NBD.
    let out = path(&one.dir, "out");
    ok(&[
        "extract",
        &one.archive,
        &out,
        "-d",
        "a",
        "--cache",
        &one.cache,
    ]);
    assert!(fs::read(format!("{out}/disk-a.raw")).unwrap() == one.disk);
    let mut child = vma()
        .args([
            "serve",
            &one.archive,
            &path(&one.dir, "socket"),
            "--cache",
            &one.cache,
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let uri = BufReader::new(child.stdout.take().unwrap()).lines().next();
    let copy = path(&one.dir, "copy");
    let copied = Command::new("nbdcopy")
        .args([&uri.unwrap().unwrap(), &copy])
        .status();
    signal(child.id(), "-TERM");
    assert!(child.wait().unwrap().success() && copied.unwrap().success());
    assert!(fs::read(copy).unwrap() == one.disk);
}

#[test]
fn a_copy_is_of_one_archive_and_goes_with_its_change() {
    let one = OneFrame::new();
    one.extracted();
    let file = OpenOptions::new().write(true).open(&one.archive).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    assert!(one.extracted().contains(COST));
    assert_eq!(one.copies().len(), 2);
}

#[test]
fn what_is_no_copy_of_the_archive_is_removed_and_made_again() {
    let one = OneFrame::new();
    one.extracted();
    let copy = one.copies().remove(0);
    let whole = fs::read(&copy).unwrap();
    let other = path(&one.dir, "other.vma.zst");
    ok(&["reframe", &archive("single.vma"), &other]);
    let without_index = path(&one.dir, "bare.vma.zst");
    ok(&["reframe", "--no-index", &one.archive, &without_index]);
    type Put<'a> = Box<dyn Fn() + 'a>;
    let put = |bytes: Vec<u8>| -> Put<'_> {
        let copy = &copy;
        Box::new(move || fs::write(copy, &bytes).unwrap())
    };
    let hostile: [(&str, Put<'_>); 7] = [
        ("nothing", put(Vec::new())),
        ("noise", put(vec![0xee; 100_000])),
        (
            "one that is cut off",
            put(whole[..whole.len() - 10].to_vec()),
        ),
        ("another archive's", put(fs::read(&other).unwrap())),
        (
            "one without an index",
            put(fs::read(&without_index).unwrap()),
        ),
        (
            "a link",
            Box::new(|| {
                fs::remove_file(&copy).unwrap();
                symlink("/etc/passwd", &copy).unwrap();
            }),
        ),
        (
            "a FIFO",
            Box::new(|| {
                fs::remove_file(&copy).unwrap();
                assert!(
                    Command::new("mkfifo")
                        .arg(&copy)
                        .status()
                        .unwrap()
                        .success()
                );
            }),
        ),
    ];
    for (what, put) in hostile {
        put();
        let said = one.extracted();
        assert!(
            said.contains("is removed: ") && said.contains(COST),
            "{what}: {said}"
        );
        assert_eq!(one.extracted(), "", "{what}");
    }
    // What is wrong in the middle is found when it is read.
    let mut bytes = whole.clone();
    let middle = bytes.len() / 3;
    bytes[middle] ^= 0x10;
    fs::write(&copy, bytes).unwrap();
    let output = one.extract(&["--cache", &one.cache]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_cache_that_others_can_write_to_is_refused() {
    let one = OneFrame::new();
    fs::create_dir_all(&one.cache).unwrap();
    fs::set_permissions(&one.cache, Permissions::from_mode(0o777)).unwrap();
    let output = one.extract(&["--cache", &one.cache]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("others can write to"), "{said}");
}

#[test]
fn a_cache_keeps_to_its_size_and_what_was_used_last() {
    let one = OneFrame::new();
    let size = fs::metadata(&one.archive).unwrap().len();
    let limit = (size * 5 / 2).to_string();
    let mut archives = vec![one.archive.clone()];
    for name in ["b.vma.zst", "c.vma.zst"] {
        fs::copy(&one.archive, path(&one.dir, name)).unwrap();
        archives.push(path(&one.dir, name));
    }
    let extract = |number: usize| {
        let archive = archives[number].as_str();
        let args = [
            "extract",
            archive,
            "-",
            "-d",
            "a",
            "--cache",
            &one.cache,
            "--cache-size",
            &limit,
        ];
        let output = run(&args);
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap().contains(COST)
    };
    assert!(extract(0) && extract(1) && !extract(0));
    assert!(extract(2));
    assert_eq!(one.copies().len(), 2);
    assert!(!extract(0), "it was used later than the second");
    assert!(extract(1));

    let other = path(&one.dir, "other");
    let small = one.extract(&["--cache", &other, "--cache-size", "1K"]);
    let said = String::from_utf8(small.stderr).unwrap();
    assert!(
        said.contains("--cache-size") && said.contains("--reframe-to FILE"),
        "{said}"
    );
    let none = one.extract(&["--cache", &one.cache, "--cache-size", "0"]);
    let said = String::from_utf8(none.stderr).unwrap();
    assert!(said.contains("`vma reframe`"), "{said}");
}

#[test]
fn a_copy_in_a_file_of_its_own_stays_there() {
    let one = OneFrame::new();
    let file = path(&one.dir, "seekable.vma.zst");
    let output = one.extract(&["--reframe-to", &file]);
    assert!(
        output.status.success() && output.stdout == one.disk,
        "{output:?}"
    );
    let output = one.extract(&["--reframe-to", &file]);
    assert!(
        output.status.success() && output.stdout == one.disk,
        "{output:?}"
    );
    ok(&["verify", "--deep", &file]);

    let precious = path(&one.dir, "precious");
    fs::write(&precious, "data").unwrap();
    let output = one.extract(&["--reframe-to", &precious]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(fs::read(precious).unwrap(), b"data");
}

#[test]
fn a_pass_that_fails_leaves_no_copy() {
    let one = OneFrame::new();
    one.make_unreadable();
    let output = one.extract(&["--cache", &one.cache]);
    assert_eq!(output.status.code(), Some(4));
    assert!(one.copies().is_empty());
}

#[test]
fn one_disk_to_a_directory_makes_a_copy_only_when_asked() {
    let one = OneFrame::new();
    let extract = |to: &str, more: &[&str]| {
        let out = path(&one.dir, to);
        let output = run(&[&["extract", &one.archive, &out, "-d", "a"], more].concat());
        assert!(output.status.success(), "{output:?}");
        assert!(fs::read(format!("{out}/disk-a.raw")).unwrap() == one.disk);
        String::from_utf8(output.stderr).unwrap()
    };
    let home = ["--cache-size", "0"];
    assert_eq!(extract("first", &home), "");
    assert!(extract("second", &["--cache", &one.cache]).contains(COST));
    assert_eq!(extract("third", &["--cache", &one.cache]), "");
}

#[test]
fn formats_of_others_are_answered_with_commands_that_write_them() {
    let dir = TempDir::new().unwrap();
    let image = disk(4 << 20);
    let archive = made(&dir, "a.vma", &image, "zstd");
    for format in ["vmdk", "vhdx", "vdi", "vhd"] {
        let out = path(&dir, "out");
        let output = run(&["extract", &archive, &out, "--format", format]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        // The commands are those between the backquotes, done as they are printed.
        let commands: Vec<&str> = said.split('`').skip(1).step_by(2).collect();
        let [serve, convert] = commands.as_slice() else {
            panic!("{said}");
        };
        let socket = path(&dir, "socket");
        let serve = serve.replace("SOCKET", &socket);
        let mut child = vma()
            .args(serve.split(' ').skip(1))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let uri = BufReader::new(child.stdout.take().unwrap()).lines().next();
        let made = path(&dir, format);
        let convert = convert
            .replace("URI", &uri.unwrap().unwrap())
            .replace("DISK", &made);
        let words: Vec<&str> = convert.split(' ').collect();
        let converted = Command::new(words[0]).args(&words[1..]).output().unwrap();
        signal(child.id(), "-TERM");
        child.wait().unwrap();
        assert!(converted.status.success(), "{converted:?}");
        let raw = path(&dir, "raw");
        let back = Command::new("qemu-img")
            .args(["convert", "-O", "raw", &made, &raw])
            .status();
        assert!(back.unwrap().success());
        // A VHD has whole cylinders.
        assert!(fs::read(&raw).unwrap().starts_with(&image), "{format}");
        assert!(!Path::new(&out).exists());
    }
    support::fails(
        &["extract", &archive, &path(&dir, "out"), "--format", "x"],
        2,
        "raw or qcow2",
    );
}
