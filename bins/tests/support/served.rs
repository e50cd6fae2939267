//! `fleece serve`, and a client that writes to its disks.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use fleece_lab::Qemu;

use super::Bench;

/// `fleece serve` with its sockets in the folder `socket`, ended with the value.
pub(crate) struct Served(Child);

impl Served {
    pub(crate) fn start(bench: &Bench, disks: &[&Path]) -> Self {
        let mut command = bench.fleece("serve");
        command
            .arg("--socket")
            .arg(bench.path("socket"))
            .args(disks);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let ready = lines.any(|line| line.unwrap().contains("back up with"));
        assert!(ready, "fleece serve ended: {:?}", child.wait());
        std::thread::spawn(move || lines.for_each(drop));
        Self(child)
    }

    /// Sends a signal, such as `-STOP`.
    pub(crate) fn signal(&self, name: &str) {
        super::signal(self.0.id(), name);
    }

    /// Ends it with SIGKILL.
    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
    }

    /// Nothing of a backup is left in it: no export of a snapshot, no open fleecing image.
    pub(crate) fn assert_clean(&self, bench: &Bench, qemu: &Qemu) {
        let exports = exports(bench, qemu);
        assert!(!exports.contains("snapshot-"), "{exports}");
        assert!(
            !self.holds(&bench.path("fleecing")),
            "an open fleecing image"
        );
    }

    /// Waits until it is so: a server notices the end of a backup that did not take leave a moment
    /// later.
    pub(crate) fn await_clean(&self, bench: &Bench, qemu: &Qemu) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline
            && (self.holds(&bench.path("fleecing")) || exports(bench, qemu).contains("snapshot-"))
        {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether it has a file open there, be it one without a name.
    pub(crate) fn holds(&self, folder: &Path) -> bool {
        let open = fs::read_dir(format!("/proc/{}/fd", self.0.id())).unwrap();
        // What is closed meanwhile is no matter.
        open.filter_map(|file| fs::read_link(file.unwrap().path()).ok())
            .any(|file| file.starts_with(folder))
    }
}

/// The exports, as QEMU's client lists them.
fn exports(bench: &Bench, qemu: &Qemu) -> String {
    let mut list = qemu.nbd();
    list.arg("--list").arg("-k");
    list.arg(bench.path("socket").join("nbd.sock"));
    super::text(&super::succeed(&mut list))
}

impl Drop for Served {
    fn drop(&mut self) {
        // One that is stopped would not notice the other signal.
        for name in ["-TERM", "-CONT"] {
            let _ = Command::new("kill")
                .arg(name)
                .arg(self.0.id().to_string())
                .stderr(Stdio::null())
                .status();
        }
        let _ = self.0.wait();
    }
}

/// A disk's user: QEMU's client, which is told one command after the other.
pub(crate) struct Writer {
    child: Child,
    commands: ChildStdin,
    said: BufReader<ChildStdout>,
}

impl Writer {
    /// Connects to the disk `drive-disk0`.
    pub(crate) fn connect(bench: &Bench, qemu: &Qemu) -> Self {
        let socket = bench.path("socket").join("nbd.sock");
        let uri = format!("nbd+unix:///drive-disk0?socket={}", socket.display());
        let mut command = qemu.io();
        command.args(["-f", "raw", &uri]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut writer = Self {
            commands: child.stdin.take().unwrap(),
            said: BufReader::new(child.stdout.take().unwrap()),
            child,
        };
        writer.prompt();
        writer
    }

    /// Writes that byte over a range.
    pub(crate) fn write(&mut self, byte: u8, offset: u64, length: u64) {
        let said = self.tell(&format!("write -P {byte} {offset} {length}"));
        let done = format!("wrote {length}/{length} bytes");
        assert!(said.contains(&done), "{said}");
    }

    /// The range holds nothing but that byte.
    pub(crate) fn verify(&mut self, byte: u8, offset: u64, length: u64) {
        let said = self.tell(&format!("read -P {byte} {offset} {length}"));
        let done = format!("read {length}/{length} bytes");
        assert!(said.contains(&done) && !said.contains("failed"), "{said}");
    }

    fn tell(&mut self, command: &str) -> String {
        writeln!(self.commands, "{command}").unwrap();
        self.prompt()
    }

    /// What it says until it is ready for the next command.
    fn prompt(&mut self) -> String {
        let mut said = Vec::new();
        while !said.ends_with(b"qemu-io> ") {
            let mut byte = [0];
            self.said.read_exact(&mut byte).unwrap();
            said.push(byte[0]);
        }
        String::from_utf8(said).unwrap()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
