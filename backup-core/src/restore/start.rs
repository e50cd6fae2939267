//! Starting a guest that was restored.

use std::fs::{self, File};
use std::io::{self, ErrorKind as IoKind, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fleece_guest_config::GuestId;
use fleece_plain_text::message;

use super::behind::LIVE;
use super::folder::SCRIPT;
use super::folder::qemu::PROGRAM;
use crate::report::advice::Advice;
use crate::report::error::{Error, ErrorKind};

/// How a restored guest is started. Whether that can be done at all is known before it is restored.
#[derive(Clone, Debug)]
pub struct Start(How);

#[derive(Clone, Debug)]
enum How {
    Script(PathBuf),
    Proxmox(GuestId),
}

/// Where Proxmox's `qm` looks for guests.
const PROXMOX: &str = "/etc/pve/";
const QM: &str = "qm";
/// QEMU's monitor in a folder.
pub(super) const MONITOR: &str = "qmp.sock";
/// What the script says, and QEMU after it.
const LOG: &str = "start.log";
/// How long QEMU may take until its monitor answers.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How much of what was said an error quotes: its end, in bytes.
const QUOTED: u64 = 2000;

/// Whether the guest's processors stand still before their first instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    No,
    Yes,
}

/// Starts the guest of a folder whose disks are copied behind it.
pub(super) fn live(folder: &Path, held: Held) -> Result<String, Error> {
    must_be_there(PROGRAM)?;
    // One that a killed QEMU has left would be taken for the new one's.
    let _ = fs::remove_file(folder.join(MONITOR));
    let mut command = Command::new(folder.join(SCRIPT));
    if held == Held::Yes {
        command.arg("-S");
    }
    script(folder, command, "the guest does not start")
}

/// Whether the guest of a folder runs, or is held.
pub(super) fn is_running(monitor: &Path) -> bool {
    answers(monitor)
}

impl Start {
    /// By the script of a folder.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Request`] if there is no QEMU.
    pub fn of_folder(folder: &Path) -> Result<Self, Error> {
        must_be_there(PROGRAM)?;
        Ok(Self(How::Script(folder.to_owned())))
    }

    /// By Proxmox, whose guests' configurations are where `config` will be.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Request`] if this is no Proxmox host, or the guest will not be one of its own.
    pub fn of_guest(config: &Path, guest: &GuestId) -> Result<Self, Error> {
        if !config.starts_with(PROXMOX) {
            let message = format!(
                "the guest cannot be started: only Proxmox's own can, and {} is none of its configurations",
                config.display()
            );
            return Err(Error::new(ErrorKind::Request, message).advise(Advice::StartYourself));
        }
        must_be_there(QM)?;
        Ok(Self(How::Proxmox(guest.clone())))
    }

    /// Starts it; returns what was started.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Guest`] with what was said when it does not start.
    pub fn run(&self) -> Result<String, Error> {
        match &self.0 {
            How::Script(folder) => {
                let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
                let command = Command::new(folder.join(SCRIPT));
                script(
                    &folder,
                    command,
                    "the guest is restored, but it does not start",
                )
            }
            How::Proxmox(guest) => proxmox(guest),
        }
    }
}

fn must_be_there(program: &str) -> Result<(), Error> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|directory| directory.join(program).is_file());
    if found {
        return Ok(());
    }
    let message = format!("the guest cannot be started: there is no {program} here");
    Err(Error::new(ErrorKind::Request, message).advise(Advice::StartYourself))
}

fn proxmox(guest: &GuestId) -> Result<String, Error> {
    let guest = guest.to_string();
    let output = Command::new(QM)
        .args(["start", &guest])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Error::caused(ErrorKind::Guest, format!("cannot run {QM}"), error))?;
    if output.status.success() {
        return Ok(format!("started guest {guest} with `{QM} start {guest}`"));
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = message(&said);
    let message = format!("the guest is restored, but `{QM} start {guest}` failed: {said}");
    Err(Error::new(ErrorKind::Guest, message))
}

/// The script of a folder.
pub(super) fn script_of(folder: &Path) -> PathBuf {
    folder.join(SCRIPT)
}

/// Starts the script of a folder, and tells what runs then.
fn script(folder: &Path, command: Command, what: &str) -> Result<String, Error> {
    let child = spawn(folder, command, what)?;
    let (script, monitor, log) = (folder.join(SCRIPT), folder.join(MONITOR), folder.join(LOG));
    Ok(format!(
        "started {} as process {}; its monitor is {}, and what QEMU says is in {}",
        script.display(),
        child.id(),
        monitor.display(),
        log.display()
    ))
}

/// Starts the script of a folder, which is absolute, and waits until QEMU answers; `what` is what is said of the guest if
/// that fails. The script knows that the disks are looked after if they lie over an archive.
pub(super) fn spawn(folder: &Path, mut command: Command, what: &str) -> Result<Child, Error> {
    let failed = |why: &str, error: io::Error| {
        Error::caused(ErrorKind::Guest, format!("{what}: {why}"), error)
    };
    let (path, monitor) = (folder.join(LOG), folder.join(MONITOR));
    let mut options = fs::OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(true);
    let mut log = options
        .mode(0o600)
        .open(&path)
        .map_err(|error| failed("what it says cannot be written", error))?;
    let cannot = |error| failed("its start cannot be logged", error);
    let mut child = command
        .env(LIVE, "1")
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(cannot)?)
        .stderr(log.try_clone().map_err(cannot)?)
        // Signals to us are none to the guest.
        .process_group(0)
        .spawn()
        .map_err(|error| failed("its script cannot be run", error))?;
    let end = Instant::now().checked_add(TIMEOUT);
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            let said = tail(&mut log).unwrap_or_default();
            let said = message(&said);
            let message = format!("{what}: {SCRIPT} ended ({status}): {said}");
            return Err(Error::new(ErrorKind::Guest, message));
        }
        if answers(&monitor) {
            return Ok(child);
        }
        if end.is_none_or(|end| Instant::now() > end) {
            let message = format!(
                "{what}: {SCRIPT} runs as process {}, but QEMU's monitor {} does not answer; see {}",
                child.id(),
                monitor.display(),
                path.display()
            );
            return Err(Error::new(ErrorKind::Guest, message));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Whether QEMU listens. A path that is too long for a socket's address can only be looked for.
fn answers(monitor: &Path) -> bool {
    match UnixStream::connect(monitor) {
        Ok(_) => true,
        Err(error) => error.kind() == IoKind::InvalidInput && monitor.exists(),
    }
}

fn tail(log: &mut File) -> io::Result<String> {
    let end = log.metadata()?.len();
    log.seek(SeekFrom::Start(end.saturating_sub(QUOTED)))?;
    let mut said = Vec::new();
    log.read_to_end(&mut said)?;
    Ok(String::from_utf8_lossy(&said).into_owned())
}
