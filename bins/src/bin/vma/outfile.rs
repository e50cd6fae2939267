//! Where a new archive goes: a file that appears only when it is complete, a FIFO, a command,
//! standard output.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use fleece_backup_core::restore::Writeback;
use fleece_staged_file::{StagedFile, remove_stale, temporary_name};
use fleece_vma_format::Error;
use fleece_vma_format::index::beside;

use fleece_bins::advice::chain;

use super::failure::{Failure, Result};
use fleece_bins::signals;

/// Who may read a new archive: it holds all of a guest.
pub(super) const MODE: u32 = 0o640;

/// A new archive's output.
pub(super) struct OutFile {
    writer: Option<Box<dyn Write + Send>>,
    end: End,
    /// What sends a file to the disk meanwhile, if that is wanted.
    writeback: Option<Arc<Writeback>>,
}

enum End {
    /// The archive, and its index if it gets one of its own.
    File(StagedFile, Option<StagedFile>),
    Command(Child, OsString),
    Stream,
}

impl OutFile {
    /// Opens `target`. With `index`, a file gets another for its index; both have this `mode`, whatever the
    /// umask.
    pub(super) fn create(target: &OsStr, index: bool, sync: bool, mode: u32) -> Result<Self> {
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
                // What a killed process left; of what cannot be removed the next step tells.
                for path in [&path, &beside(&path)] {
                    let _ = remove_stale(&temporary_name(path));
                }
                // Told before hours of work, not after.
                must_be_new(&path)?;
                if index {
                    must_be_new(&beside(&path))?;
                }
                let archive = stage(&path, sync, mode)?;
                let index = index
                    .then(|| stage(&beside(&path), sync, mode))
                    .transpose()?;
                let file = archive.file().try_clone();
                let file = file.map_err(|e| cannot_create(&path, e))?;
                let writeback = sync.then(|| written_back(&file)).transpose();
                let writeback = writeback.map_err(|e| cannot_create(&path, e))?;
                let writer: Box<dyn Write + Send> = match &writeback {
                    Some(writeback) => Box::new(Counted(file, Arc::clone(writeback))),
                    None => Box::new(file),
                };
                Ok(Self {
                    writer: Some(writer),
                    end: End::File(archive, index),
                    writeback,
                })
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

    /// Takes the writer for the archive; it must be dropped before [`finish`](Self::finish).
    pub(super) fn writer(&mut self) -> Box<dyn Write + Send> {
        self.writer.take().unwrap_or_else(|| Box::new(io::sink()))
    }

    /// Takes the writer for the index, if there is a file for it.
    pub(super) fn index_writer(&mut self) -> Option<Box<dyn Write + Send>> {
        let End::File(_, Some(index)) = &self.end else {
            return None;
        };
        Some(Box::new(BufWriter::new(index.file().try_clone().ok()?)))
    }

    /// What made writing to it fail: a command that ends early is the cause of a broken pipe.
    pub(super) fn blame(self, error: Error) -> Failure {
        match self.end {
            End::Command(child, command) if error.io_kind() == Some(io::ErrorKind::BrokenPipe) => {
                wait(child, &command).err().unwrap_or_else(|| error.into())
            }
            End::File(archive, _) if error.io_kind() == Some(io::ErrorKind::StorageFull) => {
                let (to, why) = (archive.path().display(), chain(&error));
                Failure::new(format!(
                    "{to}: {why}; make room there, or write to another place"
                ))
            }
            _ => error.into(),
        }
    }

    /// Makes everything durable, and the archive appear under its name. What is wrong with one that has it is
    /// a warning.
    pub(super) fn finish(self) -> Result<()> {
        match self.end {
            End::Stream => Ok(()),
            End::Command(child, command) => wait(child, &command),
            End::File(mut archive, mut index) => {
                let path = archive.path().to_owned();
                let failed = |e| cannot_create(&path, e);
                if let Some(writeback) = &self.writeback {
                    writeback.finish().map_err(failed)?;
                }
                archive.sync().map_err(failed)?;
                index
                    .as_mut()
                    .map_or(Ok(()), StagedFile::sync)
                    .map_err(failed)?;
                // An index comes after its archive, and without one that is whole.
                let archive = archive.commit_new().map_err(failed)?;
                let index = index.map(StagedFile::commit_new).transpose();
                let warning = match &index {
                    Ok(index) => [Some(&archive), index.as_ref()]
                        .into_iter()
                        .flatten()
                        .find_map(|committed| committed.warning().map(str::to_owned)),
                    Err(e) => Some(format!(
                        "{} is complete and has no index; `vma index` makes one: {e}",
                        path.display()
                    )),
                };
                warning.map_or(Ok(()), |warning| Err(Failure::warning(&warning)))
            }
        }
    }
}

/// A file that appears when it is complete.
fn stage(path: &Path, sync: bool, mode: u32) -> Result<StagedFile> {
    let mut staged = StagedFile::create(path, mode).map_err(|e| cannot_create(path, e))?;
    if !sync {
        staged.not_durable();
    }
    Ok(staged)
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

pub(super) fn must_be_new(path: &Path) -> Result<()> {
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
