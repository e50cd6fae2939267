//! A process that does not outlive the test.

use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use std::{io, os::unix::net::UnixListener, os::unix::net::UnixStream};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::error::{Error, ErrorKind};

/// A running process; dropping it kills it, and so does the end of the test's process.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    end: OwnedFd,
    log: PathBuf,
}

impl Process {
    /// Starts `command`, its output going to the file `log`. `name` is for messages.
    pub(crate) fn start(name: &str, command: &Command, log: &Path) -> Result<Self, Error> {
        let output = File::create(log).map_err(Error::io(format!("create {}", log.display())))?;
        let errors = output
            .try_clone()
            .map_err(Error::io(format!("share {}", log.display())))?;
        let mut guarded = tied_to_parent(command);
        guarded.stdin(Stdio::null()).stdout(output).stderr(errors);
        let mut child = spawn(guarded).map_err(Error::io(format!("start {name}")))?;
        let end = Pid::from_raw(i32::try_from(child.id()).unwrap_or(0))
            .ok_or_else(|| io::ErrorKind::NotFound.into())
            .and_then(|pid| Ok(pidfd_open(pid, PidfdFlags::empty())?));
        match end {
            Ok(end) => Ok(Self {
                name: name.to_owned(),
                child,
                end,
                log: log.to_owned(),
            }),
            Err(error) => {
                // It would be nobody's.
                let _ = child.kill();
                let _ = child.wait();
                Err(Error::io(format!("watch {name}"))(error))
            }
        }
    }

    /// The id of the process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far.
    pub(crate) fn log(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until the process connects to `listener`.
    pub(crate) fn accept(
        &self,
        listener: &UnixListener,
        deadline: Instant,
    ) -> Result<UnixStream, Error> {
        let mut events = [
            PollFd::new(listener, PollFlags::IN),
            PollFd::new(&self.end, PollFlags::IN),
        ];
        wait(&mut events, deadline).map_err(Error::io(format!("wait for {}", self.name)))?;
        let [connection, end] = &events;
        if !connection.revents().is_empty() {
            let (stream, _) = listener
                .accept()
                .map_err(Error::io(format!("accept {}", self.name)))?;
            return Ok(stream);
        }
        if end.revents().is_empty() {
            return Err(self.timeout("did not start in time"));
        }
        Err(Error::new(ErrorKind::Exited, format!("{} ended at once", self.name)).with(&self.log()))
    }

    /// Waits until the process has ended by itself.
    pub(crate) fn wait(&mut self, deadline: Instant) -> Result<ExitStatus, Error> {
        let mut events = [PollFd::from_borrowed_fd(self.end.as_fd(), PollFlags::IN)];
        wait(&mut events, deadline).map_err(Error::io(format!("wait for {}", self.name)))?;
        let [end] = &events;
        if end.revents().is_empty() {
            return Err(self.timeout("did not end in time"));
        }
        self.child
            .wait()
            .map_err(Error::io(format!("wait for {}", self.name)))
    }

    /// Kills the process, if it still runs, and waits for its end.
    pub(crate) fn kill(&mut self) {
        // Both fail only when the process has been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn timeout(&self, what: &str) -> Error {
        Error::new(ErrorKind::Timeout, format!("{} {what}", self.name)).with(&self.log())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits for one of `events`, or for the deadline, which leaves all of them unset.
pub(crate) fn wait(events: &mut [PollFd<'_>], deadline: Instant) -> io::Result<()> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(events, Some(&left)) {
            Err(rustix::io::Errno::INTR) => {}
            other => return other.map(|_| ()).map_err(Into::into),
        }
    }
}

/// The moment `timeout` from now.
pub(crate) fn deadline(timeout: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(timeout).unwrap_or(now)
}

/// The same command, run by `setpriv` (util-linux) so that the kernel kills it when its parent ends.
fn tied_to_parent(command: &Command) -> Command {
    let mut tied = Command::new("setpriv");
    tied.args(["--pdeathsig", "KILL", "--"])
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => tied.env(name, value),
            None => tied.env_remove(name),
        };
    }
    tied
}

type Answer = Sender<io::Result<Child>>;

/// Spawns from a thread that lasts as long as this process: to the kernel, the parent whose end kills
/// a process is the *thread* that made it (PR_SET_PDEATHSIG(2const)), and a test's thread may end first.
fn spawn(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<Mutex<Sender<(Command, Answer)>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, requests) = channel::<(Command, Answer)>();
        thread::spawn(move || {
            for (mut command, answer) in requests {
                // Nobody waits for the answer only if the asking thread has panicked.
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(sender)
    });
    let (answer, child) = channel();
    spawner
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .send((command, answer))
        .map_err(io::Error::other)?;
    child.recv().map_err(io::Error::other)?
}
