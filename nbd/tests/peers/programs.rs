//! Other people's NBD programs, started for one test and ended with it.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use fleece_lab::Qemu;
use fleece_nbd::Address;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A server process with its socket in a directory of its own; killed when dropped.
pub(crate) struct Program {
    process: Child,
    pub(crate) dir: TempDir,
    socket: PathBuf,
}

impl Program {
    /// `nbdkit` with these further arguments; `None` after a `SKIP:` line.
    pub(crate) fn nbdkit(arguments: &[&str]) -> Option<Self> {
        let program = fleece_lab::require("nbdkit")?;
        let dir = TempDir::new().unwrap();
        let socket = dir.path().join("nbd.sock");
        let mut command = Command::new(program);
        command
            .args(["-f", "--exit-with-parent", "-U"])
            .arg(&socket)
            .args(arguments);
        Some(Self::start(command, dir, socket))
    }

    /// `qemu-nbd` that serves `image` for any number of clients.
    pub(crate) fn qemu_nbd(qemu: &Qemu, dir: TempDir, image: &Path, arguments: &[&str]) -> Self {
        let socket = dir.path().join("nbd.sock");
        let mut command = qemu.nbd();
        command.args(["--persistent", "--shared=8", "--format=raw"]);
        command
            .arg(format!("--socket={}", socket.display()))
            .args(arguments)
            .arg(image);
        Self::start(command, dir, socket)
    }

    /// `qemu-storage-daemon` that exports `image` as `disk0`, writable, with discard.
    pub(crate) fn storage_daemon(qemu: &Qemu, dir: TempDir, image: &Path) -> Self {
        let socket = dir.path().join("nbd.sock");
        let (file, path) = (image.display(), socket.display());
        let mut command = qemu.storage_daemon();
        command.args([
            "--blockdev",
            &format!("file,node-name=d,filename={file},discard=unmap"),
        ]);
        command.args([
            "--nbd-server",
            &format!("addr.type=unix,addr.path={path},max-connections=8"),
        ]);
        command.args(["--export", "nbd,id=e,node-name=d,name=disk0,writable=on"]);
        Self::start(command, dir, socket)
    }

    fn start(mut command: Command, dir: TempDir, socket: PathBuf) -> Self {
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let process = process.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut program = Self {
            process,
            dir,
            socket,
        };
        let deadline = Instant::now() + Duration::from_secs(20);
        // None of these programs tells when it listens; a successful connection does.
        while UnixStream::connect(&program.socket).is_err() {
            let ended = program.process.try_wait().unwrap();
            assert!(
                ended.is_none(),
                "{command:?} ended before it listened: {ended:?}"
            );
            assert!(Instant::now() < deadline, "{command:?} does not listen");
            thread::sleep(Duration::from_millis(5));
        }
        program
    }

    pub(crate) fn address(&self) -> Address {
        Address::Unix(self.socket.clone())
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Kills the server with SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Stops the server in its tracks, with its connections open.
    pub(crate) fn freeze(&self) {
        let id = Pid::from_child(&self.process);
        kill_process(id, Signal::STOP).unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs a program to its end, with these words as further arguments; it must succeed.
pub(crate) fn run(mut command: Command, words: &str) -> String {
    command.args(words.split_whitespace()).stdin(Stdio::null());
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let [stdout, stderr] =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert!(
        output.status.success(),
        "{command:?}: {}\n{stdout}\n{stderr}",
        output.status
    );
    stdout
}

/// A sparse file of `size` bytes with data at these places.
pub(crate) fn sparse_file(path: &Path, size: u64, data: &[(u64, &[u8])]) {
    let file = File::create(path).unwrap();
    file.set_len(size).unwrap();
    for (offset, bytes) in data {
        file.write_all_at(bytes, *offset).unwrap();
    }
    file.sync_all().unwrap();
}

/// Bytes that the file takes on disk.
pub(crate) fn allocated(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().blocks() * 512
}

/// Bytes that differ everywhere, so that a piece in the wrong place shows.
pub(crate) fn pattern(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
