//! A file system with programs of the host and their libraries, for the lab's guest.

#![expect(
    clippy::unwrap_used,
    reason = "only tests use it, and may fail by a panic"
)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::disk::{Disk, Format};
use crate::guest::Guest;
use crate::qemu::Qemu;

/// How long the guest may take to mount a tree and to load its modules, on a busy host.
const MOUNT_TIMEOUT: Duration = Duration::from_secs(240);

/// A tree of files that becomes a disk of the guest.
#[derive(Debug)]
pub struct GuestTree {
    folder: TempDir,
}

impl GuestTree {
    /// A tree with nothing in it but the usual folders.
    #[expect(clippy::new_without_default, reason = "it makes a folder")]
    pub fn new() -> Self {
        let tree = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        for folder in ["dev", "proc", "sys", "run", "tmp", "etc", "modules"] {
            fs::create_dir_all(tree.path(&format!("/{folder}"))).unwrap();
        }
        tree
    }

    /// Puts a program of the host at `place`, and its libraries where it looks for them.
    pub fn program(&self, program: &Path, place: &str) {
        self.copy(program, place);
        for library in libraries(Command::new("ldd").arg(program)) {
            self.copy(&library, library.to_str().unwrap());
        }
    }

    /// Puts a program of the lab's QEMU into `/bin`, with the libraries of its own release.
    pub fn qemu(&self, qemu: &Qemu, name: &str) {
        let folder = qemu.programs().join("..");
        let program = folder.join("usr/bin").join(name);
        let paths = ["lib", "usr/lib"].map(|lib| folder.join(lib).join("x86_64-linux-gnu"));
        let linkers = paths
            .each_ref()
            .map(|path| path.join("ld-linux-x86-64.so.2"));
        let linker = linkers.iter().find(|linker| linker.exists()).unwrap();
        let paths = paths.map(|path| path.display().to_string()).join(":");
        let mut list = Command::new(linker);
        for library in libraries(
            list.args(["--library-path", &paths, "--list"])
                .arg(&program),
        ) {
            let name = library.file_name().unwrap().to_str().unwrap();
            self.copy(&library, &format!("/qemu/{name}"));
        }
        self.copy(linker, "/qemu/linker");
        self.copy(&program, &format!("/qemu/{name}"));
        self.script(
            &format!("/bin/{name}"),
            &format!("exec /qemu/linker --library-path /qemu /qemu/{name} \"$@\"\n"),
        );
    }

    /// Puts a script for `sh` there, which comes with it.
    pub fn script(&self, place: &str, text: &str) {
        self.copy(&crate::place::root().join("guest/bin/busybox"), "/bin/sh");
        self.file(place, &format!("#!/bin/sh\n{text}"));
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(self.path(place), mode).unwrap();
    }

    /// Puts a file with this text there.
    pub fn file(&self, place: &str, text: &str) {
        let path = self.path(place);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Puts a symbolic link there.
    pub fn link(&self, target: &str, place: &str) {
        symlink(target, self.path(place)).unwrap();
    }

    /// Puts modules of the guest's kernel there, with what they depend on, to be loaded in the
    /// order of their names.
    pub fn modules(&self, wanted: &[&str]) {
        let list = Command::new("find")
            .arg(crate::place::root().join("guest/lib/modules"))
            .args(["-name", "*.ko"])
            .output()
            .unwrap();
        let list = String::from_utf8(list.stdout).unwrap();
        let known: Vec<&Path> = list.lines().map(Path::new).collect();
        let mut order = Vec::new();
        for module in wanted {
            add(module, &known, &mut order);
        }
        for (n, module) in order.iter().enumerate() {
            self.copy(module, &format!("/modules/{n:02}.ko"));
        }
    }

    /// Boots a guest with a disk, and with the tree at `/mnt`, ready for `chroot`.
    pub(crate) fn boot(&self, qemu: &Qemu, disk: Disk) -> Guest {
        let tree = Disk::image(self.image(), Format::Raw);
        let guest = Guest::builder(qemu).disk(disk).disk(tree).boot().unwrap();
        let mount = "mount -t ext4 /dev/disk1 /mnt && \
            for dir in dev proc sys; do mount -o bind /$dir /mnt/$dir || exit 1; done && \
            for module in /mnt/modules/*; do insmod $module || exit 1; done";
        guest.run(&format!("({mount})"), MOUNT_TIMEOUT).unwrap();
        guest
    }

    /// The tree as a disk image.
    fn image(&self) -> PathBuf {
        let image = self.folder.path().join("image");
        let made = Command::new("mkfs.ext4")
            .args(["-q", "-d"])
            .arg(self.path("/"))
            .arg(&image)
            .arg("256m")
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        image
    }

    fn copy(&self, from: &Path, place: &str) {
        let to = self.path(place);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
    }

    fn path(&self, place: &str) -> PathBuf {
        self.folder
            .path()
            .join("tree")
            .join(place.trim_start_matches('/'))
    }
}

/// The files in a list such as `ldd` prints: `libc.so.6 => /lib/libc.so.6 (0x…)`,
/// `/lib64/ld-linux.so (0x…)`.
fn libraries(list: &mut Command) -> Vec<PathBuf> {
    let list = String::from_utf8(list.output().unwrap().stdout).unwrap();
    let words = list
        .lines()
        .map(|line| line.rsplit(" => ").next().unwrap().trim());
    let paths = words.filter_map(|words| words.split(' ').next());
    paths
        .filter(|path| path.starts_with('/'))
        .map(PathBuf::from)
        .collect()
}

/// Adds a module after what it depends on, by the `depends=` line in it.
fn add(module: &str, known: &[&Path], order: &mut Vec<PathBuf>) {
    let named = |path: &&&Path| {
        path.file_stem()
            .is_some_and(|stem| stem.to_string_lossy().replace('-', "_") == module)
    };
    // What is not there is built into the kernel.
    let Some(path) = known.iter().find(named) else {
        return;
    };
    if order.iter().any(|added| added == path) {
        return;
    }
    let contents = fs::read(path).unwrap();
    let depends = contents
        .split(|b| *b == 0)
        .find_map(|text| text.strip_prefix(b"depends="));
    for dependency in String::from_utf8_lossy(depends.unwrap_or_default()).split(',') {
        add(&dependency.replace('-', "_"), known, order);
    }
    order.push(path.to_path_buf());
}
