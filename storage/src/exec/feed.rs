//! A program that is fed through its standard input for as long as there is something to feed.

use std::io::{ErrorKind as IoKind, Write};
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use super::{Ended, attend, command, failed, kill, summary, too_late};
use crate::error::Error;

/// Runs until it is [finished](Self::finish); dropped before, it is killed with all its children.
#[derive(Debug)]
pub(crate) struct Feed {
    argv: Vec<String>,
    child: Option<Child>,
    timeout: Duration,
}

impl Feed {
    /// Starts `argv`. `timeout` is how long it may take nothing of what is written.
    ///
    /// # Errors
    ///
    /// `CommandMissing`, `CommandFailed`.
    pub(crate) fn start(argv: &[&str], timeout: Duration) -> Result<Self, Error> {
        let io = |source| failed(argv, "cannot be run").caused_by(source);
        let child = command(argv)?
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(io)?;
        let feed = Self {
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            child: Some(child),
            timeout,
        };
        if let Some(stdin) = feed.child.as_ref().and_then(|child| child.stdin.as_ref()) {
            let flags = fcntl_getfl(stdin).map_err(|errno| io(errno.into()))?;
            fcntl_setfl(stdin, flags | OFlags::NONBLOCK).map_err(|errno| io(errno.into()))?;
        }
        Ok(feed)
    }

    /// Writes all of `data`.
    ///
    /// # Errors
    ///
    /// `CommandFailed` with what the program says, if it has ended; `Unreachable` if it takes nothing.
    pub(crate) fn write(&mut self, mut data: &[u8]) -> Result<(), Error> {
        while !data.is_empty() {
            let stdin = self.child.as_mut().and_then(|child| child.stdin.as_mut());
            let Some(stdin) = stdin else {
                return Err(self.fail("was fed after its end"));
            };
            let blocked = match stdin.write(data) {
                Ok(taken) => {
                    data = data.get(taken..).unwrap_or_default();
                    continue;
                }
                Err(error) if error.kind() == IoKind::Interrupted => continue,
                Err(error) => error,
            };
            if blocked.kind() == IoKind::BrokenPipe {
                // It tells itself why it does not want more.
                self.finish(self.timeout)?;
                return Err(self.fail("ended before it had received everything"));
            }
            if blocked.kind() != IoKind::WouldBlock {
                return Err(self.fail("cannot be fed").caused_by(blocked));
            }
            let mut fds = [PollFd::new(stdin, PollFlags::OUT)];
            let timeout = Timespec::try_from(self.timeout).ok();
            match poll(&mut fds, timeout.as_ref()) {
                Ok(0) => return Err(self.fail("accepts no more data; does the storage respond?")),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(self.fail("cannot be fed").caused_by(errno)),
            }
        }
        Ok(())
    }

    /// Ends its input and waits for its end.
    ///
    /// # Errors
    ///
    /// `CommandFailed` with what the program says; `Unreachable` after `timeout`.
    pub(crate) fn finish(&mut self, timeout: Duration) -> Result<(), Error> {
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        drop(child.stdin.take());
        let ended = attend(&mut child, timeout);
        if !matches!(ended, Ok(Some(_))) {
            kill(&mut child);
        }
        let argv: Vec<&str> = self.argv.iter().map(String::as_str).collect();
        match ended.map_err(|source| self.fail("cannot be waited for").caused_by(source))? {
            Some(Ended { status, .. }) if status.success() => Ok(()),
            Some(Ended { status, stderr, .. }) => {
                let message = format!("failed with {status}: {}", summary(&stderr));
                Err(failed(&argv, &message))
            }
            None => Err(too_late(&argv, timeout)),
        }
    }

    fn fail(&self, message: &str) -> Error {
        let argv: Vec<&str> = self.argv.iter().map(String::as_str).collect();
        failed(&argv, message)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            kill(child);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::error::ErrorKind;
    use crate::exec::tests::fifo;

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_secs(60);

    fn sh(script: &str, timeout: Duration) -> Feed {
        Feed::start(&["sh", "-c", script], timeout).unwrap()
    }

    #[test]
    fn a_program_gets_all_it_is_fed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fed");
        let mut feed = sh(&format!("cat > {}", path.display()), MINUTE);
        let data = vec![b'x'; 1 << 20];
        feed.write(&data).unwrap();
        feed.write(b"the end").unwrap();
        feed.finish(MINUTE).unwrap();
        let fed = std::fs::read(path).unwrap();
        assert!(fed.starts_with(&data) && fed.ends_with(b"the end"));
    }

    #[test]
    fn a_program_that_ends_early_says_why() {
        let mut feed = sh("echo full >&2; exit 3", MINUTE);
        let error = feed.write(&vec![0; 1 << 20]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CommandFailed);
        let text = error.to_string();
        assert!(text.contains("exit status: 3: full"), "{text}");

        let mut feed = sh("exec <&-; exit 0", MINUTE);
        let error = feed.write(&vec![0; 1 << 20]).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("before it had received everything")
        );
        assert!(sh("exit 4", MINUTE).finish(MINUTE).is_err());
    }

    #[test]
    fn a_program_that_takes_nothing_is_given_up_and_killed() {
        let (_directory, fifo) = fifo();
        // Reading the FIFO ends when the last process that holds it open has died.
        let mut feed = sh(&format!("exec sleep 600 > {}", fifo.display()), SECOND);
        let reader = std::thread::spawn(move || std::fs::read(fifo));
        let started = Instant::now();
        let error = feed.write(&vec![0; 1 << 20]).unwrap_err();
        assert!(error.to_string().contains("accepts no more"), "{error}");
        drop(feed);
        reader.join().unwrap().unwrap();
        assert!(started.elapsed() < MINUTE);
    }
}
