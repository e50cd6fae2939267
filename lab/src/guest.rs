//! The tiny guest.

mod boot;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::channel::Channel;
use crate::error::{Error, ErrorKind};
use crate::process::{Process, deadline};
use crate::scratch::Scratch;

pub use boot::GuestBuilder;

/// How long the guest may take to end after it was told to.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(60);

/// A running Linux with busybox, the `writer`, and its disks at `/dev/disk0`, `/dev/disk1`, ….
///
/// Dropping it kills it and removes its disks.
#[derive(Debug)]
pub struct Guest {
    // Dropped in this order: first the process, then its files.
    process: Process,
    channel: Mutex<Channel>,
    disks: Vec<PathBuf>,
    scratch: Scratch,
}

impl Guest {
    /// The QMP socket for the program under test. Like each of QEMU's, it serves one client at a time.
    pub fn qmp_socket(&self) -> PathBuf {
        self.scratch.socket("qmp")
    }

    /// Another QMP socket, for the test itself.
    pub fn test_socket(&self) -> PathBuf {
        self.scratch.socket("test")
    }

    /// The guest agent's socket, if the guest was built with one.
    pub fn agent_socket(&self) -> PathBuf {
        self.scratch.socket("agent")
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

    /// A folder for the test's own files, on the same file system as the disks; removed with the guest.
    pub fn folder(&self) -> &Path {
        self.scratch.folder()
    }

    /// The id of QEMU's process.
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// Runs one line of shell in the guest and gives its output.
    ///
    /// # Errors
    ///
    /// A status other than 0, with the output; no end within `timeout`, after which the guest's shell is
    /// of no more use.
    pub fn run(&self, command: &str, timeout: Duration) -> Result<String, Error> {
        let output = self.shell().run(command, timeout);
        output.map_err(|error| error.with(&self.console()))
    }

    /// Starts one line of shell in the guest and lets it run.
    ///
    /// # Errors
    ///
    /// The guest's shell does not answer.
    pub fn spawn(&self, command: &str) -> Result<Background<'_>, Error> {
        // The shell's job gets a file of its own; `exec` so that a signal reaches the program.
        let line = format!(
            "job=$((job + 1)); (exec sh -c '{}') >/tmp/job$job 2>&1 </dev/null & echo $! $job",
            command.replace('\'', r"'\''")
        );
        let answer = self.run(&line, Duration::from_secs(30))?;
        let (process, job) = answer.trim().split_once(' ').unwrap_or_default();
        Ok(Background {
            guest: self,
            process: process.to_owned(),
            job: job.to_owned(),
        })
    }

    /// What the guest's kernel printed.
    pub fn console(&self) -> String {
        let bytes = fs::read(self.scratch.file("console")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What QEMU printed.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Powers the guest off and waits for QEMU's end. The disks stay until the guest is dropped.
    ///
    /// # Errors
    ///
    /// The guest does not end in time, or QEMU fails.
    pub fn shutdown(&mut self) -> Result<(), Error> {
        self.shell().send("sync; poweroff -f")?;
        let status = self.process.wait(deadline(SHUTDOWN_TIMEOUT))?;
        if status.success() {
            return Ok(());
        }
        let message = format!("QEMU ended with {status}");
        Err(Error::new(ErrorKind::Exited, message).with(&self.log()))
    }

    /// Waits for QEMU's end, say after a QMP `quit`, for at most `timeout`.
    ///
    /// # Errors
    ///
    /// It runs on.
    pub fn wait(&mut self, timeout: Duration) -> Result<ExitStatus, Error> {
        self.process.wait(deadline(timeout))
    }

    /// Kills QEMU at once, as when the host's power fails. The disks stay until the guest is dropped.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    fn wait_ready(&mut self, timeout: Duration) -> Result<(), Error> {
        let ready = self.shell().wait_ready(deadline(timeout));
        ready.map_err(|error| error.with(&self.log()).with(&self.console()))
    }

    fn shell(&self) -> MutexGuard<'_, Channel> {
        self.channel.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A command that runs in the guest.
#[derive(Debug)]
pub struct Background<'a> {
    guest: &'a Guest,
    process: String,
    job: String,
}

impl Background<'_> {
    /// Waits for its end and gives its output.
    ///
    /// # Errors
    ///
    /// As [`Guest::run`].
    pub fn wait(self, timeout: Duration) -> Result<String, Error> {
        let line = format!(
            "wait {}; s=$?; cat /tmp/job{}; (exit $s)",
            self.process, self.job
        );
        self.guest.run(&line, timeout)
    }

    /// Ends it by SIGTERM and gives its output, whatever its status.
    ///
    /// # Errors
    ///
    /// No end within `timeout`.
    pub fn stop(self, timeout: Duration) -> Result<String, Error> {
        let line = format!(
            "kill {process}; wait {process}; cat /tmp/job{job}",
            process = self.process,
            job = self.job
        );
        self.guest.run(&line, timeout)
    }

    /// What it has printed so far.
    ///
    /// # Errors
    ///
    /// The guest's shell does not answer.
    pub fn output(&self) -> Result<String, Error> {
        let line = format!("cat /tmp/job{}", self.job);
        self.guest.run(&line, Duration::from_secs(30))
    }
}
