//! The instant of disks that another process serves.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fleece_nbd::{Address, Client};

use super::connection::{ANSWER, Connection};
use super::control::{Attach, Disk, Reply, Request, Status};
use super::latency;
use crate::cbw::Options;
use crate::job::Job;
use crate::job::archive::archive_with;
use crate::job::archive::{ArchiveOptions, Archived};
use crate::job::cancel::CancelToken;
use crate::pace::latency::GuestWrites;
use crate::pipeline::source::Source;
use crate::pipeline::source::incremental::DirtyMap;
use crate::pipeline::source::nbd::NbdSource;
use crate::pipeline::transfer::GuestWatch;
use crate::pipeline::transfer::{self, LOOKS, Settings};
use crate::report::Reporter;
use crate::report::error::{Error, ErrorKind};

/// A snapshot of the disks of a [`super::Server`], held by a connection to its control socket.
///
/// Dropping it, or dying, gives the instant back. A server that does not answer is given up after 30 s.
#[derive(Debug)]
pub struct Guest {
    connection: Mutex<Connection>,
    nbd: PathBuf,
    disks: Vec<Disk>,
    /// What 99 of 100 of its writes took before; `None` if it did not write.
    before: Option<Duration>,
    /// How long one read may take.
    timeout: Duration,
    cancel: CancelToken,
}

impl Guest {
    /// Take the instant of all disks behind the socket `control`, fleecing into the directory
    /// `fleecing`, as the server sees it. `cancel` ends all waiting for the server.
    ///
    /// First, whoever writes to the disks is watched for a second.
    ///
    /// # Errors
    /// When there is no server, or its reason for refusing.
    pub fn attach(
        control: &Path,
        fleecing: &Path,
        options: &Options,
        cancel: &CancelToken,
    ) -> Result<Self, Error> {
        Self::attach_for(None, control, fleecing, options, cancel)
    }

    /// The same for the archive with this uuid, in hexadecimal digits, from which on the account of changes counts if the
    /// archive is [completed](Self::complete).
    pub(super) fn attach_for(
        archive: Option<String>,
        control: &Path,
        fleecing: &Path,
        options: &Options,
        cancel: &CancelToken,
    ) -> Result<Self, Error> {
        let mut connection = Connection::open(control)?;
        let mut watch = Unattached {
            connection: &mut connection,
            cancel,
            failed: None,
        };
        let before = transfer::before(&mut watch, LOOKS, cancel);
        if let Some(error) = watch.failed {
            return Err(error);
        }
        let attach = Attach {
            fleecing: fleecing.to_owned(),
            cluster_size: options.cluster_size.bytes(),
            timeout_ms: u64::try_from(options.timeout.as_millis()).unwrap_or(u64::MAX),
            archive,
        };
        match connection.ask(&Request::Attach(attach), cancel)? {
            Reply::Attached(attached) => Ok(Self {
                connection: Mutex::new(connection),
                nbd: attached.nbd,
                disks: attached.disks,
                before,
                // A fleecing image that hangs is the server's to notice, and it tells the cause.
                timeout: options.timeout.saturating_add(ANSWER),
                cancel: cancel.clone(),
            }),
            other => Err(unexpected(&other)),
        }
    }

    /// The disks as they were.
    ///
    /// # Errors
    /// When the server cannot be reached over NBD.
    pub fn sources(&self) -> Result<Vec<Arc<dyn Source>>, Error> {
        let address = Address::Unix(self.nbd.clone());
        let options = fleece_nbd::Options::default().with_request_timeout(Some(self.timeout));
        self.disks
            .iter()
            .map(|disk| {
                let client =
                    Client::connect(&address, &disk.export, &options).map_err(|error| {
                        let message = format!("{}: cannot connect to the snapshot", disk.name);
                        Error::caused(ErrorKind::Guest, message, error)
                    })?;
                // The reason is asked for at the control socket.
                let meaning = |_: &_| (ErrorKind::Snapshot, "");
                let source = NbdSource::new(disk.name.clone(), client, meaning);
                Ok(Arc::new(source) as Arc<dyn Source>)
            })
            .collect()
    }

    /// Since which archive it is known what has changed on each disk.
    pub(super) fn since(&self) -> impl Iterator<Item = Option<&str>> {
        let disks = self.disks.iter();
        disks.map(|disk| disk.changes.as_ref().map(|known| known.since.as_str()))
    }

    /// The bitmap of what has changed on a disk.
    pub(super) fn changes(&self, disk: usize, size: u64) -> Result<DirtyMap, Error> {
        let known = self.disks.get(disk).map(|disk| (&disk.name, &disk.changes));
        let Some((name, Some(changes))) = known else {
            return Ok(DirtyMap::of_bitmap(size, &[]));
        };
        let failed = |error| {
            let message = format!("{name}: cannot read what has changed");
            Error::caused(ErrorKind::Guest, message, error)
        };
        let address = Address::Unix(self.nbd.clone());
        let options = fleece_nbd::Options::default().with_request_timeout(Some(self.timeout));
        let client = Client::connect(&address, &changes.export, &options).map_err(failed)?;
        // No more than belongs to the disk: what is missing counts as changed.
        let length = client.size().min(size.div_ceil(64 << 16).saturating_mul(8));
        let mut bitmap = vec![0; usize::try_from(length).unwrap_or(0)];
        client.read_at(0, &mut bitmap).map_err(failed)?;
        Ok(DirtyMap::of_bitmap(size, &bitmap))
    }

    /// The archive is complete: the account of changes counts against it from now on.
    pub(super) fn complete(&self) -> Result<(), Error> {
        match self.ask(&Request::Complete)? {
            Reply::Completed => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Write an archive of all disks, on the record of `job` if there is one. If the snapshot breaks, the
    /// error is why it did.
    ///
    /// # Errors
    /// As for [`crate::archive`].
    pub fn archive(
        &self,
        job: Option<&Job>,
        options: &ArchiveOptions,
        reporter: &dyn Reporter,
        cancel: &CancelToken,
    ) -> Result<Archived, Error> {
        self.archive_of(&self.sources()?, job, options, reporter, cancel)
    }

    /// The same with other ways to read the disks.
    pub(super) fn archive_of(
        &self,
        sources: &[Arc<dyn Source>],
        job: Option<&Job>,
        options: &ArchiveOptions,
        reporter: &dyn Reporter,
        cancel: &CancelToken,
    ) -> Result<Archived, Error> {
        let mut watch = Watch {
            guest: self,
            sources,
        };
        let settings = Settings {
            idle: self.before.is_none(),
            before: self.before,
            ..Settings::new(&options.pacing, &options.target)
        };
        let watch: Option<&mut dyn GuestWatch> = Some(&mut watch);
        let archived = match job {
            Some(job) => job.archive_with(sources, options, settings, watch, reporter, cancel),
            None => archive_with(sources, options, settings, watch, reporter, cancel),
        };
        archived.map_err(|error| self.true_cause(error))
    }

    /// What 99 of 100 of the writes to the disks took before they were attached; `None` if there were
    /// none.
    #[must_use]
    pub fn before(&self) -> Option<Duration> {
        self.before
    }

    /// The most that the fleecing images have held, in bytes, if the server still tells.
    #[must_use]
    pub fn fleecing_peak(&self) -> Option<u64> {
        self.status().ok().map(|status| status.peak)
    }

    /// Give the instant back, and return when the server has done so.
    ///
    /// # Errors
    /// When the connection breaks, which gives it back too.
    pub fn detach(self) -> Result<(), Error> {
        match self.ask(&Request::Detach)? {
            Reply::Detached => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    fn status(&self) -> Result<Status, Error> {
        match self.ask(&Request::Status)? {
            Reply::Status(status) => Ok(status),
            other => Err(unexpected(&other)),
        }
    }

    fn ask(&self, request: &Request) -> Result<Reply, Error> {
        let mut connection = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        connection.ask(request, &self.cancel)
    }

    /// Why a snapshot cannot be read is known to the server, or else it is the server's own end.
    fn true_cause(&self, error: Error) -> Error {
        if error.kind() != ErrorKind::Snapshot {
            return error;
        }
        match self.status() {
            Ok(status) => status.broken.map_or(error, Error::from),
            Err(lost) => lost,
        }
    }
}

pub(super) fn unexpected(reply: &Reply) -> Error {
    Error::new(
        ErrorKind::Guest,
        format!("the server gave the wrong answer: {reply:?}"),
    )
}

/// What the server's other clients feel.
struct Watch<'a> {
    guest: &'a Guest,
    sources: &'a [Arc<dyn Source>],
}

impl Watch<'_> {
    /// A server that cannot be asked any more is not waited for by readers either.
    fn status(&self) -> Option<Status> {
        let status = self.guest.status();
        if status.is_err() {
            for source in self.sources {
                source.abort();
            }
        }
        status.ok()
    }
}

impl GuestWatch for Watch<'_> {
    fn writes(&mut self) -> Option<GuestWrites> {
        self.status().map(|status| writes(&status))
    }

    fn fleecing_used(&mut self) -> Option<u64> {
        self.status().map(|status| status.held)
    }
}

/// The same before there is a snapshot.
struct Unattached<'a> {
    connection: &'a mut Connection,
    cancel: &'a CancelToken,
    failed: Option<Error>,
}

impl GuestWatch for Unattached<'_> {
    fn writes(&mut self) -> Option<GuestWrites> {
        match self.connection.ask(&Request::Status, self.cancel) {
            Ok(Reply::Status(status)) => return Some(writes(&status)),
            Ok(other) => self.failed = Some(unexpected(&other)),
            Err(error) => self.failed = Some(error),
        }
        None
    }

    fn fleecing_used(&mut self) -> Option<u64> {
        None
    }
}

fn writes(status: &Status) -> GuestWrites {
    let disks = status.disks.iter();
    let writes = disks.map(|disk| latency::writes(disk.write_time_ns, &disk.classes));
    GuestWrites::of(writes.collect())
}
