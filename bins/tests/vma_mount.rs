//! `vma mount`, as the kernel and programs that read files see it.

#![expect(clippy::unwrap_used, reason = "a test may fail by a panic")]

#[path = "support/vma.rs"]
mod support;

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::{archive, disk, fails, made, ok, path, sha256, signal, vma};
use tempfile::TempDir;

/// Where something is mounted; unmounted with the value, whatever became of the test.
struct Place(PathBuf);

impl Place {
    fn new(dir: &TempDir, name: &str) -> Self {
        let place = dir.path().join(name);
        fs::create_dir(&place).unwrap();
        Self(place)
    }

    fn text(&self) -> &str {
        self.0.to_str().unwrap()
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    fn is_mounted(&self) -> bool {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        mounts.contains(&format!(" {} ", self.text()))
    }

    /// Waits until nothing is mounted there any more.
    fn is_free(&self) {
        until("it is unmounted", || !self.is_mounted());
    }

    /// A loop device may let go of its file a moment after it was unmounted.
    fn unmount(&self) {
        until("it can be unmounted", || {
            let mut umount = Command::new("umount");
            umount.arg(&self.0).stderr(Stdio::null());
            umount.status().unwrap().success()
        });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_mounted() {
            let _ = Command::new("umount").arg("-l").arg(&self.0).status();
        }
    }
}

/// Waits for what another process does.
fn until(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(120), "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether things can be mounted here.
fn can_mount() -> bool {
    let root = Command::new("id").arg("-u").output().unwrap();
    if root.stdout != b"0\n" {
        eprintln!("SKIP: only root mounts");
        return false;
    }
    if !Path::new("/dev/fuse").exists() {
        eprintln!("SKIP: there is no /dev/fuse");
        return false;
    }
    true
}

fn succeeds(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {output:?}"
    );
    String::from_utf8(output.stdout).unwrap()
}

/// `vma mount` in the foreground, once it has mounted; killed with the value.
struct Foreground(Child);

impl Foreground {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        assert!(line.ends_with(".raw\n"), "{:?}", child.wait());
        Self(child)
    }

    fn code(mut self) -> Option<i32> {
        self.0.wait().unwrap().code()
    }
}

impl Drop for Foreground {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn foreground(archive: &str, place: &Place) -> Command {
    let mut command = vma();
    command.args(["mount", archive, place.text(), "--foreground"]);
    command
}

#[test]
fn every_disk_of_proxmoxs_archive_is_a_sparse_file_that_reads_as_it_is_extracted() {
    if !can_mount() {
        return;
    }
    let dir = TempDir::new().unwrap();
    let place = Place::new(&dir, "at");
    let out = path(&dir, "out");
    let multi = archive("multi.vma");
    ok(&["extract", &multi, &out]);
    let said = ok(&["mount", &multi, place.text()]);
    assert_eq!(said.lines().count(), 5, "{said}");
    for file in said.lines() {
        let name = Path::new(file).file_name().unwrap().to_str().unwrap();
        let extracted = format!("{out}/disk-{name}");
        let (mounted, there) = (
            fs::metadata(file).unwrap(),
            fs::metadata(&extracted).unwrap(),
        );
        assert_eq!(
            (mounted.len(), mounted.mode()),
            (there.len(), 0o10_0400),
            "{name}"
        );
        assert_eq!(sha256(file), sha256(&extracted), "{name}");
        assert_eq!(mounted.mtime(), 1_795_386_052, "{name}");
    }
    let names = fs::read_dir(&place.0).unwrap().count();
    assert_eq!(names, 5);
    let error = File::options()
        .write(true)
        .open(place.file("drive-scsi0.raw"));
    assert_eq!(
        error.unwrap_err().kind(),
        std::io::ErrorKind::ReadOnlyFilesystem
    );
    fails(&["mount", &multi, place.text()], 1, "mounted at");
    let other = Place::new(&dir, "other");
    let said = ok(&["mount", "--json", &multi, other.text(), "-d", "drive-sata2"]);
    let told: serde_json::Value = serde_json::from_str(&said).unwrap();
    let expected = serde_json::json!({
        "event": "status", "device": "drive-sata2", "path": other.file("drive-sata2.raw"),
    });
    assert_eq!(told, expected);
    other.unmount();
    place.unmount();
    place.is_free();
}

#[test]
fn holes_are_holes_to_cp_and_qemu_img_and_take_no_room() {
    if !can_mount() || fleece_lab::require("qemu-img").is_none() {
        return;
    }
    let dir = TempDir::new().unwrap();
    let mut image = vec![0; 64 << 20];
    image[1 << 20..3 << 20].fill(7);
    image[40 << 20..41 << 20].fill(9);
    for compress in ["none", "zstd"] {
        let place = Place::new(&dir, compress);
        let file = made(&dir, &format!("{compress}.vma"), &image, compress);
        ok(&["mount", &file, place.text()]);
        let disk = place.file("a.raw");
        assert_eq!(fs::metadata(&disk).unwrap().blocks(), (3 << 20) / 512);
        let map = succeeds("qemu-img", &["map", "--output=json", "-f", "raw", &disk]);
        let map: serde_json::Value = serde_json::from_str(&map).unwrap();
        let data = map
            .as_array()
            .unwrap()
            .iter()
            .filter(|run| run["data"] == true);
        let data: Vec<_> = data
            .map(|run| {
                (
                    run["start"].as_u64().unwrap(),
                    run["length"].as_u64().unwrap(),
                )
            })
            .collect();
        assert_eq!(data, [(1 << 20, 2 << 20), (40 << 20, 1 << 20)]);
        let copy = path(&dir, "copy");
        succeeds("cp", &["--sparse=auto", &disk, &copy]);
        // The file system may take some for itself.
        assert!(fs::metadata(&copy).unwrap().blocks() < (8 << 20) / 512);
        succeeds(
            "qemu-img",
            &["compare", "-f", "raw", "-F", "raw", &disk, &copy],
        );
        assert_eq!(sha256(&copy), sha256(path(&dir, "a.raw")));
        fs::remove_file(copy).unwrap();
        place.unmount();
    }
}

/// An archive of a disk with a file system that the system's own tool has made and filled.
fn with_file_system(dir: &TempDir) -> (String, PathBuf) {
    let tree = dir.path().join("tree");
    fs::create_dir_all(tree.join("etc/deep")).unwrap();
    fs::write(tree.join("etc/hostname"), "web\n").unwrap();
    fs::write(tree.join("etc/deep/data"), disk(300_000)).unwrap();
    std::os::unix::fs::symlink("hostname", tree.join("etc/link")).unwrap();
    let image = path(dir, "ext4.raw");
    let of = tree.display().to_string();
    succeeds("mke2fs", &["-q", "-t", "ext4", "-d", &of, &image, "24M"]);
    let to = path(dir, "ext4.vma");
    ok(&["create", &to, "-d", &format!("format=raw:a={image}")]);
    (to, tree)
}

#[test]
fn a_file_system_within_is_mounted_by_a_loop_device_and_has_its_files() {
    if !can_mount() {
        return;
    }
    let dir = TempDir::new().unwrap();
    let (file, tree) = with_file_system(&dir);
    let (place, inner) = (Place::new(&dir, "at"), Place::new(&dir, "inner"));
    ok(&["mount", &file, place.text()]);
    succeeds(
        "mount",
        &["-o", "loop,ro,noload", &place.file("a.raw"), inner.text()],
    );
    let find = |folder: &Path| {
        let mut names: Vec<String> = succeeds(
            "find",
            &[
                &folder.display().to_string(),
                "-name",
                "lost+found",
                "-prune",
                "-o",
                "-printf",
                "%P %y %l\n",
            ],
        )
        .lines()
        .map(str::to_owned)
        .collect();
        names.sort();
        names
    };
    assert_eq!(find(&inner.0), find(&tree));
    let data = "etc/deep/data";
    assert_eq!(sha256(inner.0.join(data)), sha256(tree.join(data)));
    inner.unmount();
    place.unmount();
}

#[test]
fn with_an_overlay_disks_are_written_to_and_the_archive_is_not() {
    if !can_mount() {
        return;
    }
    let dir = TempDir::new().unwrap();
    let (file, _) = with_file_system(&dir);
    let before = sha256(&file);
    let spill = path(&dir, "spill");
    for overlay in ["--overlay".to_owned(), format!("--overlay={spill}")] {
        let (place, inner) = (Place::new(&dir, "at"), Place::new(&dir, "inner"));
        ok(&["mount", &file, place.text(), &overlay]);
        assert!(!Path::new(&spill).exists());
        let image = place.file("a.raw");
        // Its journal is used, its superblock written.
        succeeds("mount", &["-o", "loop", &image, inner.text()]);
        fs::write(inner.0.join("etc/new"), disk(2 << 20)).unwrap();
        fs::write(inner.0.join("etc/hostname"), "other\n").unwrap();
        inner.unmount();
        succeeds("e2fsck", &["-f", "-n", &image]);
        succeeds("mount", &["-o", "loop,ro", &image, inner.text()]);
        assert_eq!(fs::read(inner.0.join("etc/hostname")).unwrap(), b"other\n");
        assert!(fs::read(inner.0.join("etc/new")).unwrap() == disk(2 << 20));
        inner.unmount();
        let raw = File::options().read(true).write(true).open(&image).unwrap();
        let size = raw.metadata().unwrap().len();
        raw.write_all_at(b"end", size - 3).unwrap();
        assert_eq!(
            raw.write_at(b"x", size).unwrap_err().kind(),
            std::io::ErrorKind::StorageFull
        );
        assert!(raw.set_len(0).is_err());
        drop(raw);
        place.unmount();
        place.is_free();
        // What was written is gone with it.
        ok(&["mount", &file, place.text()]);
        assert_eq!(sha256(place.file("a.raw")), sha256(path(&dir, "ext4.raw")));
        place.unmount();
        place.is_free();
        fs::remove_dir(&place.0).unwrap();
        fs::remove_dir(&inner.0).unwrap();
    }
    assert_eq!(sha256(&file), before);
}

#[test]
fn signals_and_unmounting_end_it_and_leave_nothing() {
    if !can_mount() {
        return;
    }
    let dir = TempDir::new().unwrap();
    let single = archive("single.vma");
    let place = Place::new(&dir, "at");
    for name in ["-TERM", "-INT"] {
        let mounted = Foreground::start(foreground(&single, &place));
        // Also while somebody has a file open.
        let file = File::open(place.file("drive-scsi0.raw"));
        let file = (name == "-INT").then_some(file);
        signal(mounted.0.id(), name);
        assert_eq!(mounted.code(), Some(0), "{name}");
        assert!(!place.is_mounted());
        drop(file);
    }
    let mounted = Foreground::start(foreground(&single, &place));
    place.unmount();
    assert_eq!(mounted.code(), Some(0));
}

#[test]
fn what_a_killed_one_has_left_is_cleared_away_by_the_next() {
    if !can_mount() {
        return;
    }
    let dir = TempDir::new().unwrap();
    let single = archive("single.vma");
    let place = Place::new(&dir, "at");
    let mut mounted = Foreground::start(foreground(&single, &place));
    mounted.0.kill().unwrap();
    mounted.0.wait().unwrap();
    fs::metadata(&place.0).unwrap_err();
    let output = vma()
        .args(["mount", &single, place.text()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("is gone"),
        "{said}"
    );
    assert!(fs::metadata(place.file("drive-scsi0.raw")).is_ok());
    place.unmount();
}

#[test]
fn what_cannot_be_mounted_is_told_to_who_asked_for_it() {
    if !can_mount() {
        return;
    }
    let dir = TempDir::new().unwrap();
    let single = archive("single.vma");
    let place = Place::new(&dir, "at");
    fails(
        &["mount", &path(&dir, "nowhere"), place.text()],
        1,
        "cannot open",
    );
    fails(
        &["mount", &archive("config-only.vma"), place.text()],
        1,
        "no disks",
    );
    fails(
        &["mount", &single, &path(&dir, "nowhere")],
        1,
        "cannot mount at",
    );
    fails(
        &["mount", &single, place.text(), "-d", "nothing"],
        1,
        "nothing",
    );
    let damaged = path(&dir, "damaged.vma");
    fs::write(&damaged, &fs::read(&single).unwrap()[..5000]).unwrap();
    fails(&["mount", &damaged, place.text()], 4, "");
    fs::write(place.0.join("file"), "").unwrap();
    fails(&["mount", &single, place.text()], 1, "not empty");
    assert!(!place.is_mounted());
}

#[test]
fn a_user_mounts_without_being_root_and_an_archive_of_one_frame_by_its_copy() {
    if !can_mount() || fleece_lab::require("fusermount3").is_none() {
        return;
    }
    let dir = TempDir::new().unwrap();
    let place = Place::new(&dir, "at");
    let zst = path(&dir, "single.vma.zst");
    fs::copy(archive("single.vma.zst"), &zst).unwrap();
    let program = path(&dir, "vma");
    fs::copy(env!("CARGO_BIN_EXE_vma"), &program).unwrap();
    succeeds("chown", &["-R", "nobody:", dir.path().to_str().unwrap()]);
    let cache = path(&dir, "cache");
    let as_user = |arguments: &[&str]| {
        let options = ["--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"];
        let output = Command::new("setpriv")
            .args(options)
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let said = as_user(&[&program, "mount", &zst, place.text(), "--cache", &cache]);
    let file = place.file("drive-scsi0.raw");
    assert_eq!(said, format!("{file}\n"));
    let expected = support::expected("single.vma", "disk-drive-scsi0.raw");
    assert!(as_user(&["sha256sum", &file]).starts_with(&expected));
    // Others do not see it, not even root.
    fs::metadata(&file).unwrap_err();
    as_user(&["fusermount3", "-u", place.text()]);
    place.is_free();
}
