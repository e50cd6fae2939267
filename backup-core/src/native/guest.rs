//! The instant of disks that another process serves.

use std::io::BufReader;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fleece_nbd::{Address, Client, Pending};

use super::control::{self, Attach, Disk, Reply, Request, Status};
use crate::cbw::Options;
use crate::pace::GuestWrites;
use crate::source::{Extent, Source};
use crate::{ArchiveOptions, Archived, CancelToken, Error, ErrorKind, GuestWatch, Reporter};

/// A snapshot of the disks of a [`super::Server`], held by a connection to its control socket.
///
/// Dropping it, or dying, gives the instant back.
#[derive(Debug)]
pub struct Guest {
    connection: Mutex<Connection>,
    nbd: PathBuf,
    disks: Vec<Disk>,
}

#[derive(Debug)]
struct Connection {
    stream: UnixStream,
    replies: BufReader<UnixStream>,
}

impl Guest {
    /// Take the instant of all disks behind the socket `control`, fleecing into the directory
    /// `fleecing`, as the server sees it.
    ///
    /// # Errors
    /// When there is no server, or its reason for refusing.
    pub fn attach(control: &Path, fleecing: &Path, options: &Options) -> Result<Self, Error> {
        let failed = |error| {
            let message = format!("cannot connect to {}", control.display());
            Error::caused(ErrorKind::Guest, message, error)
        };
        let stream = UnixStream::connect(control).map_err(failed)?;
        let replies = BufReader::new(stream.try_clone().map_err(failed)?);
        let mut connection = Connection { stream, replies };
        let attach = Attach {
            fleecing: fleecing.to_owned(),
            cluster_size: options.cluster_size.bytes(),
            timeout_ms: u64::try_from(options.timeout.as_millis()).unwrap_or(u64::MAX),
        };
        match connection.ask(&Request::Attach(attach))? {
            Reply::Attached(attached) => Ok(Self {
                connection: Mutex::new(connection),
                nbd: attached.nbd,
                disks: attached.disks,
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
        self.disks
            .iter()
            .map(|disk| {
                let options = fleece_nbd::Options::default();
                let client =
                    Client::connect(&address, &disk.export, &options).map_err(|error| {
                        let message = format!("{}: cannot connect to the snapshot", disk.name);
                        Error::caused(ErrorKind::Guest, message, error)
                    })?;
                let name = disk.name.clone();
                Ok(Arc::new(ExportSource { name, client }) as Arc<dyn Source>)
            })
            .collect()
    }

    fn status(&self) -> Result<Status, Error> {
        let mut connection = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match connection.ask(&Request::Status)? {
            Reply::Status(status) => Ok(status),
            other => Err(unexpected(&other)),
        }
    }

    /// Write an archive of all disks. If the snapshot breaks, the error is why it did.
    ///
    /// # Errors
    /// As for [`crate::archive`].
    pub fn archive(
        &self,
        options: &ArchiveOptions,
        reporter: &dyn Reporter,
        cancel: &CancelToken,
    ) -> Result<Archived, Error> {
        let sources = self.sources()?;
        let mut watch = Watch(self);
        crate::archive(&sources, options, Some(&mut watch), reporter, cancel).map_err(|error| {
            let broken = self.status().ok().and_then(|status| status.broken);
            broken.map_or(error, Error::from)
        })
    }

    /// Give the instant back, and return when the server has done so.
    ///
    /// # Errors
    /// When the connection breaks, which gives it back too.
    pub fn detach(self) -> Result<(), Error> {
        let connection = self.connection.into_inner();
        match connection
            .unwrap_or_else(PoisonError::into_inner)
            .ask(&Request::Detach)?
        {
            Reply::Detached => Ok(()),
            other => Err(unexpected(&other)),
        }
    }
}

impl Connection {
    fn ask(&mut self, request: &Request) -> Result<Reply, Error> {
        let lost = |error| {
            Error::caused(
                ErrorKind::Guest,
                "the server's control socket failed",
                error,
            )
        };
        control::send(&mut self.stream, request).map_err(lost)?;
        match control::receive(&mut self.replies).map_err(lost)? {
            Some(Reply::Error(failure)) => Err(failure.into()),
            Some(reply) => Ok(reply),
            None => Err(Error::new(ErrorKind::Guest, "the server hung up")),
        }
    }
}

fn unexpected(reply: &Reply) -> Error {
    Error::new(
        ErrorKind::Guest,
        format!("the server gave the wrong answer: {reply:?}"),
    )
}

/// What the server's other clients feel.
struct Watch<'a>(&'a Guest);

impl GuestWatch for Watch<'_> {
    fn writes(&mut self) -> Option<GuestWrites> {
        let status = self.0.status().ok()?;
        let time = Duration::from_nanos(status.write_time_ns);
        Some(GuestWrites::new(status.writes, time))
    }

    fn fleecing_used(&mut self) -> Option<u64> {
        self.0.status().ok().map(|status| status.held)
    }
}

/// A disk of a snapshot over NBD.
#[derive(Debug)]
struct ExportSource {
    name: String,
    client: Client,
}

impl ExportSource {
    fn error(&self, what: &str, error: fleece_nbd::Error) -> Error {
        let message = format!("{}: cannot {what}", self.name);
        Error::caused(ErrorKind::Snapshot, message, error)
    }
}

impl Source for ExportSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn size(&self) -> u64 {
        self.client.size()
    }

    fn block_status(&self, offset: u64, length: u64) -> Result<Vec<Extent>, Error> {
        let extents = self
            .client
            .block_status(offset, length)
            .map_err(|error| self.error("get the block status", error))?;
        let extent = |extent: fleece_nbd::Extent| Extent {
            length: extent.length,
            zero: extent.zero,
        };
        Ok(extents.into_iter().map(extent).collect())
    }

    fn read(&self, offset: u64, buffer: Vec<u8>) -> Result<Vec<u8>, Error> {
        self.client
            .submit_read(offset, buffer)
            .and_then(Pending::wait)
            .map_err(|error| self.error(&format!("read at {offset}"), error))
    }

    fn release(&self, offset: u64, length: u64) -> Result<(), Error> {
        let mut rest = offset..offset.saturating_add(length);
        while !rest.is_empty() {
            let step = rest.end.saturating_sub(rest.start).min(MAX_TRIM);
            self.client
                .submit_trim(rest.start, step)
                .and_then(Pending::wait)
                .map_err(|error| self.error("free what was read", error))?;
            rest.start = rest.start.saturating_add(step);
        }
        Ok(())
    }

    fn abort(&self) {
        self.client.abort();
    }
}

/// Lengths on the wire have 32 bits; a multiple of every cluster size.
const MAX_TRIM: u64 = 1 << 30;
