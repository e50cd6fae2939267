//! `vma mount`.

use std::ffi::OsStr;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use fleece_archive_files::{Cached, FileTree, Shared, Volumes};
use fleece_bins::advice::chain;
use fleece_bins::{events, signals};
use fleece_mount::{Contents, Disk, Mounted, Options, Overlay, Run, Store};
use fleece_vma_format::{Archive, Device, DeviceId};
use rustix::process::{Pid, Signal, kill_process, setsid};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use serde_json::json;

use super::cli::MountArgs;
use super::copy::{Make, open_seekable};
use super::failure::{Failure, Result};
use super::files::{DiskOfArchive, plain};
use super::input::{anywhere, chosen};
use super::report::{self, print_text};

/// How much of a disk is kept in memory for the structures of its file systems.
const MEMORY: u64 = 32 << 20;

/// How often all bytes of a disk may be read by way of `files/` before it is taken for one that goes round in circles, and
/// what is added for small ones: more than for `vma files`, since a mount may last.
const ROUNDS: u64 = 4096;
const AT_LEAST: u64 = 1 << 40;

/// How many extents are asked for at once.
const EXTENTS: usize = 64;

/// What the process that goes on says to the one that has started it when all is mounted.
const READY: u8 = 0;

/// Mounts disks until they are unmounted.
pub(super) fn mount(args: &MountArgs) -> Result<()> {
    if !args.foreground && !args.goes_on {
        return start_another(args);
    }
    let mounted = mounted(args)?;
    if args.goes_on {
        let mut stdout = io::stdout();
        let _ = stdout.write_all(&[READY]).and_then(|()| stdout.flush());
        leave_terminal().map_err(|error| Failure::io("cannot go on without a terminal", error))?;
    }
    mounted.wait(signals::token()).map_err(failed)
}

fn mounted(args: &MountArgs) -> Result<Mounted> {
    let archive = Arc::new(open_seekable(&args.archive, &args.copy, Make::Needed)?);
    anywhere(&archive)?;
    let mut devices = chosen(archive.header(), args.drives.as_deref())?;
    // Saved RAM is no disk.
    devices.retain(|device| !device.is_vmstate());
    if devices.is_empty() {
        return Err(Failure::new("the archive has no disks to mount"));
    }
    let store = match args.overlay.as_deref() {
        None => None,
        Some(path) if path.is_empty() => Some(Store::memory()),
        Some(path) => {
            let path = Path::new(path);
            let cannot = |error| Failure::io(format!("cannot create {}", path.display()), error);
            Some(Store::file(path).map_err(cannot)?)
        }
    };
    let mut disks = Vec::new();
    for device in &devices {
        let disk = Archived::open(&archive, device)?;
        let disk: Box<dyn Disk> = match &store {
            None => Box::new(disk),
            Some(store) => Box::new(Overlay::new(disk, store.share())),
        };
        disks.push((file_name(device), disk));
    }
    let mut options = Options::default();
    options.source = args.archive.to_string_lossy().into_owned();
    options.others = args.allow_other;
    let seconds = u64::try_from(archive.header().ctime()).unwrap_or_default();
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    options.time = time.unwrap_or(options.time);
    let (volumes, trees) = trees(&archive, &devices);
    let mut contents = Contents::default();
    contents.disks = disks;
    contents.trees = trees;
    let mounted = Mounted::new(&args.directory, contents, &options).map_err(failed)?;
    if mounted.has_replaced() {
        report::note(format_args!(
            "{} was still the mount point of a program that is gone; that is cleared away",
            args.directory.display()
        ));
    }
    let mut lines = String::new();
    for device in devices {
        let path = args.directory.join(file_name(device));
        report::event(&events::status_of(
            json!({"device": device.name(), "path": path}),
        ))?;
        lines.push_str(&format!("{}\n", path.display()));
    }
    for (volume, path) in volumes.iter().zip(mounted.trees()) {
        // As the directory was given, not as it was found.
        let below = path.strip_prefix(mounted.place()).unwrap_or(path);
        let path = args.directory.join(below);
        report::event(&events::status_of(json!({"volume": volume, "path": path})))?;
        lines.push_str(&format!("{}\n", path.display()));
    }
    if !report::is_events() {
        print_text(&lines)?;
    }
    Ok(mounted)
}

/// Volumes, each with its files.
type Trees = (Vec<String>, Vec<(String, Box<dyn FileTree>)>);

/// The files of all volumes on these disks. What cannot be read is told, and the rest is mounted.
fn trees(archive: &Arc<Archive<'static>>, devices: &[&Device]) -> Trees {
    let disks = devices.iter().map(|device| {
        let disk: Shared = Arc::new(DiskOfArchive::new(archive, device));
        let budget = disk.size().saturating_mul(ROUNDS).saturating_add(AT_LEAST);
        let disk: Shared = Arc::new(Cached::new(disk, MEMORY).with_budget(budget));
        (plain(device.name()).to_owned(), disk)
    });
    let found = Volumes::find(disks.collect());
    for warning in &found.warnings {
        report::warning(warning);
    }
    let (mut names, mut trees) = (Vec::new(), Vec::new());
    for volume in found.with_files() {
        let name = &volume.name;
        match volume.open() {
            Ok(tree) => {
                for note in tree.notes() {
                    report::note(format_args!("{name}: {note}"));
                }
                names.push(name.clone());
                trees.push((name.clone(), tree));
            }
            Err(error) => report::warning(format_args!(
                "{name}: its files are not mounted: {}",
                chain(&error)
            )),
        }
    }
    (names, trees)
}

fn file_name(device: &Device) -> String {
    format!("{}.raw", device.name())
}

/// A disk of an archive.
struct Archived {
    archive: Arc<Archive<'static>>,
    device: DeviceId,
    size: u64,
    stored: u64,
}

impl Archived {
    fn open(archive: &Arc<Archive<'static>>, device: &Device) -> Result<Self> {
        let mut disk = Self {
            archive: Arc::clone(archive),
            device: device.id(),
            size: device.size(),
            stored: 0,
        };
        let mut at = 0;
        while at < disk.size {
            for (data, length) in disk.runs(at, disk.size, EXTENTS)? {
                if data {
                    disk.stored = disk.stored.saturating_add(length);
                }
                at = at.saturating_add(length.max(1));
            }
        }
        Ok(disk)
    }

    /// Runs of data and holes from `offset` on, up to `end`.
    fn runs(
        &self,
        offset: u64,
        end: u64,
        most: usize,
    ) -> fleece_vma_format::Result<Vec<(bool, u64)>> {
        let archive = self.archive.random_access()?;
        let length = end.saturating_sub(offset);
        let runs = archive.stretches_at(self.device, offset, length, most)?;
        Ok(runs.into_iter().map(|run| (run.data, run.length)).collect())
    }
}

impl Disk for Archived {
    fn size(&self) -> u64 {
        self.size
    }

    fn stored(&self) -> u64 {
        self.stored
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let archive = self.archive.random_access()?;
        Ok(archive.read_at(self.device, offset, buffer)?)
    }

    fn run_at(&self, offset: u64, length: u64) -> io::Result<Run> {
        let runs = self.runs(offset, offset.saturating_add(length), 1)?;
        let (data, length) = runs.first().copied().ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(Run { data, length })
    }
}

fn failed(error: fleece_mount::Error) -> Failure {
    Failure::new(chain(&error))
}

/// Starts a process that goes on, and waits until it has mounted all, or has said why not. A fork of this one, in which there
/// are threads already, would do neither.
fn start_another(args: &MountArgs) -> Result<()> {
    let start = || -> io::Result<Child> {
        let mut command = Command::new(std::env::current_exe()?);
        for word in std::env::args_os().skip(1) {
            let is_name = word == "mount" && command.get_args().all(|word| word != "--goes-on");
            command.arg(word);
            // What comes behind the command's name may be behind a `--`.
            if is_name {
                command.arg("--goes-on");
            }
        }
        if args.archive == "-" {
            command.stdin(Stdio::inherit());
        } else {
            command.stdin(Stdio::null());
        }
        command.stdout(Stdio::piped()).spawn()
    };
    let mut child = start().map_err(|error| Failure::io("cannot start another process", error))?;
    forward_signals(&child);
    let mut said = Vec::new();
    if let Some(mut output) = child.stdout.take() {
        let read = output.read_to_end(&mut said);
        read.map_err(|error| Failure::io("cannot hear of the other process", error))?;
    }
    let ready = said.last() == Some(&READY);
    said.retain(|byte| *byte != READY);
    print_text(&String::from_utf8_lossy(&said))?;
    if ready {
        return Ok(());
    }
    // It has said what is wrong.
    let status = child.wait();
    let status = status.map_err(|error| Failure::io("cannot wait for the other process", error))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    match code.filter(|code| *code != 0) {
        Some(code) => Err(Failure::silent(code)),
        None => Err(Failure::new(format!(
            "the process that mounts has ended: {status}"
        ))),
    }
}

/// Who ends this process before all is mounted, say while a copy is made, ends the other one.
fn forward_signals(child: &Child) {
    let process = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    thread::spawn(move || {
        // Never a message: it is disconnected by a signal.
        let _ = signals::token().fired().recv();
        if let Some(process) = process {
            let _ = kill_process(process, Signal::TERM);
        }
    });
}

/// From now on this process belongs to no terminal, and nobody hears it.
fn leave_terminal() -> io::Result<()> {
    // Only the leader of a group cannot, which has nothing to leave.
    let _ = setsid();
    std::env::set_current_dir(Path::new("/"))?;
    let nowhere = std::fs::File::options()
        .read(true)
        .write(true)
        .open(OsStr::new("/dev/null"))?;
    dup2_stdin(&nowhere)?;
    dup2_stderr(&nowhere)?;
    dup2_stdout(&nowhere)?;
    Ok(())
}
