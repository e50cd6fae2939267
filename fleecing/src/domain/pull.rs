//! libvirt's own backup in pull mode: it makes the point in time, QEMU serves it, and we read.
//!
//! ```text
//! new       look for obstacles                                    nothing is made
//! prepare   scratch files, of the disks' sizes and reserved       the guest is not affected
//! begin     libvirt's `backup-begin`                              the instant can be read
//! finish    `domjobabort`, and the scratch files are freed
//! ```
//!
//! A scratch file without room stops the guest, and nothing that libvirt could be told changes that (measured with 9.0):
//! so all of the room is taken before.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use fleece_libvirt::xml::backup::PullDisk;
use fleece_libvirt::{Domain, DomainAddress};
use fleece_qmp_client::commands::QueryBlockExports;
use fleece_qmp_client::{Client, Interrupt};
use fleece_storage::{Plugin, VolumeFormat, VolumeId};
use rustix::fs::{FallocateFlags, fallocate};

use super::{failed, is_gone, left};
use crate::advice::Advice;
use crate::disk::Disk;
use crate::error::{Error, ErrorKind};
use crate::journal::image;
use crate::journal::record::Record;
use crate::journal::step::Step;
use crate::qemu::lock::QemuLock;
use crate::qemu::{server, teardown};

/// A backup that libvirt makes, for us to read.
///
/// Dropped without [`PullSession::finish`] it undoes what it can; what it cannot stays on record.
#[derive(Debug)]
pub struct PullSession<'r> {
    client: Client,
    address: DomainAddress,
    domain: Domain,
    storage: Arc<dyn Plugin>,
    record: &'r Record,
    disks: Vec<PulledDisk>,
    images: Vec<VolumeId>,
    socket: PathBuf,
    begun: bool,
    _lock: QemuLock,
}

/// A disk, and what libvirt calls it.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a pair with names")]
pub struct PulledDisk {
    /// The disk; its name is that of its export, too.
    pub disk: Disk,
    /// Such as `vda`.
    pub target: String,
}

/// The format that libvirt wants.
const SCRATCH: VolumeFormat = VolumeFormat::Qcow2;

impl<'r> PullSession<'r> {
    /// Looks for obstacles. Nothing is touched, and nothing put on record.
    ///
    /// # Errors
    /// [`ErrorKind::Unsafe`] for a libvirt on another host, and where the scratch files could keep the guest waiting;
    /// [`ErrorKind::Storage`] for a storage without qcow2 files.
    pub fn new(
        client: Client,
        address: &DomainAddress,
        storage: Arc<dyn Plugin>,
        record: &'r Record,
        disks: Vec<PulledDisk>,
    ) -> Result<Self, Error> {
        let refuse =
            |why: &str| Err(Error::new(ErrorKind::Unsafe, why).advise(Advice::PlainMethod));
        let domain = Domain::at(address, client.interrupt());
        if !domain.is_local() {
            return refuse(
                "libvirt is on another host, where its scratch files and its socket would have to be",
            );
        }
        if storage.capabilities().map_or(true, |able| able.shared) {
            return refuse(
                "libvirt lets the guest wait for its scratch files without end, so they must not be on a storage that can \
                 hang, as this one on the network",
            );
        }
        let socket = record.pull_socket();
        if socket.as_os_str().len() > server::MAX_SOCKET_PATH {
            let message = format!(
                "the socket path {} is longer than {} bytes",
                socket.display(),
                server::MAX_SOCKET_PATH
            );
            return Err(
                Error::new(ErrorKind::Record, message).advise(Advice::ShorterStateDirectory)
            );
        }
        image::check_format(storage.as_ref(), SCRATCH)?;
        let lock = QemuLock::acquire(&client)?;
        teardown::must_be_free(&client, &address.clone().into(), disks.len())?;
        Ok(Self {
            client,
            address: address.clone(),
            domain,
            storage,
            record,
            disks,
            images: Vec::new(),
            socket,
            begun: false,
            _lock: lock,
        })
    }

    /// Puts the scratch files on record, makes them, and reserves all room that they can ever need.
    ///
    /// # Errors
    /// What failed, and an NBD server that runs in this QEMU already. [`PullSession::finish`] undoes what was made.
    pub fn prepare(&mut self) -> Result<(), Error> {
        self.begun = true;
        self.record.note_qmp(&self.address.clone().into())?;
        self.no_server_runs()?;
        let disks: Vec<Disk> = self.disks.iter().map(|disk| disk.disk.clone()).collect();
        let (storage, record) = (self.storage.as_ref(), self.record);
        self.images = image::allocate(storage, record, record.guest(), SCRATCH, &disks)?;
        for (disk, image) in disks.iter().zip(&self.images) {
            let reserved = storage.path(image).map_err(io::Error::other);
            reserved.and_then(|path| reserve(&path, disk.size)).map_err(|error| {
                let message = format!(
                    "{}: cannot reserve as much room as the disk has on {}, and a scratch file that gets full stops the guest",
                    disk.name,
                    storage.id()
                );
                Error::caused(ErrorKind::Storage, message, error).advise(Advice::PlainMethod)
            })?;
        }
        make_directory(&self.socket, self.domain.process()).map_err(|error| {
            let message = format!(
                "cannot make a directory for QEMU's socket {}",
                self.socket.display()
            );
            Error::caused(ErrorKind::Record, message, error).advise(Advice::OtherStateDirectory)
        })
    }

    /// libvirt 9.0 may crash if it begins a backup where an NBD server runs, and QEMU has none to ask: one of ours that
    /// starts is the proof that none does.
    fn no_server_runs(&self) -> Result<(), Error> {
        let refuse = || {
            let message = "an NBD server runs in this QEMU already; libvirt needs its own, and can crash on the other";
            Error::new(ErrorKind::Unsafe, message).advise(Advice::PlainMethod)
        };
        let exports = self.client.execute(&QueryBlockExports {});
        let exports = exports.map_err(Error::qemu("cannot list QEMU's exports"))?;
        if exports.iter().any(|export| export.kind == "nbd") {
            return Err(refuse());
        }
        let socket = self.record.nbd_socket();
        if let Err(error) = server::start(&self.client, self.record, &socket) {
            return Err(match error.advice() {
                Some(Advice::NameNbdServer) => refuse(),
                _ => error,
            });
        }
        server::stop(&self.client, &socket)?;
        self.record.note_nbd_socket(None)
    }

    /// Has libvirt fix the instant. Returns how long that took.
    ///
    /// # Errors
    /// What libvirt refused.
    pub fn begin(&self) -> Result<Duration, Error> {
        let paths = self.images.iter().map(|image| self.storage.path(image));
        let paths: Vec<PathBuf> = paths.collect::<Result<_, _>>().map_err(|error| {
            Error::caused(ErrorKind::Storage, "cannot find the scratch files", error)
        })?;
        let disks = self.disks.iter().zip(&paths);
        let disks: Vec<PullDisk<'_>> = disks
            .map(|(disk, scratch)| PullDisk {
                target: &disk.target,
                export: &disk.disk.name,
                scratch,
            })
            .collect();
        self.record.note_pull(Some(&self.socket))?;
        let start = Instant::now();
        let begun = self.domain.begin_pull(&self.socket, &disks);
        begun.map_err(|error| {
            failed("libvirt does not begin a backup of its own")(error).advise(Advice::PlainMethod)
        })?;
        Step::Pulled.reached();
        Ok(start.elapsed())
    }

    /// Where the instant is served, each disk under its name.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The disks.
    #[must_use]
    pub fn disks(&self) -> &[PulledDisk] {
        &self.disks
    }

    /// The monitor connection.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Ends libvirt's backup and frees the scratch files.
    ///
    /// # Errors
    /// All that failed; it stays on record for [`cleanup`](crate::cleanup()).
    pub fn finish(mut self) -> Result<(), Vec<Error>> {
        self.undo()
    }

    fn undo(&mut self) -> Result<(), Vec<Error>> {
        if !std::mem::take(&mut self.begun) {
            return Ok(());
        }
        let interrupt = self.client.interrupt();
        // Whatever was interrupted: what was made is taken back.
        interrupt.hear();
        if let Err(error) = end(&self.domain, self.record, interrupt) {
            // What QEMU may still use must not be freed.
            return Err(vec![error.of(self.record.clean_up())]);
        }
        let mut errors: Vec<Error> = Vec::new();
        for image in self.images.drain(..) {
            errors.extend(image::free(&self.storage, self.record, &image, interrupt).err());
        }
        if errors.is_empty() {
            errors.extend(self.record.forget().err());
        }
        match errors.is_empty() {
            true => Ok(()),
            false => Err(errors),
        }
    }
}

impl Drop for PullSession<'_> {
    fn drop(&mut self) {
        for error in self.undo().err().unwrap_or_default() {
            tracing::warn!(%error, "clean-up");
        }
    }
}

/// How long libvirt may take to end a backup, or to be restarted.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Ends the backup that is on record, if libvirt is still at it; another's is left alone. Whether it was.
pub(crate) fn end(domain: &Domain, record: &Record, interrupt: &Interrupt) -> Result<bool, Error> {
    let socket = record.pull_socket();
    let mut was_ours = false;
    if record.contents()?.pull.is_some() {
        let start = Instant::now();
        let waiting = interrupt.wait();
        loop {
            let more = match domain.pull_socket() {
                Ok(Some(at)) if at == socket => {
                    was_ours = true;
                    domain.abort_job().map(|()| true)
                }
                Ok(Some(_)) => Ok(false),
                // It may be about to begin.
                Ok(None) => domain.job().map(|job| job.is_some()),
                Err(error) => Err(error),
            };
            // With QEMU all of it is gone.
            let more = match more {
                Err(_) if is_gone(domain) => Ok(false),
                more => more,
            };
            if matches!(more, Ok(false)) {
                break;
            }
            if start.elapsed() >= TIMEOUT || waiting.is_interrupted() {
                let what = "libvirt does not end its backup, whose scratch files stay";
                return Err(match more {
                    Err(error) => left(what)(error),
                    Ok(_) => Error::new(ErrorKind::Qemu, what)
                        .advise(Advice::CleanUpAfterwards(record.clean_up())),
                });
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
    remove_directory(&socket);
    record.note_pull(None)?;
    Step::PullEnded.reached();
    Ok(was_ours)
}

/// Takes all the room that a qcow2 file of a disk of `size` bytes can need, behind the end that it has so far.
fn reserve(path: &Path, size: u64) -> io::Result<()> {
    // For each cluster of 64 KiB 8 bytes that tell where it is and 2 that count its references, in whole clusters; the
    // header, and what is above these tables (QEMU's docs/interop/qcow2.txt).
    const HEADER: u64 = 4 << 20;
    let tables = size.div_ceil(4096);
    let most = size.saturating_add(tables).saturating_add(HEADER);
    let file = OpenOptions::new().write(true).open(path)?;
    Ok(fallocate(&file, FallocateFlags::KEEP_SIZE, 0, most)?)
}

/// A directory of QEMU's own for the socket: QEMU makes that itself.
fn make_directory(socket: &Path, process: Option<u32>) -> io::Result<()> {
    let directory = socket.parent().unwrap_or(socket);
    remove_directory(socket);
    DirBuilder::new().mode(0o700).create(directory)?;
    let process =
        process.ok_or_else(|| io::Error::other("the domain's QEMU is not to be found"))?;
    let (user, group) = owner(process)?;
    if user != rustix::process::geteuid().as_raw() {
        std::os::unix::fs::chown(directory, Some(user), Some(group))?;
    }
    Ok(())
}

/// Removes them, as far as they are what [`make_directory`] and QEMU have made.
fn remove_directory(socket: &Path) {
    server::remove_socket(socket);
    if let Some(directory) = socket.parent() {
        // Anything else in it is not ours.
        let _ = fs::remove_dir(directory);
    }
}

/// The user and group that a process acts as (`proc_pid_status(5)`).
fn owner(process: u32) -> io::Result<(u32, u32)> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let effective = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    let owner = effective("Uid:").zip(effective("Gid:"));
    owner.ok_or_else(|| io::Error::other("the kernel does not tell who runs QEMU"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_for_all_that_can_be_written_is_taken_before() {
        use std::os::unix::fs::MetadataExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("scratch");
        fs::write(&path, [1; 512]).unwrap();
        let size = 8 << 20;
        reserve(&path, size).unwrap();
        let file = fs::metadata(&path).unwrap();
        assert_eq!(file.len(), 512);
        assert!(file.blocks() * 512 > size);
    }

    #[test]
    fn a_process_acts_as_somebody() {
        let me = rustix::process::geteuid().as_raw();
        assert_eq!(owner(std::process::id()).unwrap().0, me);
        assert!(owner(u32::MAX).is_err());
    }
}
