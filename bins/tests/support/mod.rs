//! What the live tests share: running `fleece`, reading its archives, looking for left-overs.
#![allow(dead_code, reason = "each test program uses a part of it")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a test may fail by a panic"
)]

pub(crate) mod agent;
pub(crate) mod archived;
pub(crate) mod backed_up;
pub(crate) mod button;
pub(crate) mod daemon;
pub(crate) mod ended;
pub(crate) mod fuse;
pub(crate) mod libvirt;
pub(crate) mod mounted;
pub(crate) mod ordered;
pub(crate) mod proxy;
pub(crate) mod running;
pub(crate) mod served;

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use fleece_lab::{Machine, Qemu};
use fleece_qmp_client::Client;
use fleece_qmp_client::commands::{
    QueryBlockExports, QueryJobs, QueryNamedBlockNodes, QueryStatus,
};
use serde_json::Value;
use tempfile::TempDir;

/// Folders for one backup: state, fleecing images, archives.
pub(crate) struct Bench {
    dir: TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["state", "fleecing", "archives"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        Self { dir }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `fleece backup` of the guest behind `qmp`, not yet started.
    pub(crate) fn backup(&self, qmp: &Path) -> Command {
        self.backup_from("--qmp", qmp)
    }

    /// The same of the disks that `fleece serve` serves.
    pub(crate) fn backup_served(&self) -> Command {
        self.backup_from("--native", &self.path("socket").join("control.sock"))
    }

    fn backup_from(&self, peer: &str, socket: &Path) -> Command {
        let mut command = self.fleece("backup");
        command.arg(peer).arg(socket);
        command.arg("--to").arg(self.path("archives"));
        command.arg("--fleecing").arg(self.path("fleecing"));
        command
    }

    pub(crate) fn fleece(&self, subcommand: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fleece"));
        command
            .arg(subcommand)
            .arg("--state-dir")
            .arg(self.path("state"));
        command
    }

    /// The only archive.
    pub(crate) fn archive(&self) -> PathBuf {
        let mut archives = archives(&self.path("archives"));
        assert_eq!(archives.len(), 1, "{archives:?}");
        archives.remove(0)
    }

    /// Restores the only archive's disks into files, in the archive's order.
    pub(crate) fn restore(&self) -> Vec<File> {
        restore(&self.archive())
    }

    /// Nothing of ours is left: not in the state folder, not on the fleecing storage, not in QEMU.
    pub(crate) fn assert_clean(&self, test_socket: &Path) {
        self.assert_clean_folders();
        assert_clean_qemu(test_socket);
    }

    pub(crate) fn assert_clean_folders(&self) {
        for name in ["state", "fleecing"] {
            let mut left = entries(&self.path(name));
            // Whose a number or name is stays known, and so does what a target did not take.
            left.retain(|path| path.extension().is_none_or(|ending| ending != "claim"));
            left.retain(|path| !path.ends_with("state/unwritten"));
            assert!(left.is_empty(), "left in {name}: {left:?}");
        }
        for path in entries(&self.path("archives")) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            assert!(name.starts_with("vzdump-qemu-"), "left: {name}");
        }
    }

    pub(crate) fn assert_no_archive(&self) {
        let archives = archives(&self.path("archives"));
        assert!(archives.is_empty(), "{archives:?}");
    }
}

/// A machine whose monitor is at `qmp`, with a small disk and further options of QEMU's.
pub(crate) fn machine_at(qemu: &Qemu, qmp: &Path, options: &[&str]) -> Machine {
    let builder = Machine::builder(qemu).unwrap();
    let image = builder.folder().join("disk.raw");
    File::create(&image).unwrap().set_len(1 << 20).unwrap();
    let drive = format!(
        "if=none,id=drive-virtio0,format=raw,file={}",
        image.display()
    );
    let monitor = format!("unix:{},server=on,wait=off", qmp.display());
    let builder = builder
        .option("-drive", drive)
        .option("-device", "virtio-blk-pci,id=virtio0,drive=drive-virtio0")
        .option("-qmp", monitor);
    let options = options.chunks(2);
    let builder = options.fold(builder, |builder, pair| builder.option(pair[0], pair[1]));
    builder.start().unwrap()
}

/// A machine that runs with nothing to start from, for what needs no guest that writes: two disks of 64 MiB, on the first
/// of them so many bytes of data that cannot be compressed.
pub(crate) fn machine_with_data(qemu: &Qemu, device: &str, data: u64) -> Machine {
    let controller = "virtio-scsi-pci,id=controller";
    let mut builder = Machine::builder(qemu)
        .unwrap()
        .option("-device", controller);
    for (number, data) in [data, 0].into_iter().enumerate() {
        let image = builder.folder().join(format!("disk{number}.raw"));
        noise(&image, data);
        let file = File::options().write(true).open(&image).unwrap();
        file.set_len(64 << 20).unwrap();
        let drive = format!(
            "if=none,id=drive{number},format=raw,file={}",
            image.display()
        );
        let device = format!("{device},id=disk{number},drive=drive{number}");
        builder = builder.option("-drive", drive).option("-device", device);
    }
    let machine = builder.start().unwrap();
    let client = Client::connect_unix(machine.test_socket()).unwrap();
    client.execute_raw("cont", None).unwrap();
    machine
}

pub(crate) fn assert_clean_qemu(test_socket: &Path) {
    let client = Client::connect_unix(test_socket).unwrap();
    let nodes = client
        .execute(&QueryNamedBlockNodes { flat: Some(true) })
        .unwrap();
    let nodes = nodes.into_iter().filter_map(|node| node.node_name);
    let jobs = client
        .execute(&QueryJobs {})
        .unwrap()
        .into_iter()
        .map(|job| job.id);
    let exports = client
        .execute(&QueryBlockExports {})
        .unwrap()
        .into_iter()
        .map(|x| x.id);
    let left: Vec<String> = nodes
        .chain(jobs)
        .chain(exports)
        .filter(|name| name.starts_with("fleece-"))
        .collect();
    assert!(left.is_empty(), "left in QEMU: {left:?}");
}

pub(crate) fn assert_running(test_socket: &Path) {
    let client = Client::connect_unix(test_socket).unwrap();
    assert!(client.execute(&QueryStatus {}).unwrap().running);
}

/// The `fleece cleanup` that a message names, as it stands there.
pub(crate) fn advised(said: &str, bench: &Bench) -> Command {
    let (_, line) = said.split_once("`fleece cleanup").expect("a command");
    let (line, _) = line.split_once('`').expect("its end");
    let mut command = match line.contains("--state-dir") {
        true => Command::new(env!("CARGO_BIN_EXE_fleece")),
        false => bench.fleece("cleanup"),
    };
    if line.contains("--state-dir") {
        command.arg("cleanup");
    }
    command.args(line.split_whitespace());
    command
}

/// Whether this is the long form, `cargo xtask faults --long`.
pub(crate) fn is_long() -> bool {
    std::env::var("FLEECE_FAULTS").is_ok_and(|form| form == "long")
}

/// Makes a file of data that cannot be compressed; one that is there is never smaller meanwhile, since a QEMU may be about to
/// open it.
pub(crate) fn noise(path: &Path, size: u64) {
    let mut random = File::open("/dev/urandom").unwrap().take(size);
    let mut options = File::options();
    let options = options.write(true).create(true).truncate(false);
    let mut file = options.open(path).unwrap();
    std::io::copy(&mut random, &mut file).unwrap();
    file.set_len(size).unwrap();
}

/// Sends a signal, such as `-STOP`, to a process.
pub(crate) fn signal(process: u32, name: &str) {
    succeed(Command::new("kill").arg(name).arg(process.to_string()));
}

pub(crate) fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    entries
}

/// The archives of a folder, finished or not, without what lies beside them: an index, the log and the account of a run.
pub(crate) fn archives(folder: &Path) -> Vec<PathBuf> {
    let mut archives = entries(folder);
    archives.retain(|path| {
        let name = path.to_string_lossy();
        let beside = [".idx", ".log", ".stats.json"];
        !beside.iter().any(|end| name.ends_with(end))
    });
    archives
}

pub(crate) fn restore(archive: &Path) -> Vec<File> {
    let file = File::open(archive).unwrap();
    let stream = fleece_vma_format::container::open(file).unwrap();
    let mut reader = fleece_vma_format::Reader::new(stream).unwrap();
    let disks: Vec<File> = reader
        .header()
        .devices()
        .iter()
        .map(|device| {
            let file = tempfile::tempfile().unwrap();
            file.set_len(device.size()).unwrap();
            file
        })
        .collect();
    while let Some(extent) = reader.next_extent().unwrap() {
        for cluster in extent.clusters() {
            let number = usize::from(cluster.entry().device().get()) - 1;
            for (offset, data) in cluster.runs() {
                let size = disks[number].metadata().unwrap().len();
                let at = cluster.entry().offset() + offset as u64;
                let length = data.len().min((size - at) as usize);
                disks[number].write_all_at(&data[..length], at).unwrap();
            }
        }
    }
    disks
}

/// The run's output if it was a success; panics with what it said otherwise.
pub(crate) fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", text(&output));
    output
}

pub(crate) fn text(output: &Output) -> String {
    format!(
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr),
        String::from_utf8_lossy(&output.stdout)
    )
}

/// The last object that a run with `--json` printed.
pub(crate) fn result(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(text.lines().last().expect("a result")).unwrap()
}
