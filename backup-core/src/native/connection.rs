//! A connection to the control socket of a server.

use std::io::{self, BufReader};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, select};

use super::control::{self, Reply, Request};
use crate::job::cancel::CancelToken;
use crate::report::advice::Advice;
use crate::report::error::{Error, ErrorKind};
use crate::report::units;
use crate::target::deadline::LAST_CHANCE;

/// How long the server may take for an answer. What takes it longest is the switch: 5 s for the
/// guest's writes to end, and making the fleecing images.
pub(super) const ANSWER: Duration = Duration::from_secs(30);

/// Asks one question after the other. Once one has not been answered, none is asked any more: a late
/// answer would be taken for that to the next.
#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    /// From a thread of its own, since waiting for a socket can neither be cancelled nor, by whoever
    /// reads whole lines, be given up after a time.
    replies: Receiver<io::Result<Reply>>,
    /// Why nothing more is asked.
    lost: Option<(ErrorKind, String)>,
}

impl Connection {
    pub(super) fn open(control: &Path) -> Result<Self, Error> {
        let failed = |error| {
            let message = format!("cannot connect to {}", control.display());
            Error::caused(ErrorKind::Guest, message, error)
        };
        let stream = UnixStream::connect(control).map_err(failed)?;
        let (answer, replies) = bounded(1);
        let from = stream.try_clone().map_err(failed)?;
        thread::Builder::new()
            .name("control".into())
            .spawn(move || receive_all(from, &answer))
            .map_err(failed)?;
        Ok(Self {
            stream,
            replies,
            lost: None,
        })
    }

    /// The server's answer, or what it refused the request with.
    ///
    /// When the job is cancelled, the answer gets a last chance.
    pub(super) fn ask(&mut self, request: &Request, cancel: &CancelToken) -> Result<Reply, Error> {
        if let Some((kind, why)) = &self.lost {
            return Err(Error::new(*kind, why.clone()));
        }
        match self.exchange(request, cancel) {
            Ok(Reply::Error(failure)) => Err(failure.into()),
            Ok(reply) => Ok(reply),
            Err(error) => {
                self.lost = Some((error.kind(), error.chain()));
                self.close();
                Err(error)
            }
        }
    }

    fn exchange(&mut self, request: &Request, cancel: &CancelToken) -> Result<Reply, Error> {
        match control::send(&mut self.stream, request) {
            // A server that has hung up may have said why.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            sent => sent.map_err(unsaid)?,
        }
        let answer = select! {
            recv(self.replies) -> answer => answer.map_err(RecvTimeoutError::from),
            recv(cancel.fired()) -> _ => self.replies.recv_timeout(LAST_CHANCE),
            default(ANSWER) => Err(RecvTimeoutError::Timeout),
        };
        match (answer, cancel.reason()) {
            (Ok(answer), _) => answer.map_err(hung_up),
            (Err(RecvTimeoutError::Disconnected), _) => {
                Err(hung_up(io::ErrorKind::UnexpectedEof.into()))
            }
            (Err(RecvTimeoutError::Timeout), Some(reason)) => Err(Error::cancelled(reason)),
            (Err(RecvTimeoutError::Timeout), None) => Err(silent()),
        }
    }

    fn close(&self) {
        // It may be closed already.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// Ends the receiving thread, too.
impl Drop for Connection {
    fn drop(&mut self) {
        self.close();
    }
}

/// Passes replies on until the connection ends, or nobody wants them.
fn receive_all(from: UnixStream, answer: &Sender<io::Result<Reply>>) {
    let mut from = BufReader::new(from);
    loop {
        let end = || io::ErrorKind::UnexpectedEof.into();
        let reply = control::receive(&mut from).and_then(|reply| reply.ok_or_else(end));
        let ended = reply.is_err();
        if answer.send(reply).is_err() || ended {
            return;
        }
    }
}

fn unsaid(error: io::Error) -> Error {
    let message = "cannot query the process that serves the disks";
    Error::caused(ErrorKind::Guest, message, error)
}

fn hung_up(error: io::Error) -> Error {
    let message = "the process that serves the disks has ended, or has ended the connection";
    Error::caused(ErrorKind::Guest, message, error).advise(Advice::RestartServer)
}

fn silent() -> Error {
    let message = format!(
        "the process that serves the disks has not answered for {}; see whether it is stopped, and \
         whether its disks and the directory for fleecing images answer",
        units::duration(ANSWER)
    );
    Error::new(ErrorKind::Guest, message)
}
