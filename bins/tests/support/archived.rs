//! An archive of a guest with two disks, whole, cut, or on its way through a pipe.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use super::Bench;
use super::ended::Ended;

/// An archive, and what the guest's disks `drive-scsi0` and `drive-virtio1` held.
pub(crate) struct Archived {
    pub(crate) path: PathBuf,
    pub(crate) disks: [Vec<u8>; 2],
}

impl Archived {
    /// Makes it in a bench, with these configurations: names and contents.
    pub(crate) fn new(bench: &Bench, configs: &[(&str, &str)]) -> Self {
        let path = bench.path("archives").join("vzdump-qemu-100-x.vma");
        let mut scsi = vec![0; (3 << 20) + 4096];
        scsi[70_000..200_000].fill(0x11);
        scsi[3 << 20..].fill(0x22);
        let mut virtio = vec![0x33; 1 << 20];
        virtio[65_536..131_072].fill(0);
        let disks = [scsi, virtio];
        let mut create = Command::new(env!("CARGO_BIN_EXE_vma"));
        create.arg("create").arg(&path);
        for (name, config) in configs {
            fs::write(bench.path(name), config).unwrap();
            create.arg("-c").arg(bench.path(name));
        }
        for (name, disk) in ["drive-scsi0", "drive-virtio1"].iter().zip(&disks) {
            fs::write(bench.path(name), disk).unwrap();
            create.arg(format!("{name}={}", bench.path(name).display()));
        }
        super::succeed(&mut create);
        Self { path, disks }
    }

    /// Another one, whose end is missing.
    pub(crate) fn cut(&self) -> PathBuf {
        let cut = self.path.with_file_name("cut.vma");
        let whole = fs::read(&self.path).unwrap();
        fs::write(&cut, &whole[..whole.len() - 70_000]).unwrap();
        cut
    }

    /// Starts `restore` from a pipe with half of it, and waits until the restore has made the file
    /// `made`.
    pub(crate) fn pipe(&self, restore: &mut Command, made: &Path) -> Piped {
        let restore = restore.stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = restore.spawn().unwrap();
        let mut pipe = child.stdin.take().unwrap();
        let mut archive = fs::read(&self.path).unwrap();
        let rest = archive.split_off(archive.len() / 2);
        pipe.write_all(&archive).unwrap();
        while !made.exists() {
            assert!(child.try_wait().unwrap().is_none(), "it ended");
            std::thread::yield_now();
        }
        Piped { child, pipe, rest }
    }

    /// The image in the format qcow2 holds what that disk held.
    pub(crate) fn assert_in_qcow2(&self, disk: usize, image: &Path) {
        let raw = self.path.with_file_name("raw");
        let mut convert = Command::new("qemu-img");
        convert.args(["convert", "-f", "qcow2", "-O", "raw"]);
        super::succeed(convert.arg(image).arg(&raw));
        assert!(fs::read(&raw).unwrap() == self.disks[disk]);
    }
}

/// A restore that waits for the rest of its archive.
pub(crate) struct Piped {
    child: Child,
    pipe: ChildStdin,
    rest: Vec<u8>,
}

impl Piped {
    /// Sends it a signal, such as `-INT`, and waits for its end: the pipe stays open.
    pub(crate) fn end(self, signal: &str) -> Ended {
        super::signal(self.child.id(), signal);
        self.child.wait_with_output().unwrap().into()
    }

    /// Gives it the rest, and waits for its end.
    pub(crate) fn finish(mut self) -> Ended {
        self.pipe.write_all(&self.rest).unwrap();
        drop(self.pipe);
        self.child.wait_with_output().unwrap().into()
    }
}
