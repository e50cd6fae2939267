//! `vma mount`, as the kernel and programs that read files see it.

#![expect(clippy::unwrap_used, reason = "a test may fail by a panic")]

#[path = "support/file_system.rs"]
mod file_system;
#[path = "support/vma.rs"]
mod support;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use file_system::{ODD, STORED, TERABYTE, data, found, succeeds, with_file_system};
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

#[test]
fn a_file_system_within_is_mounted_by_a_loop_device_and_its_files_are_those_below_files() {
    if !can_mount() {
        return;
    }
    let dir = TempDir::new().unwrap();
    let file = with_file_system(&dir);
    let (place, inner) = (Place::new(&dir, "at"), Place::new(&dir, "inner"));
    let said = ok(&["mount", &file, place.text()]);
    assert_eq!(
        said,
        format!("{}\n{}\n", place.file("a.raw"), place.file("files/a"))
    );
    let options = "loop,ro,noload";
    succeeds(
        "mount",
        &["-o", options, &place.file("a.raw"), inner.text()],
    );
    let ours = place.0.join("files/a");
    let (wanted, there) = (found(&inner.0), found(&ours));
    assert!(wanted.len() > 2010, "{}", wanted.len());
    for (wanted, there) in wanted.iter().zip(&there) {
        assert_eq!(wanted, there);
    }
    assert_eq!(wanted.len(), there.len());
    for folder in ["etc", "many"] {
        let (one, other) = (inner.0.join(folder), ours.join(folder));
        let (one, other) = (one.to_str().unwrap(), other.to_str().unwrap());
        succeeds("diff", &["-r", "--no-dereference", one, other]);
    }
    assert_eq!(fs::read(ours.join(OsStr::from_bytes(ODD))).unwrap(), b"odd");
    let inode = |name: &str| fs::metadata(ours.join(name)).unwrap().ino();
    assert_eq!(inode("etc/hostname"), inode("etc/deep/other"));
    assert_ne!(inode("etc/hostname"), inode("etc/secret"));
    // The holes are where they are for the kernel, and a copy has them.
    let sparse = ours.join("sparse");
    assert_eq!(data(&sparse), data(&inner.0.join("sparse")));
    let copy = dir.path().join("copy");
    let both = [sparse.to_str().unwrap(), copy.to_str().unwrap()];
    succeeds("cp", &[&["--sparse=auto"][..], &both].concat());
    assert!(fs::metadata(&copy).unwrap().blocks() < 1000);
    let mut part = vec![0; STORED.len()];
    let copy = File::open(&copy).unwrap();
    copy.read_exact_at(&mut part, TERABYTE / 2).unwrap();
    assert!(part == STORED && copy.metadata().unwrap().len() == TERABYTE);
    let write = File::options().write(true).open(ours.join("etc/hostname"));
    assert_eq!(
        write.unwrap_err().kind(),
        std::io::ErrorKind::ReadOnlyFilesystem
    );
    fs::metadata(ours.join("etc/nothing")).unwrap_err();
    inner.unmount();
    place.unmount();
}

/// A tree, and images of all kinds of it in a directory, filled by the kernel, by the programs of users, or by those that make
/// images; two of them are partitions of one disk.
const MAKE: &str = r#"
set -e
cd "$1"
mkdir -p at tree/d/many tree/special
printf 'web\n' > tree/d/name
seq 40000 > tree/d/text
for number in $(seq 300); do echo "$number" > "tree/d/many/a file of the number $number"; done
printf end > tree/d/ü-名前
cp -a tree rich
ln -s name rich/d/link
ln -s /etc/passwd rich/d/elsewhere
ln rich/d/text rich/d/hard
truncate -s 30M rich/d/sparse
printf end >> rich/d/sparse
chmod 4711 rich/d/name
chown 70000:80000 rich/d/many
mkfifo rich/special/fifo
mknod rich/special/device b 8 70000
setfattr -n user.note -v value rich/d/name
setfattr -n user.long -v "$(printf '%0900d' 0)" rich/d/many
setfattr -n system.posix_acl_default -v \
    0x0200000001000700ffffffff04000500ffffffff08000400d007000010000700ffffffff20000000ffffffff rich/d/many
touch -d '1931-02-03 04:05:06 UTC' rich/d/name
touch -d '2107-01-01 00:00:00 UTC' rich/d/text
fill() {
    truncate -s 300M "$1"
    name=$1
    shift
    "$@" "$name" > /dev/null
    mount -o loop "$name" at
    cp -a rich/. at/
    umount at
}
fill ext3.raw mkfs.ext3 -q -F -I 256 -J size=4
fill xfs.raw mkfs.xfs -q
fill btrfs.raw mkfs.btrfs -q
truncate -s 16M ntfs.raw
mkntfs -q -F ntfs.raw > /dev/null
ntfs-3g ntfs.raw at
cp -r tree/. at/
umount at
truncate -s 40M fat
mkfs.vfat -F 32 -s 1 fat > /dev/null
mcopy -s -i fat tree/d tree/special ::
genisoimage -quiet -R -o iso.raw tree
truncate -s 80M parts.raw
printf 'label: gpt\nstart=2048, size=81920\nstart=83968, size=20480\n' | sfdisk -q parts.raw
dd if=fat of=parts.raw bs=1M seek=1 conv=notrunc,sparse status=none
truncate -s 10M ext2
mke2fs -q -t ext2 -d tree ext2
dd if=ext2 of=parts.raw bs=1M seek=41 conv=notrunc,sparse status=none
"#;

#[test]
fn the_files_of_each_kind_of_file_system_are_those_that_the_kernel_shows() {
    let programs = [
        "mkfs.xfs",
        "mkfs.btrfs",
        "ntfs-3g",
        "mcopy",
        "genisoimage",
        "getfattr",
        "sfdisk",
    ];
    let all = || programs.iter().all(|it| fleece_lab::require(it).is_some());
    if !can_mount() || !all() {
        return;
    }
    let dir = TempDir::new().unwrap();
    let top = dir.path().to_str().unwrap();
    succeeds("sh", &["-c", MAKE, "sh", top]);
    let archive = path(&dir, "all.vma");
    let mut create = vec!["create".to_owned(), archive.clone()];
    for name in ["ext3", "xfs", "btrfs", "ntfs", "iso", "parts"] {
        create.push("-d".to_owned());
        create.push(format!("format=raw:{name}={top}/{name}.raw"));
    }
    ok(&create.iter().map(String::as_str).collect::<Vec<_>>());
    let (place, inner) = (Place::new(&dir, "mount"), Place::new(&dir, "inner"));
    ok(&["mount", &archive, place.text()]);
    let same = |one: &str, other: &str| succeeds("diff", &["-r", "--no-dereference", one, other]);
    for name in ["ext3", "xfs", "btrfs"] {
        let image = path(&dir, &format!("{name}.raw"));
        succeeds("mount", &["-o", "loop,ro", &image, inner.text()]);
        let ours = place.file(&format!("files/{name}"));
        let (wanted, there) = (found(&inner.0), found(Path::new(&ours)));
        for (wanted, there) in wanted.iter().zip(&there) {
            assert_eq!(wanted, there, "{name}");
        }
        assert_eq!(wanted.len(), there.len(), "{name}");
        same(&inner.file("d"), &format!("{ours}/d"));
        assert_eq!(
            data(&inner.0.join("d/sparse")),
            data(&Path::new(&ours).join("d/sparse"))
        );
        let attributes = |of: &str| {
            let mut get = Command::new("getfattr");
            get.current_dir(of)
                .args(["-d", "-m", "^(user|system)", "-e", "hex"]);
            let output = get.args(["d/name", "d/many"]).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        let wanted = attributes(inner.text());
        assert!(wanted.contains("user.long") && wanted.contains("posix_acl_default"));
        assert_eq!(attributes(&ours), wanted, "{name}");
        let inode = |name: &str| fs::metadata(format!("{ours}/d/{name}")).unwrap().ino();
        assert_eq!(inode("text"), inode("hard"));
        inner.unmount();
    }
    for name in ["ntfs", "iso", "parts:1", "parts:2"] {
        let ours = place.file(&format!("files/{name}/d"));
        same(&format!("{top}/tree/d"), &ours);
    }
    place.unmount();
}

#[test]
fn with_an_overlay_disks_are_written_to_and_the_archive_is_not() {
    if !can_mount() {
        return;
    }
    let dir = TempDir::new().unwrap();
    let file = with_file_system(&dir);
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
        raw.write_all_at(b"end", size.saturating_sub(3)).unwrap();
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

/// What a user does, in a namespace of mounts of his own, in which users may open `/dev/fuse` as on any other system.
const AS_USER: &str = r#"
set -e
mknod "$1/fuse" c 10 229
chmod 666 "$1/fuse"
mount --bind "$1/fuse" /dev/fuse
as_user() { setpriv --reuid=nobody --regid=nogroup --clear-groups -- "$@"; }
as_user "$1/vma" mount "$1/ext4.vma.zst" "$1/at" --cache "$1/cache"
as_user sha256sum "$1/at/a.raw"
as_user cat "$1/at/files/a/etc/secret"
# Others do not see it, not even root.
! stat "$1/at/a.raw" 2> /dev/null
as_user fusermount3 -u "$1/at"
! mountpoint -q "$1/at"
"#;

#[test]
fn a_user_mounts_without_being_root_reads_all_and_an_archive_of_one_frame_by_its_copy() {
    if !can_mount() || fleece_lab::require("fusermount3").is_none() {
        return;
    }
    let dir = TempDir::new().unwrap();
    let place = Place::new(&dir, "at");
    succeeds("zstd", &["-q", &with_file_system(&dir)]);
    fs::copy(env!("CARGO_BIN_EXE_vma"), dir.path().join("vma")).unwrap();
    let top = dir.path().to_str().unwrap();
    succeeds("chown", &["-R", "nobody:", top]);
    let said = succeeds("unshare", &["--mount", "sh", "-c", AS_USER, "sh", top]);
    let sum = sha256(path(&dir, "ext4.raw"));
    let (disk, files) = (place.file("a.raw"), place.file("files/a"));
    let expected = format!("{disk}\n{files}\n{sum}  {disk}\nfor root only");
    assert_eq!(said, expected);
}
