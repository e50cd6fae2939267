//! Other people's NBD programs, started for one test and ended with it.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use fleece_nbd::Address;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Returns from the test with a `SKIP:` line unless all these programs are installed.
macro_rules! require {
    ($($tool:literal),+) => {
        $(if !crate::programs::is_installed($tool) {
            eprintln!("SKIP: {} is not installed", $tool);
            return;
        })+
    };
}

pub(crate) use require;

pub(crate) fn is_installed(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(tool).is_file())
}

/// A server process with its socket in a directory of its own; killed when dropped.
pub(crate) struct Program {
    process: Child,
    pub(crate) dir: TempDir,
    socket: PathBuf,
}

impl Program {
    /// Starts `program`; `arguments` get the path of the socket and of the directory.
    pub(crate) fn start(
        program: &str,
        dir: TempDir,
        arguments: impl FnOnce(&Path, &Path) -> Vec<String>,
    ) -> Self {
        let socket = dir.path().join("nbd.sock");
        let process = Command::new(program)
            .args(arguments(&socket, dir.path()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        let mut server = Self {
            process,
            dir,
            socket,
        };
        let deadline = Instant::now() + Duration::from_secs(20);
        // None of these programs tells when it listens; a successful connection does.
        while std::os::unix::net::UnixStream::connect(&server.socket).is_err() {
            let ended = server.process.try_wait().unwrap();
            assert!(
                ended.is_none(),
                "{program} ended before it listened: {ended:?}"
            );
            assert!(Instant::now() < deadline, "{program} does not listen");
            thread::sleep(Duration::from_millis(5));
        }
        server
    }

    /// `nbdkit` in the foreground with these further arguments.
    pub(crate) fn nbdkit(arguments: &[&str]) -> Self {
        Self::start("nbdkit", TempDir::new().unwrap(), |socket, _| {
            let mut all = strings(&["-f", "--exit-with-parent", "-U"]);
            all.push(display(socket));
            all.extend(strings(arguments));
            all
        })
    }

    /// `qemu-nbd` that serves `image` (a path) for any number of clients.
    pub(crate) fn qemu_nbd(dir: TempDir, image: &Path, arguments: &[&str]) -> Self {
        Self::start("qemu-nbd", dir, |socket, _| {
            let mut all = strings(&["--persistent", "--shared=8", "--format=raw"]);
            all.push(format!("--socket={}", socket.display()));
            all.extend(strings(arguments));
            all.push(display(image));
            all
        })
    }

    /// `qemu-storage-daemon` that exports `image` as `disk0`, writable, with discard.
    pub(crate) fn storage_daemon(dir: TempDir, image: &Path) -> Self {
        Self::start("qemu-storage-daemon", dir, |socket, _| {
            vec![
                "--blockdev".to_owned(),
                format!(
                    "driver=file,node-name=d,filename={},discard=unmap",
                    image.display()
                ),
                "--nbd-server".to_owned(),
                format!(
                    "addr.type=unix,addr.path={},max-connections=8",
                    socket.display()
                ),
                "--export".to_owned(),
                "type=nbd,id=e,node-name=d,name=disk0,writable=on".to_owned(),
            ]
        })
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

/// Runs a program to its end; it must succeed.
pub(crate) fn run<S: AsRef<OsStr>>(
    program: &str,
    arguments: impl IntoIterator<Item = S>,
) -> String {
    let output = output(program, arguments);
    assert!(
        output.status.success(),
        "{program}: {}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn output<S: AsRef<OsStr>>(
    program: &str,
    arguments: impl IntoIterator<Item = S>,
) -> Output {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"))
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

fn strings(all: &[&str]) -> Vec<String> {
    all.iter().map(|one| (*one).to_owned()).collect()
}

fn display(path: &Path) -> String {
    path.display().to_string()
}
