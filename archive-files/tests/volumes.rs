//! What disks consist of: volumes spread over several, and what is known but not opened, as the programs make it that guests
//! use.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests may panic"
)]

mod support;

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fleece_archive_files::{Content, Follow, Shared, Volumes, resolve};
use support::{Loop, can, image, run, text};
use tempfile::TempDir;

/// What is on these images, each a disk of the name of its file.
fn found(images: &[&Path]) -> Volumes {
    let disks = images.iter().map(|path| {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let disk: Shared = Arc::new(File::open(path).unwrap());
        (name.to_owned(), disk)
    });
    Volumes::find(disks.collect())
}

/// An ext4 with one file, whose bytes differ from cluster to cluster.
fn file_system(folder: &TempDir) -> (Vec<u8>, Vec<u8>) {
    let tree = folder.path().join("tree");
    fs::create_dir_all(&tree).unwrap();
    let content: Vec<u8> = (0..800_000_u32).flat_map(u32::to_le_bytes).collect();
    fs::write(tree.join("file"), &content).unwrap();
    let path = folder.path().join("ext4");
    let arguments = ["-q", "-F", "-d", text(&tree), text(&path), "16M"];
    run("mkfs.ext4", &arguments);
    (fs::read(path).unwrap(), content)
}

/// That the file on a volume is the one that was put there.
fn is_there(volumes: &Volumes, name: &str, content: &[u8]) {
    let tree = volumes.named(name).unwrap().open().unwrap();
    let node = resolve(&*tree, b"/file", Follow::Links).unwrap();
    let mut read = vec![0; content.len() + 1];
    assert_eq!(tree.read_at(node, 0, &mut read).unwrap(), content.len());
    assert!(read[..content.len()] == *content);
}

/// Puts `bytes` onto images from `start` on, piece by piece in turn.
fn stripe(images: &[&Path], start: u64, piece: usize, bytes: &[u8]) {
    let open = |path: &&Path| File::options().write(true).open(path).unwrap();
    let files: Vec<File> = images.iter().map(open).collect();
    for (number, bytes) in bytes.chunks(piece).enumerate() {
        let row = number / files.len() * piece;
        let place = start + u64::try_from(row).unwrap();
        files[number % files.len()]
            .write_all_at(bytes, place)
            .unwrap();
    }
}

#[test]
fn striped_and_linear_volumes_of_lvm_are_read_over_both_their_disks() {
    if !can(&["lvm", "mkfs.ext4"]) {
        return;
    }
    let folder = TempDir::new().unwrap();
    let (bytes, content) = file_system(&folder);
    let [a, b] = ["a", "b"].map(|name| image(&folder, name, 40));
    {
        let (one, other) = (Loop::new(&a), Loop::new(&b));
        let config = format!(
            "devices{{filter=[\"a|^{}$|\",\"a|^{}$|\",\"r|.*|\"] use_devicesfile=0}} backup{{backup=0 archive=0}}",
            one.0, other.0
        );
        // Nothing is activated: the kernel may have no device mapper.
        let lvm = |command: &str, arguments: &[&str]| {
            let common = [command, "-q", "--driverloaded", "n", "--config", &config];
            run("lvm", &[&common[..], arguments].concat());
        };
        lvm("pvcreate", &[&one.0, &other.0]);
        lvm("vgcreate", &["-s", "1M", "vg", &one.0, &other.0]);
        let new = ["-an", "-Zn", "-Wn"];
        let striped = ["-i", "2", "-I", "64k", "-L", "16M", "-n", "striped", "vg"];
        lvm("lvcreate", &[&new[..], &striped].concat());
        let linear = ["-L", "40M", "-n", "linear", "vg"];
        lvm("lvcreate", &[&new[..], &linear].concat());
    }
    // The first extent is 1 MiB from the start, as `pvs -o pe_start` says.
    stripe(&[&a, &b], 1 << 20, 64 << 10, &bytes);
    let volumes = found(&[&a, &b]);
    assert!(volumes.warnings.is_empty(), "{:?}", volumes.warnings);
    is_there(&volumes, "a:vg/striped", &content);
    assert_eq!(volumes.named("a:vg/linear").unwrap().size, 40 << 20);
    // Half of it is nothing.
    let alone = found(&[&a]);
    assert!(alone.named("a:vg/striped").unwrap().open().is_err());
}

/// A member of an array, with a superblock of version 1.2 as `include/uapi/linux/raid/md_p.h` has it, and its data from 1 MiB
/// on: no kernel with MD is needed.
fn member(folder: &TempDir, name: &str, level: u32, role: u16, events: u64) -> PathBuf {
    let path = image(folder, name, 20);
    let disk = File::options().write(true).open(&path).unwrap();
    let put = |at: u64, bytes: &[u8]| disk.write_all_at(bytes, 4096 + at).unwrap();
    put(0, &0xa92b_4efc_u32.to_le_bytes());
    put(4, &1_u32.to_le_bytes());
    put(16, &[7; 16]);
    put(32, b"host:data");
    put(72, &level.to_le_bytes());
    let sectors: u64 = (16 << 20) / 512;
    put(80, &sectors.to_le_bytes());
    put(88, &128_u32.to_le_bytes());
    put(92, &2_u32.to_le_bytes());
    put(128, &2048_u64.to_le_bytes());
    put(136, &sectors.to_le_bytes());
    put(144, &8_u64.to_le_bytes());
    put(160, &u32::from(role).to_le_bytes());
    put(200, &events.to_le_bytes());
    put(256, &[0_u16.to_le_bytes(), 1_u16.to_le_bytes()].concat());
    path
}

#[test]
fn arrays_of_md_are_read_mirrored_from_the_newest_member_and_striped_from_all() {
    if !can(&["mkfs.ext4"]) {
        return;
    }
    let folder = TempDir::new().unwrap();
    let (bytes, content) = file_system(&folder);
    let (old, new) = (
        member(&folder, "old", 1, 0, 5),
        member(&folder, "new", 1, 1, 9),
    );
    stripe(&[&new], 1 << 20, bytes.len(), &bytes);
    let volumes = found(&[&old, &new]);
    is_there(&volumes, "new:md/data", &content);
    assert!(
        volumes.warnings[0].contains("differ"),
        "{:?}",
        volumes.warnings
    );
    let what = &volumes.named("old").unwrap().content;
    let Content::Part(what) = what else {
        panic!("{what:?}");
    };
    assert_eq!(what, "member 1 of 2 of the raid1 array data");
    let (a, b) = (member(&folder, "a", 0, 0, 5), member(&folder, "b", 0, 1, 5));
    stripe(&[&a, &b], 1 << 20, 64 << 10, &bytes);
    is_there(&found(&[&a, &b]), "a:md/data", &content);
    assert!(found(&[&a]).named("a:md/data").unwrap().open().is_err());
}

#[test]
fn what_is_encrypted_or_has_no_files_is_named_with_its_label_and_not_opened() {
    if !can(&["cryptsetup", "mkswap"]) {
        return;
    }
    let folder = TempDir::new().unwrap();
    let uuid = "0b9f1d5c-31b1-4a4e-9a49-5d0b0e8b7a11";
    let [luks1, luks2, swap, windows] =
        ["luks1", "luks2", "swap", "windows"].map(|name| image(&folder, name, 20));
    let key = folder.path().join("key");
    fs::write(&key, "secret").unwrap();
    let quick = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"];
    for (kind, label, path) in [
        ("luks1", &[][..], &luks1),
        ("luks2", &["--label", "home"], &luks2),
    ] {
        let format = ["luksFormat", "-q", "--type", kind, "--uuid", uuid];
        let rest = [text(path), text(&key)];
        run("cryptsetup", &[&format[..], &quick, label, &rest].concat());
    }
    run("mkswap", &["-q", "-L", "pages", "-U", uuid, text(&swap)]);
    let disk = File::options().write(true).open(&windows).unwrap();
    // As [MS-FVE] has the first sector of a volume: no free program makes one.
    disk.write_all_at(b"\xeb\x58\x90-FVE-FS-", 0).unwrap();
    disk.write_all_at(b"\x55\xaa", 510).unwrap();
    let volumes = found(&[&luks1, &luks2, &swap, &windows]);
    for (name, begin, label, id) in [
        ("luks1", "LUKS1: encrypted", "", uuid),
        ("luks2", "LUKS2: encrypted", "home", uuid),
        ("swap", "swap", "pages", uuid),
        ("windows", "BitLocker: encrypted", "", ""),
    ] {
        let volume = volumes.named(name).unwrap();
        let Content::Named {
            what,
            label: told,
            uuid,
        } = &volume.content
        else {
            panic!("{volume:?}");
        };
        assert!(what.starts_with(begin), "{what}");
        assert_eq!((told.as_slice(), uuid.as_str()), (label.as_bytes(), id));
        let refused = volume.open().unwrap_err().to_string();
        assert!(refused.contains(begin), "{refused}");
    }
}
