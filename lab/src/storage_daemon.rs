//! QEMU's storage daemon: its block layer without a guest, and so the cheapest live test.

use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use serde_json::json;

use crate::disk::{Disk, Names, blockdev};
use crate::error::Error;
use crate::process::{Process, deadline};
use crate::qemu::Qemu;
use crate::scratch::Scratch;

/// The daemon takes some milliseconds; the machine may be busy.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// What a storage daemon is to have.
#[derive(Debug)]
pub struct StorageDaemonBuilder {
    qemu: Qemu,
    disks: Vec<Disk>,
    export: bool,
    second_monitor: bool,
}

/// A running `qemu-storage-daemon`.
///
/// Disk `n` is the node `disk<n>`; below it, `disk<n>-file`. A throttled one has `disk<n>` as the node
/// on top and `disk<n>-format` between. Dropping it kills it and removes its disks.
#[derive(Debug)]
pub struct StorageDaemon {
    // Dropped in this order: first the process, then its files.
    process: Process,
    disks: Vec<PathBuf>,
    scratch: Scratch,
}

impl StorageDaemon {
    /// A daemon of `qemu`'s, without disks so far.
    pub fn builder(qemu: &Qemu) -> StorageDaemonBuilder {
        StorageDaemonBuilder {
            qemu: qemu.clone(),
            disks: Vec::new(),
            export: false,
            second_monitor: false,
        }
    }

    /// The QMP socket; it serves one client at a time.
    pub fn qmp_socket(&self) -> PathBuf {
        self.scratch.socket("qmp")
    }

    /// Another QMP socket, for the test itself, if the daemon was built with one.
    pub fn test_socket(&self) -> PathBuf {
        self.scratch.socket("test")
    }

    /// The socket of the NBD server, if the disks are exported.
    pub fn nbd_socket(&self) -> PathBuf {
        self.scratch.socket("nbd")
    }

    /// The NBD URI of disk `number`, if the disks are exported.
    pub fn nbd_uri(&self, number: usize) -> String {
        let socket = self.nbd_socket();
        format!("nbd+unix:///disk{number}?socket={}", socket.display())
    }

    /// The image of disk `number`, counted from 0.
    ///
    /// # Panics
    ///
    /// There is no such disk.
    #[expect(clippy::indexing_slicing, reason = "a test's own mistake")]
    pub fn disk_path(&self, number: usize) -> &Path {
        &self.disks[number]
    }

    /// A folder for the test's own files; removed with the daemon.
    pub fn folder(&self) -> &Path {
        self.scratch.folder()
    }

    /// The id of the process.
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// What the daemon printed.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Waits for the daemon's end, say after a QMP `quit`, for at most `timeout`.
    ///
    /// # Errors
    ///
    /// It runs on.
    pub fn wait(&mut self, timeout: Duration) -> Result<ExitStatus, Error> {
        self.process.wait(deadline(timeout))
    }

    /// Kills the daemon at once. The disks stay until the value is dropped.
    pub fn kill(&mut self) {
        self.process.kill();
    }
}

impl StorageDaemonBuilder {
    /// With one more disk. How a guest would see it plays no part.
    #[must_use]
    pub fn disk(mut self, disk: Disk) -> Self {
        self.disks.push(disk);
        self
    }

    /// With an NBD server that exports the disks, writable, as `disk0`, `disk1`, ….
    ///
    /// QEMU has one NBD server per process, so a program under test cannot start another.
    #[must_use]
    pub fn export(mut self) -> Self {
        self.export = true;
        self
    }

    /// With a second QMP socket.
    #[must_use]
    pub fn second_monitor(mut self) -> Self {
        self.second_monitor = true;
        self
    }

    /// Starts the daemon and waits until all of the above is there.
    ///
    /// # Errors
    ///
    /// The daemon refuses its arguments, with what it printed.
    pub fn start(self) -> Result<StorageDaemon, Error> {
        let scratch = Scratch::new()?;
        let path = |name: &str| scratch.socket(name).display().to_string();
        let cache = scratch.cache();
        let mut command = self.qemu.storage_daemon();
        command
            .arg("--chardev")
            .arg(format!(
                "socket,id=qmp,path={},server=on,wait=off",
                path("qmp")
            ))
            .args(["--monitor", "chardev=qmp,id=qmp"]);
        if self.second_monitor {
            let socket = format!("socket,id=test,path={},server=on,wait=off", path("test"));
            command.args(["--chardev", &socket, "--monitor", "chardev=test,id=test"]);
        }
        let mut disks = Vec::new();
        for (disk, number) in self.disks.iter().zip(0..) {
            let image = disk.create(&self.qemu, scratch.folder(), number)?;
            let names = names(disk, number);
            command.args(blockdev(disk, &image, cache, &names, "--"));
            disks.push(image);
        }
        if self.export {
            command.arg("--nbd-server").arg(format!(
                "addr.type=unix,addr.path={},max-connections=0",
                path("nbd")
            ));
            for number in 0..disks.len() {
                let name = format!("disk{number}");
                let export = json!({
                    "type": "nbd", "id": format!("guest-{name}"), "node-name": name,
                    "name": name, "writable": true,
                });
                command.arg("--export").arg(export.to_string());
            }
        }
        // The daemon works off its options in their order, so this connection says that all is there.
        let ready = scratch.socket("ready");
        let listener = UnixListener::bind(&ready)
            .map_err(Error::io(format!("listen at {}", ready.display())))?;
        command
            .arg("--chardev")
            .arg(format!("socket,id=ready,path={}", path("ready")));
        let log = scratch.file("log");
        let process = Process::start("qemu-storage-daemon", &command, &log)?;
        process.accept(&listener, deadline(START_TIMEOUT))?;
        Ok(StorageDaemon {
            process,
            disks,
            scratch,
        })
    }
}

fn names(disk: &Disk, number: usize) -> Names {
    let name = format!("disk{number}");
    let format = if disk.throttled {
        format!("{name}-format")
    } else {
        name.clone()
    };
    Names {
        file: format!("{name}-file"),
        format,
        group: format!("{name}-group"),
        throttle: name,
    }
}
