//! The process that serves an archive to QEMU, and outlives the one that started it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fleece_plain_text::message;
use fleece_storage::block::{ErrorKind as BlockErrorKind, ImageLock};

use super::folder::Folder;
use crate::job::cancel::CancelToken;
use crate::report::error::{Error, ErrorKind};
use crate::restore::behind::{LiveRecord, RECORD, SOCKET, server_of};

/// What the server says.
const LOG: &str = "live.log";

/// How often the server looks whether it is still needed.
const LOOK: Duration = Duration::from_millis(200);

/// How long it waits for a QEMU, and after the last one.
const IDLE: Duration = Duration::from_secs(60);

/// How long it may take until it listens: it reads the archive's header and index.
const START: Duration = Duration::from_secs(60);

/// How long requests under way may take at the end, when nobody needs the answers.
const GRACE: Duration = Duration::from_secs(1);

/// How a server is started: a program that calls [`serve_live`] for its working directory.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a program and its arguments")]
pub struct LiveServer {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

/// Serves the archive of the live restore in `folder` to the QEMU of its guest, until that restore is complete, or the
/// guest has ended. The socket is in the folder, so its path must be short.
///
/// # Errors
/// Those of the archive and of the record.
pub fn serve_live(folder: &Path, cancel: &CancelToken) -> Result<(), Error> {
    let path = folder.join(RECORD);
    let cannot = |error| {
        Error::caused(
            ErrorKind::Target,
            format!("cannot use {}", path.display()),
            error,
        )
    };
    let file = File::open(&path).map_err(cannot)?;
    if !lock(&file) {
        // Another one serves already.
        return Ok(());
    }
    let record = LiveRecord::read(&file, &path)?;
    let server = server_of(&record, &folder.join(SOCKET), cancel)?;
    let mut needed = Instant::now();
    while path.exists() && cancel.reason().is_none() {
        let _ = cancel.fired().recv_timeout(LOOK);
        let is_idle = server.connections() == 0 && needed.elapsed() > IDLE;
        // To look at the images may get into the way of a QEMU that opens them, so it is done rarely.
        if is_idle && !is_used(folder, &record) {
            break;
        }
        if is_idle || server.connections() > 0 {
            needed = Instant::now();
        }
    }
    let failed = |error| Error::caused(ErrorKind::Internal, "cannot end the server", error);
    server.shutdown(GRACE).map_err(failed)
}

/// Locks the record for the server, against one that looks whether it is locked.
fn lock(file: &File) -> bool {
    (0..20).any(|_| {
        let locked = file.try_lock().is_ok();
        if !locked {
            std::thread::sleep(Duration::from_millis(50));
        }
        locked
    })
}

/// Whether a QEMU has an image open, which may need the server when its guest reads again.
pub(super) fn is_used(folder: &Path, record: &LiveRecord) -> bool {
    record.disks.iter().any(|disk| {
        let lock = ImageLock::for_writing(&folder.join(&disk.file));
        lock.is_err_and(|error| error.kind() == BlockErrorKind::Busy)
    })
}

/// The server as its folder's process sees it.
#[derive(Debug)]
pub(super) struct Keeper<'a> {
    folder: &'a Folder,
    server: &'a LiveServer,
    /// If it is a child of ours.
    child: Option<Child>,
}

impl<'a> Keeper<'a> {
    pub(super) const fn new(folder: &'a Folder, server: &'a LiveServer) -> Self {
        Self {
            folder,
            server,
            child: None,
        }
    }

    /// Whether a server is there, ours or an earlier one.
    pub(super) fn is_there(&mut self) -> bool {
        // A child that has ended is not one any more.
        if let Some(child) = &mut self.child
            && matches!(child.try_wait(), Ok(Some(_)))
        {
            self.child = None;
        }
        let record = File::open(self.folder.join(RECORD));
        record.is_ok_and(|record| record.try_lock_shared().is_err())
    }

    /// Starts one and waits until it listens.
    pub(super) fn start(&mut self) -> Result<(), Error> {
        let failed = |error: io::Error| {
            let message = format!("cannot start {}", self.server.program.display());
            Error::caused(ErrorKind::Internal, message, error)
        };
        let path = self.folder.join(LOG);
        let mut options = fs::OpenOptions::new();
        let options = options.write(true).create(true).truncate(true);
        let log = options.mode(0o600).open(&path).map_err(failed)?;
        let mut child = Command::new(&self.server.program)
            .args(&self.server.arguments)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(failed)?)
            .stderr(log)
            // Signals to us are none to the server.
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let end = Instant::now().checked_add(START);
        loop {
            if UnixStream::connect(self.folder.socket(SOCKET)).is_ok() {
                self.child = Some(child);
                return Ok(());
            }
            let ended = child.try_wait().map_err(failed)?;
            if ended.is_some() || end.is_none_or(|end| Instant::now() > end) {
                let _ = child.kill();
                let _ = child.wait();
                let said = fs::read(&path).unwrap_or_default();
                let said = String::from_utf8_lossy(&said).into_owned();
                let message = format!("the archive cannot be served: {}", message(said.trim()));
                return Err(Error::new(ErrorKind::Archive, message));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for the end of the server, which has seen that it is not needed any more, and removes what it leaves.
    pub(super) fn end(&mut self) {
        let end = Instant::now().checked_add(GRACE.saturating_mul(10));
        while end.is_some_and(|end| Instant::now() < end) && self.folder.join(SOCKET).exists() {
            std::thread::sleep(LOOK);
        }
        if let Some(child) = &mut self.child {
            let _ = child.try_wait();
        }
        let _ = fs::remove_file(self.folder.join(SOCKET));
        let _ = fs::remove_file(self.folder.join(LOG));
    }
}
