//! Programs to talk to.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fleece_qmp_client::{Client, Error, ErrorKind};
use tempfile::TempDir;

use crate::scenario::{IMAGE_SIZE, IMAGES, Scenario};

pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A running program with a QMP socket; killed at the end.
pub(crate) struct Peer {
    process: Child,
    directory: TempDir,
}

impl Peer {
    /// A machine that never starts to run.
    pub(crate) fn machine(arguments: &[&str]) -> Option<Self> {
        let mut all = vec!["-display", "none", "-nodefaults", "-S"];
        all.extend(arguments);
        all.extend([
            "-chardev",
            "socket,id=qmp,path=qmp,server=on,wait=off",
            "-mon",
        ]);
        all.push("chardev=qmp,mode=control");
        Self::start("qemu-system-x86_64", &all)
    }

    pub(crate) fn storage_daemon(arguments: &[&str]) -> Option<Self> {
        let mut all = arguments.to_vec();
        all.extend(["--chardev", "socket,id=qmp,path=qmp,server=on,wait=off"]);
        all.extend(["--monitor", "chardev=qmp"]);
        Self::start("qemu-storage-daemon", &all)
    }

    pub(crate) fn of(scenario: Scenario) -> Option<Self> {
        let directory = TempDir::new().unwrap();
        for image in IMAGES {
            let file = std::fs::File::create(directory.path().join(image)).unwrap();
            file.set_len(IMAGE_SIZE).unwrap();
        }
        Self::start_in(directory, scenario.program, scenario.arguments)
    }

    pub(crate) fn start(program: &str, arguments: &[&str]) -> Option<Self> {
        Self::start_in(TempDir::new().unwrap(), program, arguments)
    }

    fn start_in(directory: TempDir, program: &str, arguments: &[&str]) -> Option<Self> {
        let process = Command::new(program)
            .args(arguments)
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .spawn();
        match process {
            Ok(process) => Some(Self { process, directory }),
            Err(error) => {
                eprintln!("SKIP: cannot run {program}: {error}");
                None
            }
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A client as soon as the program listens.
    pub(crate) fn client(&self) -> Client {
        connect(&self.path("qmp")).unwrap()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Connects as soon as somebody listens.
pub(crate) fn connect(path: &Path) -> Result<Client, Error> {
    let start = Instant::now();
    loop {
        match Client::connect_unix(path) {
            Err(error)
                if matches!(error.kind(), ErrorKind::NoSocket | ErrorKind::Refused)
                    && start.elapsed() < SOON =>
            {
                // A program that starts gives no sign that could be awaited.
                std::thread::sleep(Duration::from_millis(10));
            }
            result => return result,
        }
    }
}

/// A machine with a controller and two disks.
pub(crate) fn machine_with_disks() -> Option<Peer> {
    let disk = "null-co,size=1048576,node-name=";
    Peer::machine(&[
        "-M",
        "q35",
        "-device",
        "virtio-scsi-pci,id=scsi",
        "-blockdev",
        &format!("{disk}null0"),
        "-device",
        "scsi-hd,id=disk0,drive=null0",
        "-blockdev",
        &format!("{disk}null1"),
        "-device",
        "virtio-blk-pci,id=disk1,drive=null1",
    ])
}
