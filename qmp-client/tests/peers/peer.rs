//! Programs to talk to.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fleece_qmp_client::{Client, Error, ErrorKind};
use rustix::process::{Pid, Signal};
use tempfile::TempDir;

use crate::scenario::{IMAGE_SIZE, IMAGES, Scenario};

pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A running program with a QMP socket; killed at the end.
pub(crate) struct Peer {
    process: Child,
    directory: TempDir,
}

/// Runs the test with a machine of each QEMU of the lab.
pub(crate) fn each_machine(arguments: &[&str], test: impl Fn(&Peer)) {
    let own = [
        "-display",
        "none",
        "-nodefaults",
        "-S",
        "-qmp",
        "unix:qmp,server=on,wait=off",
    ];
    let all = [&own, arguments].concat();
    for qemu in fleece_lab::qemus() {
        test(&Peer::start(qemu.system(), &all));
    }
}

/// Runs the test with a storage daemon of each QEMU of the lab.
pub(crate) fn each_storage_daemon(test: impl Fn(&Peer)) {
    each_with(crate::scenario::STORAGE_DAEMON, test);
}

/// Runs the test with each program that the scenario is for.
pub(crate) fn each_with(scenario: Scenario, test: impl Fn(&Peer)) {
    for qemu in fleece_lab::qemus() {
        let program = qemu.programs().join(scenario.program);
        test(&Peer::start(Command::new(program), scenario.arguments));
    }
}

impl Peer {
    pub(crate) fn start(command: Command, arguments: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        for image in IMAGES {
            let file = std::fs::File::create(directory.path().join(image)).unwrap();
            file.set_len(IMAGE_SIZE).unwrap();
        }
        // It ends with the thread of the test, should that be killed.
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(command.get_program())
            .args(arguments)
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self { process, directory }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let process = Pid::from_child(&self.process);
        rustix::process::kill_process(process, signal).unwrap();
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
