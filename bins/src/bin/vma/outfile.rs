//! Where a new archive goes: a file that appears only when it is complete, a FIFO, a command,
//! standard output.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use fleece_vma_format::Error;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::failure::{Failure, Result, chain};
use super::input::beside;
use super::signals;
use super::writeback::Writeback;

/// A new archive's output.
pub(super) struct OutFile {
    writer: Option<Box<dyn Write + Send>>,
    end: End,
    /// What sends a file to the disk meanwhile, if that is wanted.
    writeback: Option<Arc<Writeback>>,
}

enum End {
    /// The archive, and its index if it gets one of its own.
    File(Pending, Option<Pending>),
    Command(Child, OsString),
    Stream,
}

impl OutFile {
    /// Opens `target`. With `index`, a file gets another for its index.
    pub(super) fn create(target: &OsStr, index: bool, sync: bool) -> Result<Self> {
        if let Some(command) = target.as_bytes().strip_prefix(b"exec:") {
            return Self::command(OsStr::from_bytes(command));
        }
        if target == "-" {
            return Self::standard_output();
        }
        let path = PathBuf::from(target);
        match fs::metadata(&path) {
            Ok(there) if !there.is_file() => {
                // A FIFO waits for its reader.
                let open = || OpenOptions::new().write(true).open(&path);
                let stream = signals::at_once(open).map_err(|e| cannot_create(&path, e))?;
                Ok(Self::stream(stream))
            }
            _ => {
                // Told before hours of work, not after.
                must_be_new(&path)?;
                if index {
                    must_be_new(&beside(&path))?;
                }
                let (pending, file) = Pending::create(path)?;
                let index = index
                    .then(|| beside(&pending.path))
                    .map(Pending::create)
                    .transpose()?;
                let (index, index_file) = index.unzip();
                let writeback = sync.then(|| written_back(&file)).transpose();
                let writeback = writeback.map_err(|e| cannot_create(&pending.path, e))?;
                let writer: Box<dyn Write + Send> = match &writeback {
                    Some(writeback) => Box::new(Counted(file, Arc::clone(writeback))),
                    None => Box::new(file),
                };
                let mut out = Self {
                    writer: Some(writer),
                    end: End::File(pending, index),
                    writeback,
                };
                out.hold_index(index_file);
                Ok(out)
            }
        }
    }

    fn stream(file: File) -> Self {
        Self {
            writer: Some(Box::new(file)),
            end: End::Stream,
            writeback: None,
        }
    }

    fn standard_output() -> Result<Self> {
        let out = io::stdout();
        if out.is_terminal() {
            return Err(Failure::usage("an archive is not written to a terminal"));
        }
        // Not through the buffer of `stdout`, which looks for the ends of lines.
        let again = out.as_fd().try_clone_to_owned();
        Ok(Self::stream(again.map_err(Failure::output)?.into()))
    }

    fn command(command: &OsStr) -> Result<Self> {
        let spawned = Command::new("/bin/sh")
            .arg("-c")
            .arg(command)
            .stdin(Stdio::piped())
            .spawn();
        let what = || format!("cannot start {}", command.display());
        let mut child = spawned.map_err(|e| Failure::io(what(), e))?;
        let stdin = child
            .stdin
            .take()
            .map(|stdin| Box::new(stdin) as Box<dyn Write + Send>);
        Ok(Self {
            writer: stdin,
            end: End::Command(child, command.to_owned()),
            writeback: None,
        })
    }

    fn hold_index(&mut self, file: Option<File>) {
        if let End::File(_, Some(index)) = &mut self.end {
            index.file = file;
        }
    }

    /// Takes the writer for the archive; it must be dropped before [`finish`](Self::finish).
    pub(super) fn writer(&mut self) -> Box<dyn Write + Send> {
        self.writer.take().unwrap_or_else(|| Box::new(io::sink()))
    }

    /// Takes the writer for the index, if there is a file for it.
    pub(super) fn index_writer(&mut self) -> Option<Box<dyn Write + Send>> {
        let End::File(_, Some(index)) = &mut self.end else {
            return None;
        };
        Some(Box::new(BufWriter::new(index.file.take()?)))
    }

    /// What made writing to it fail: a command that ends early is the cause of a broken pipe.
    pub(super) fn blame(self, error: Error) -> Failure {
        match self.end {
            End::Command(child, command) if error.io_kind() == Some(io::ErrorKind::BrokenPipe) => {
                wait(child, &command).err().unwrap_or_else(|| error.into())
            }
            End::File(archive, _) if error.io_kind() == Some(io::ErrorKind::StorageFull) => {
                let (to, why) = (archive.path.display(), chain(&error));
                Failure::new(format!(
                    "{to}: {why}; make room there, or write to another place"
                ))
            }
            _ => error.into(),
        }
    }

    /// Makes everything durable, and the archive appear under its name.
    pub(super) fn finish(self) -> Result<()> {
        match self.end {
            End::Stream => Ok(()),
            End::Command(child, command) => wait(child, &command),
            End::File(archive, index) => {
                if let Some(writeback) = &self.writeback {
                    let failed = |e| cannot_create(&archive.path, e);
                    writeback.finish().map_err(failed)?;
                    archive.sync()?;
                    index.as_ref().map_or(Ok(()), Pending::sync)?;
                }
                index.map_or(Ok(()), Pending::publish)?;
                let parent = archive.parent();
                archive.publish()?;
                if self.writeback.is_some() {
                    let synced = File::open(&parent).and_then(|directory| directory.sync_all());
                    return match synced {
                        // Not every file system can sync a directory.
                        Err(e) if e.kind() == io::ErrorKind::InvalidInput => Ok(()),
                        other => other.map_err(|e| cannot_create(&parent, e)),
                    };
                }
                Ok(())
            }
        }
    }
}

/// Waits for a command, which must succeed.
fn wait(mut child: Child, command: &OsStr) -> Result<()> {
    let command = command.display();
    let status = child.wait();
    match status.map_err(|e| Failure::io(format!("cannot wait for {command}"), e))? {
        status if status.success() => Ok(()),
        status => Err(Failure::new(format!("{command} failed: {status}"))),
    }
}

fn written_back(file: &File) -> io::Result<Arc<Writeback>> {
    let again = file.try_clone()?;
    Ok(Arc::new(Writeback::new(move || again.sync_data())?))
}

/// Tells how much is written.
struct Counted(File, Arc<Writeback>);

impl Write for Counted {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let written = self.0.write(data)?;
        self.1.wrote(written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file under a temporary name, removed unless published.
struct Pending {
    path: PathBuf,
    temporary: PathBuf,
    file: Option<File>,
}

impl Pending {
    fn create(path: PathBuf) -> Result<(Self, File)> {
        let mut name = OsString::from(&path);
        name.push(format!(".tmp-{}", std::process::id()));
        let temporary = PathBuf::from(name);
        let options = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o644)
            .clone();
        let file = options
            .open(&temporary)
            .map_err(|e| cannot_create(&temporary, e))?;
        Ok((
            Self {
                path,
                temporary,
                file: None,
            },
            file,
        ))
    }

    fn sync(&self) -> Result<()> {
        let opened = File::open(&self.temporary);
        opened
            .and_then(|file| file.sync_all())
            .map_err(|e| cannot_create(&self.path, e))
    }

    /// Gives the file its name, unless something has that name already.
    fn publish(self) -> Result<()> {
        let (from, to) = (&self.temporary, &self.path);
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // Network file systems do not know the flag; what is there already is looked for twice.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                must_be_new(to)?;
                fs::rename(from, to).map_err(|e| cannot_create(to, e))
            }
            other => other.map_err(|e| cannot_create(to, e)),
        }
    }

    fn parent(&self) -> PathBuf {
        match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        // After publishing there is nothing under this name any more.
        let _ = fs::remove_file(&self.temporary);
    }
}

fn must_be_new(path: &Path) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(_) => Err(Failure::new(format!(
            "cannot create {}: it exists already; remove it or choose another name",
            path.display()
        ))),
        Err(_) => Ok(()),
    }
}

fn cannot_create(path: &Path, error: impl Into<io::Error>) -> Failure {
    Failure::io(format!("cannot create {}", path.display()), error)
}
