//! Serving disks to guests, and their instants to backups.

use std::collections::HashMap;
use std::io::{self, BufReader, Read};
use std::net::Shutdown;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use fleece_nbd::{Address, Export};
use fleece_storage::block::{Access, BlockDevice, Geometry, RawFile};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Mode;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};

use super::account::{Account, Balance, Closed};
use super::account_file::to_bytes;
use super::control::{self, Attach, Attached, Changes, Disk, Failure, Reply, Request, Status};
use super::export::{BitmapExport, FilterExport, SnapshotExport};
use super::source::{SnapshotSource, kind_of};
use crate::cbw::{self, ClusterSize, Filter, Options, Snapshot};
use crate::report::error::{Error, ErrorKind};

/// Serves disks over NBD, each behind a filter, and lets backups take their instant over a control
/// socket.
///
/// In a directory it makes `nbd.sock`, where guests find the disks under their names, and
/// `control.sock`. Both may be used by the server's user only.
///
/// Fleecing images have no names, so nothing of a backup is left even if the server is killed. (On a
/// file system without `O_TMPFILE` they have one for the moment between two system calls.)
#[derive(Debug)]
pub struct Server {
    /// Ends the listening thread when it is shut down.
    stop: UnixStream,
    listener: Option<JoinHandle<()>>,
    control: PathBuf,
    nbd: PathBuf,
    accounts: Vec<(String, Arc<Account>)>,
}

#[derive(Debug)]
struct Shared {
    disks: Vec<Served>,
    nbd: fleece_nbd::Server,
    nbd_path: PathBuf,
    /// The control connections, so that stopping can end them.
    connections: Mutex<HashMap<u64, UnixStream>>,
}

/// A disk, and what guests see of it.
#[derive(Debug)]
struct Served {
    name: String,
    filter: Arc<Filter>,
    export: Arc<FilterExport>,
    account: Arc<Account>,
}

/// More backups at once than disks can be in snapshots make no sense, nor do many askers of status.
const MAX_CONNECTIONS: usize = 16;

/// How long a connection without a snapshot may take for a request: one that says nothing, or a byte now and
/// then, must not keep its place from others for ever.
const SILENCE: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 30 });

/// Control connections that may wait to be accepted.
const BACKLOG: i32 = 16;

/// How long reads of a snapshot may take to end when it is detached.
const GRACE: Duration = Duration::from_secs(1);

impl Server {
    /// Serve `disks`, by name, with the sockets in `directory`.
    ///
    /// # Errors
    /// When a socket cannot be made, or is in use by a server that lives.
    pub fn start(
        disks: Vec<(String, Arc<dyn BlockDevice>)>,
        directory: &Path,
    ) -> Result<Self, Error> {
        let (nbd_path, control) = (directory.join("nbd.sock"), directory.join("control.sock"));
        let failed = |error| {
            let message = format!("cannot listen on {}", control.display());
            Error::caused(ErrorKind::Request, message, error)
        };
        remove_dead_socket(&control).map_err(failed)?;
        remove_dead_socket(&nbd_path).map_err(failed)?;
        let nbd_failed =
            |error| Error::caused(ErrorKind::Request, "cannot serve the disks over NBD", error);
        let address = Address::Unix(nbd_path.clone());
        let nbd = fleece_nbd::Server::start(&address, &fleece_nbd::ServerOptions::default())
            .map_err(nbd_failed)?;
        let disks: Vec<_> = disks
            .into_iter()
            .map(|(name, disk)| {
                let filter = Filter::new(disk);
                let export = Arc::new(FilterExport::new(Arc::clone(&filter) as _));
                let account = Arc::new(Account::new(Arc::clone(&filter)));
                Served {
                    name,
                    filter,
                    export,
                    account,
                }
            })
            .collect();
        for disk in &disks {
            nbd.add_export(&disk.name, Arc::clone(&disk.export) as _)
                .map_err(nbd_failed)?;
        }
        let listener = listen_privately(&control).map_err(failed)?;
        let accounts = disks.iter();
        let accounts = accounts.map(|disk| (disk.name.clone(), Arc::clone(&disk.account)));
        let accounts = accounts.collect();
        let shared = Shared {
            disks,
            nbd,
            nbd_path: nbd_path.clone(),
            connections: Mutex::default(),
        };
        let (stop, stopped) = UnixStream::pair().map_err(failed)?;
        let listener = thread::Builder::new()
            .name("control".into())
            .spawn(move || shared.listen(&listener, &stopped))
            .map_err(failed)?;
        Ok(Self {
            stop,
            listener: Some(listener),
            control,
            nbd: nbd_path,
            accounts,
        })
    }

    /// Goes on with the account of a disk's changes that an earlier server has kept.
    pub(super) fn resume(&self, disk: &str, balance: &Balance) {
        for (_, account) in self.accounts.iter().filter(|(name, _)| name == disk) {
            account.resume(balance);
        }
    }

    /// Ends serving; what has changed on each disk since an archive, where that is known.
    pub(super) fn stop(mut self) -> Vec<(String, Balance)> {
        let accounts = std::mem::take(&mut self.accounts);
        drop(self);
        let known = |(name, account): (String, Arc<Account>)| Some((name, account.balance()?));
        accounts.into_iter().filter_map(known).collect()
    }

    /// The control socket, for [`super::Guest::attach`].
    #[must_use]
    pub fn control(&self) -> &Path {
        &self.control
    }

    /// The NBD socket, for guests.
    #[must_use]
    pub fn nbd(&self) -> &Path {
        &self.nbd
    }
}

/// Detaches all snapshots and ends all connections.
impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.shutdown(Shutdown::Both));
        if let Some(listener) = self.listener.take() {
            drop(listener.join());
        }
        drop(std::fs::remove_file(&self.control));
    }
}

impl Shared {
    /// Take connections until something comes from `stop`.
    fn listen(&self, listener: &UnixListener, stop: &UnixStream) {
        thread::scope(|scope| {
            let mut ids = 0..;
            while comes(listener, stop) {
                let Some((id, stream)) = ids.next().zip(listener.accept().ok()) else {
                    continue;
                };
                let Some(stream) = self.admit(id, stream.0) else {
                    continue;
                };
                let thread = thread::Builder::new().name("control".into());
                let spawned = thread.spawn_scoped(scope, move || {
                    if let Err(error) = self.converse(&stream) {
                        tracing::info!(%error, "a control connection ended");
                    }
                    self.connections().remove(&id);
                });
                if let Err(error) = spawned {
                    tracing::warn!(%error, "no thread for a control connection");
                    self.connections().remove(&id);
                }
            }
            for stream in self.connections().values() {
                drop(stream.shutdown(Shutdown::Both));
            }
        });
    }

    fn admit(&self, id: u64, stream: UnixStream) -> Option<UnixStream> {
        let mut connections = self.connections();
        if connections.len() >= MAX_CONNECTIONS {
            let message =
                "there are too many control connections; wait until another backup has ended";
            let failure = Failure::from(&Error::new(ErrorKind::Request, message));
            // It fits into the socket's buffer, so nobody is waited for.
            drop(control::send(&mut &stream, &Reply::Error(failure)));
            return None;
        }
        connections.insert(id, stream.try_clone().ok()?);
        Some(stream)
    }

    fn connections(&self) -> std::sync::MutexGuard<'_, HashMap<u64, UnixStream>> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Answer one connection until it ends, and with it its snapshot.
    fn converse(&self, stream: &UnixStream) -> io::Result<()> {
        let mut requests = BufReader::new(Impatient {
            stream,
            deadline: None,
        });
        let mut session = None;
        let refuse = |error: &io::Error| {
            // A client of another version hears it; one that has gone does not.
            let message = format!("this version of fleece does not know this request: {error}");
            let failure = Failure::from(&Error::new(ErrorKind::Request, message));
            drop(control::send(&mut { stream }, &Reply::Error(failure)));
        };
        loop {
            requests.get_mut().deadline = match &session {
                None => Instant::now().checked_add(SILENCE),
                Some(_) => None,
            };
            let Some(request) = control::receive(&mut requests).inspect_err(refuse)? else {
                return Ok(());
            };
            let reply = self
                .answer(request, &mut session)
                .unwrap_or_else(|error| Reply::Error(Failure::from(&error)));
            control::send(&mut { stream }, &reply)?;
        }
    }

    fn answer<'a>(
        &'a self,
        request: Request,
        session: &mut Option<Session<'a>>,
    ) -> Result<Reply, Error> {
        match (request, &session) {
            (Request::Attach(_), Some(_)) => Err(Error::new(
                ErrorKind::Request,
                "this connection has a snapshot",
            )),
            (Request::Attach(attach), None) => {
                let (new, attached) = self.attach(&attach)?;
                *session = Some(new);
                Ok(Reply::Attached(attached))
            }
            (Request::Status, session) => {
                let snapshot = session.as_ref().map(|session| &session.snapshot);
                Ok(Reply::Status(self.status(snapshot)))
            }
            (Request::Complete, Some(_)) => {
                let account = session.as_mut().and_then(|session| session.account.take());
                account.into_iter().for_each(Closed::complete);
                Ok(Reply::Completed)
            }
            (Request::Detach, Some(_)) => {
                *session = None;
                Ok(Reply::Detached)
            }
            (Request::Complete | Request::Detach, None) => Err(Error::new(
                ErrorKind::Request,
                "this connection has no snapshot",
            )),
        }
    }

    fn attach(&self, attach: &Attach) -> Result<(Session<'_>, Attached), Error> {
        let options = Options {
            cluster_size: ClusterSize::new(attach.cluster_size)?,
            timeout: Duration::from_millis(attach.timeout_ms),
            take_changes: attach.archive.is_some(),
            ..Options::default()
        };
        let members = self
            .disks
            .iter()
            .map(|disk| {
                let target = fleecing_image(&attach.fleecing, disk.filter.size())?;
                Ok((Arc::clone(&disk.filter), Arc::new(target) as _))
            })
            .collect::<Result<Vec<_>, Error>>()?;
        let mut snapshot = Snapshot::attach(members, &options)?;
        let account = attach.archive.clone().map(|new| {
            let accounts = self.disks.iter().map(|disk| Arc::clone(&disk.account));
            Closed::at(new, accounts.zip(snapshot.take_changes()).collect())
        });
        let mut session = Session {
            snapshot,
            account,
            exports: Exports(&self.nbd, Vec::new()),
        };
        let mut disks = Vec::new();
        for (n, (disk, view)) in self.disks.iter().zip(session.snapshot.views()).enumerate() {
            let name = disk.name.clone();
            let export = format!("snapshot-{name}");
            let source = SnapshotSource::new(name.clone(), view.clone());
            session.exports.add(&export, SnapshotExport::new(source))?;
            let known = session.account.as_ref();
            let changes = known.and_then(|account| account.balance(n));
            let changes = changes.map(|Balance { since, marked }| {
                let export = format!("changes-{name}");
                let bitmap = BitmapExport::new(to_bytes(&marked));
                session.exports.add(&export, bitmap)?;
                Ok::<_, Error>(Changes { since, export })
            });
            let changes = changes.transpose()?;
            disks.push(Disk {
                name,
                export,
                changes,
            });
        }
        let nbd = self.nbd_path.clone();
        Ok((session, Attached { nbd, disks }))
    }

    fn status(&self, snapshot: Option<&Snapshot>) -> Status {
        let usage = snapshot.map(Snapshot::usage).unwrap_or_default();
        Status {
            saved: usage.saved,
            held: usage.held,
            peak: usage.peak,
            broken: snapshot
                .and_then(Snapshot::broken)
                .map(|cause| Failure::from(&broken(cause))),
            disks: self
                .disks
                .iter()
                .map(|disk| disk.export.counters())
                .collect(),
        }
    }
}

/// Reads until a deadline, however little comes each time.
struct Impatient<'a> {
    stream: &'a UnixStream,
    deadline: Option<Instant>,
}

impl Read for Impatient<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = match self.deadline {
            None => None,
            Some(deadline) => match deadline.checked_duration_since(Instant::now()) {
                None | Some(Duration::ZERO) => return Err(io::ErrorKind::TimedOut.into()),
                left => left,
            },
        };
        self.stream.set_read_timeout(left)?;
        let mut stream = self.stream;
        match stream.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(io::ErrorKind::TimedOut.into())
            }
            read => read,
        }
    }
}

fn broken(cause: cbw::Error) -> Error {
    let message = "the backup has lost its point in time; the guest's writes were not affected";
    Error::caused(kind_of(cause.kind()), message, cause)
}

/// A snapshot of a connection. It is detached before its exports go, so that readers that wait for
/// its target are woken.
struct Session<'a> {
    snapshot: Snapshot,
    /// What had changed before, until the archive is complete.
    account: Option<Closed>,
    exports: Exports<'a>,
}

/// Exports that are gone when this is dropped.
struct Exports<'a>(&'a fleece_nbd::Server, Vec<String>);

impl Exports<'_> {
    fn add(&mut self, name: &str, export: impl Export + 'static) -> Result<(), Error> {
        self.0.add_export(name, Arc::new(export)).map_err(|error| {
            Error::caused(ErrorKind::Request, "cannot serve the snapshot", error)
        })?;
        self.1.push(name.to_owned());
        Ok(())
    }
}

impl Drop for Exports<'_> {
    fn drop(&mut self) {
        for export in &self.1 {
            if let Err(error) = self.0.remove_export(export, GRACE) {
                tracing::warn!(%error, export, "a reader of a detached snapshot hangs");
            }
        }
    }
}

/// A sparse file without a name in `directory`.
fn fleecing_image(directory: &Path, size: u64) -> Result<RawFile, Error> {
    let failed = |error: io::Error| {
        let message = format!("cannot make a fleecing image in {}", directory.display());
        Error::caused(ErrorKind::Storage, message, error)
    };
    // Made without a name, or where that cannot be, as on NFS, with one that is removed at once.
    let file = tempfile::tempfile_in(directory).map_err(failed)?;
    file.set_len(size).map_err(failed)?;
    RawFile::from_file(file, directory, Access::ReadWrite)
        .map_err(|error| failed(io::Error::other(error)))
}

/// Listen on a socket for its owner only: nobody can connect before `listen`, so nobody gets in before
/// its mode is set.
fn listen_privately(path: &Path) -> io::Result<UnixListener> {
    let socket = socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::fs::chmod(path, Mode::RUSR | Mode::WUSR)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// Wait for a connection; false if `stop` comes first.
fn comes(listener: &UnixListener, stop: &UnixStream) -> bool {
    let mut ready = [
        PollFd::new(stop, PollFlags::IN),
        PollFd::new(listener, PollFlags::IN),
    ];
    loop {
        match poll(&mut ready, None) {
            Err(rustix::io::Errno::INTR) => {}
            polled => {
                let [stop, _] = &ready;
                return polled.is_ok() && stop.revents().is_empty();
            }
        }
    }
}

/// Remove the socket of a server that was killed, and nothing else that may lie there.
fn remove_dead_socket(path: &Path) -> io::Result<()> {
    // Connecting to what is no socket is refused, too.
    let found = std::fs::symlink_metadata(path);
    if found.is_ok_and(|found| !found.file_type().is_socket()) {
        let error = "there is something that is not a socket";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, error));
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another server uses this directory",
        )),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
