//! Targets that take an archive and show nothing of it: standard output, what has a name already, a command.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::report::error::{Error, ErrorKind};
use crate::target::place::{Staged, Target};

/// Bytes that go where nothing can be taken back.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StreamTarget {
    /// Standard output.
    Stdout,
    /// Something that exists: a FIFO, or a device. Opening a FIFO waits for its reader.
    Existing(PathBuf),
    /// The standard input of this command, which `/bin/sh` runs and which must succeed.
    Command(OsString),
}

impl Target for StreamTarget {
    fn path(&self) -> Option<&Path> {
        None
    }

    fn begin(&self, _most: u64) -> Result<Box<dyn Staged>, Error> {
        Ok(match self {
            Self::Stdout => {
                // Not through the buffer of `stdout`, which looks for the ends of lines.
                let fd = io::stdout().as_fd().try_clone_to_owned();
                let fd = fd.map_err(|e| failed("cannot write to standard output", e))?;
                Box::new(Stream(fd.into()))
            }
            Self::Existing(path) => {
                let file = OpenOptions::new().write(true).open(path);
                let what = || format!("cannot open {}", path.display());
                Box::new(Stream(file.map_err(|e| failed(what(), e))?))
            }
            Self::Command(command) => Box::new(Piped::start(command)?),
        })
    }
}

#[derive(Debug)]
struct Stream(File);

impl Write for Stream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Staged for Stream {
    fn sync(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn commit(self: Box<Self>) -> Result<Option<String>, Error> {
        Ok(None)
    }
}

/// A command that takes an archive.
#[derive(Debug)]
struct Piped {
    child: Child,
    stdin: Option<ChildStdin>,
    command: OsString,
}

impl Piped {
    fn start(command: &OsStr) -> Result<Self, Error> {
        let spawned = Command::new("/bin/sh")
            .arg("-c")
            .arg(command)
            .stdin(Stdio::piped())
            .spawn();
        let what = || format!("cannot start {}", command.display());
        let mut child = spawned.map_err(|e| failed(what(), e))?;
        Ok(Self {
            stdin: child.stdin.take(),
            child,
            command: command.to_owned(),
        })
    }

    /// Ends its input, and waits for it.
    fn wait(&mut self) -> io::Result<()> {
        drop(self.stdin.take());
        let status = self.child.wait()?;
        let command = self.command.display();
        match status.success() {
            true => Ok(()),
            false => Err(io::Error::other(format!("{command} failed: {status}"))),
        }
    }
}

impl Write for Piped {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = match &mut self.stdin {
            Some(stdin) => stdin.write(buffer),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        };
        match written {
            // Why it has ended is the cause.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.wait().and(Err(error)),
            other => other,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Staged for Piped {
    fn sync(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn commit(mut self: Box<Self>) -> Result<Option<String>, Error> {
        let waited = self.wait();
        waited.map_err(|e| failed("cannot write the archive", e))?;
        Ok(None)
    }
}

fn failed(what: impl Into<String>, error: io::Error) -> Error {
    Error::caused(ErrorKind::Target, what, error)
}
