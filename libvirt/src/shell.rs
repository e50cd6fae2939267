//! A `virsh` that stays: one connection to libvirt for many commands of a monitor.
//!
//! To start `virsh` takes some 15 ms of the host's time, which would add up: a backup asks QEMU several times a
//! second how the guest does. A command in a `virsh` that runs takes a millisecond or two.
//!
//! It is spoken to as to a terminal: commands go in by lines and are echoed; a reply of QEMU's is a line that
//! begins with a brace, and after it comes a mark that we have asked for.

use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStdin, Stdio};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::error::{Error, ErrorKind};
use crate::virsh::{Virsh, await_readable};

/// A line of commands that is certain to fit into the pipe while nobody reads the echo.
pub(crate) const MAX_LINE: usize = 32 << 10;

/// What may come before the mark: libvirt's own limit for a text, and the echo.
const MAX_ANSWER: usize = 8 << 20;

/// How long an interrupt may go unnoticed.
const SLICE: Duration = Duration::from_millis(100);

/// A `virsh` that waits for commands. Dropped, it ends.
#[derive(Debug)]
pub(crate) struct Shell {
    child: Child,
    input: Option<ChildStdin>,
    output: std::fs::File,
    next_mark: u64,
}

impl Shell {
    pub(crate) fn start(virsh: &Virsh) -> Result<Self, Error> {
        let failed = |error: std::io::Error| {
            Error::new(ErrorKind::NoVirsh, "cannot run virsh").with_source(error)
        };
        let pipe = |()| -> Result<(OwnedFd, OwnedFd), Errno> { pipe_with(PipeFlags::CLOEXEC) };
        let (output, end) = pipe(()).map_err(|errno| failed(errno.into()))?;
        let mut command = virsh.command();
        command
            .stdin(Stdio::piped())
            .stdout(end.try_clone().map_err(failed)?)
            .stderr(end);
        let mut child = command.spawn().map_err(failed)?;
        Ok(Self {
            input: child.stdin.take(),
            child,
            output: output.into(),
            next_mark: 1,
        })
    }

    /// Runs one line and returns what comes before the mark.
    ///
    /// # Errors
    /// After one the shell is not to be used any more.
    pub(crate) fn run(
        &mut self,
        line: &str,
        deadline: Duration,
        virsh: &Virsh,
    ) -> Result<String, Error> {
        let start = Instant::now();
        let waiting = virsh.interrupt.wait();
        let mark = format!("{{\"mark\":{}}}", self.next_mark);
        self.next_mark = self.next_mark.saturating_add(1);
        let input = self.input.as_mut().ok_or_else(lost)?;
        // Echoed it stands behind a prompt; printed it begins a line.
        let (text, mark) = (format!("{line}\necho '{mark}'\n"), format!("\n{mark}"));
        input.write_all(text.as_bytes()).map_err(|_| lost())?;
        let mut answer = Vec::new();
        let mut chunk = vec![0; 64 << 10];
        loop {
            let left = deadline.saturating_sub(start.elapsed());
            if waiting.is_interrupted() {
                return Err(Error::new(ErrorKind::Interrupted, "interrupted"));
            }
            if left.is_zero() {
                return Err(Error::new(
                    ErrorKind::Deadline,
                    "libvirt does not answer in time",
                ));
            }
            if !is_readable(&self.output, left.min(SLICE)) {
                continue;
            }
            let count = self.output.read(&mut chunk).map_err(|_| lost())?;
            if count == 0 {
                return Err(lost());
            }
            let seen = answer.len().saturating_sub(mark.len());
            answer.extend_from_slice(chunk.get(..count).unwrap_or_default());
            let news = answer.get(seen..).unwrap_or_default();
            if news
                .windows(mark.len())
                .any(|window| window == mark.as_bytes())
            {
                return Ok(String::from_utf8_lossy(&answer).into_owned());
            }
            if answer.len() > MAX_ANSWER {
                return Err(Error::new(ErrorKind::Lost, "virsh says too much"));
            }
        }
    }
}

fn is_readable(output: &std::fs::File, limit: Duration) -> bool {
    await_readable(output, limit);
    let mut now = [rustix::event::PollFd::new(
        output,
        rustix::event::PollFlags::IN,
    )];
    let zero = rustix::event::Timespec::default();
    rustix::event::poll(&mut now, Some(&zero)).is_ok_and(|ready| ready > 0)
}

fn lost() -> Error {
    Error::new(ErrorKind::Lost, "virsh has ended")
}

impl Drop for Shell {
    fn drop(&mut self) {
        // The end of its input is its end; one that hangs is not waited for.
        self.input = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
