//! `virsh`, run for one command or a few.
//!
//! What it says goes into files without names instead of pipes: when we are killed, it goes on to the end of what
//! it was told, which is what a guest that is stopped meanwhile needs.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fleece_qmp_client::{Interrupt, Waiting};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::error::{Error, ErrorKind};

/// The most that `virsh` may say: libvirt's own limit for one text is 4 MiB (`REMOTE_STRING_MAX`), and a few
/// commands are run at a time.
const MAX_OUTPUT: u64 = 64 << 20;

/// How long an interrupt may go unnoticed.
const SLICE: Duration = Duration::from_millis(100);

/// A program that is run with a connection's URI; `None` for the one that `virsh` takes by itself.
#[derive(Clone, Debug)]
pub(crate) struct Virsh {
    pub(crate) uri: Option<String>,
    pub(crate) interrupt: Interrupt,
}

impl Virsh {
    pub(crate) fn at(uri: &str, interrupt: &Interrupt) -> Self {
        Self {
            uri: Some(uri.to_owned()),
            interrupt: interrupt.clone(),
        }
    }

    /// The program with the connection's URI; its words come in English, and it is not in the way of a terminal's
    /// signals.
    pub(crate) fn command(&self) -> Command {
        let mut command = self.talkative();
        command.arg("--quiet");
        command
    }

    /// The same with the remarks that it makes about what it has done.
    fn talkative(&self) -> Command {
        let mut command = Command::new("virsh");
        command
            .env("LC_ALL", "C")
            // No colours, and no keys of the user's own.
            .env("TERM", "dumb")
            .env("INPUTRC", "/dev/null")
            .env("VIRSH_HISTSIZE", "0")
            .process_group(0)
            .stdin(Stdio::null());
        if let Some(uri) = &self.uri {
            command.args(["--connect", uri]);
        }
        command
    }

    /// Runs one command and returns what it prints.
    pub(crate) fn run(&self, arguments: &[&str], deadline: Duration) -> Result<String, Error> {
        let mut command = self.command();
        command.args(arguments);
        self.begin(command)?.end(deadline)
    }

    /// The same with its remarks.
    pub(crate) fn remarks(&self, arguments: &[&str], deadline: Duration) -> Result<String, Error> {
        let mut command = self.talkative();
        command.args(arguments);
        self.begin(command)?.end(deadline)
    }

    /// Starts a command.
    pub(crate) fn begin(&self, mut command: Command) -> Result<Running, Error> {
        let failed = |error: std::io::Error| {
            let message = match error.kind() {
                std::io::ErrorKind::NotFound => {
                    "there is no program virsh (package libvirt-clients)"
                }
                _ => "cannot run virsh",
            };
            Error::new(ErrorKind::NoVirsh, message).with_source(error)
        };
        let waiting = self.interrupt.wait();
        let (output, errors) = (unnamed().map_err(failed)?, unnamed().map_err(failed)?);
        let stdio = |file: &File| Ok::<_, std::io::Error>(Stdio::from(file.try_clone()?));
        command
            .stdout(stdio(&output).map_err(failed)?)
            .stderr(stdio(&errors).map_err(failed)?);
        let child = command.spawn().map_err(failed)?;
        Ok(Running {
            child,
            output,
            errors,
            waiting,
        })
    }
}

fn unnamed() -> std::io::Result<File> {
    Ok(File::from(memfd_create("virsh", MemfdFlags::CLOEXEC)?))
}

/// A `virsh` at work. Dropped, it goes on, and nobody hears of it.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    output: File,
    errors: File,
    waiting: Waiting,
}

impl Running {
    /// Waits for its end and returns what it has printed.
    pub(crate) fn end(self, deadline: Duration) -> Result<String, Error> {
        let (output, succeeded, said) = self.hear(deadline)?;
        match succeeded {
            true => Ok(output),
            false => Err(Error::said(&said)),
        }
    }

    /// The same for one that may have failed half-way: what it has printed, whether it succeeded, and what it
    /// says of that.
    pub(crate) fn hear(mut self, deadline: Duration) -> Result<(String, bool, String), Error> {
        if !wait(&mut self.child, deadline, &self.waiting)? {
            // What it was told may be under way in libvirt all the same.
            let _ = self.child.kill();
            let _ = self.child.wait();
            return Err(match self.waiting.is_interrupted() {
                true => Error::new(ErrorKind::Interrupted, "interrupted"),
                false => Error::new(ErrorKind::Deadline, "libvirt does not answer in time"),
            });
        }
        let status = self.child.wait().map_err(broken)?;
        let output = read(&mut self.output)?;
        Ok((output, status.success(), read(&mut self.errors)?))
    }
}

fn broken(error: std::io::Error) -> Error {
    Error::new(ErrorKind::NoVirsh, "cannot hear virsh").with_source(error)
}

/// Waits for the end of a process; whether it came in time.
fn wait(child: &mut Child, deadline: Duration, waiting: &Waiting) -> Result<bool, Error> {
    let start = Instant::now();
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let end: Option<OwnedFd> = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    loop {
        if child.try_wait().map_err(broken)?.is_some() {
            return Ok(true);
        }
        let left = deadline.saturating_sub(start.elapsed());
        if left.is_zero() || waiting.is_interrupted() {
            return Ok(false);
        }
        match &end {
            Some(end) => await_readable(end, left.min(SLICE)),
            // A kernel before 5.3.
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// Waits until there is something to read, or its other end is gone, or for as long as `limit`.
pub(crate) fn await_readable(fd: &impl std::os::fd::AsFd, limit: Duration) {
    let limit = Timespec::try_from(limit).ok();
    // An interruption is as good as a time-out: whoever waits looks again.
    let _ = poll(&mut [PollFd::new(fd, PollFlags::IN)], limit.as_ref());
}

fn read(file: &mut File) -> Result<String, Error> {
    let mut text = Vec::new();
    file.seek(SeekFrom::Start(0))
        .and_then(|_| file.take(MAX_OUTPUT).read_to_end(&mut text))
        .map_err(broken)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

impl Virsh {
    /// Runs one command with something at its standard input.
    pub(crate) fn run_with(
        &self,
        input: File,
        arguments: &[&str],
        deadline: Duration,
    ) -> Result<String, Error> {
        let mut command = self.command();
        command.args(arguments).stdin(Stdio::from(input));
        self.begin(command)?.end(deadline)
    }

    /// A text in a file without a name, for [`run_with`](Self::run_with).
    pub(crate) fn hand_over(&self, text: &str) -> Result<File, Error> {
        use std::io::Write as _;
        let write = || {
            let mut file = unnamed()?;
            file.write_all(text.as_bytes())?;
            file.seek(SeekFrom::Start(0))?;
            Ok(file)
        };
        write().map_err(broken)
    }
}
