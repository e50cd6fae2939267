//! The guest agent (`qemu-ga`): the same JSON, but no greeting, no ids and no events.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::address::Address;
use crate::command::Done;
use crate::deadline::{Deadline, Interrupt};
use crate::error::{Error, ErrorKind};
use crate::framer::{Framer, Junk, RESTART};
use crate::message::{Message, Reply};
use crate::options::Options;
use crate::socket::{Socket, is_timeout};

/// A connection to the guest agent's socket on the host.
///
/// The agent is a program inside the guest: it may be missing, hung or hostile. So each call
/// has a deadline, and before each command the two sides find each other again with
/// `guest-sync-delimited`, because a reply that came too late for its command is still under
/// way and nothing in it says to which command it belongs.
#[derive(Debug)]
pub struct Agent {
    socket: Socket,
    framer: Framer,
    /// Whole messages that came with the last read.
    received: VecDeque<Vec<u8>>,
    peer: String,
    interrupt: Interrupt,
    sync_id: u64,
}

/// QAPI `GuestFsfreezeStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum FreezeStatus {
    /// All file systems accept writes.
    Thawed,
    /// At least one file system is frozen by the agent.
    Frozen,
}

/// QAPI `GuestFilesystemInfo`: a mounted file system.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct FileSystem {
    /// The device's name, such as `sda1`.
    pub name: String,
    /// The type, such as `ext4`.
    #[serde(rename = "type")]
    pub kind: String,
}

impl Agent {
    /// Connects to the socket. Whether an agent runs in the guest shows with the first command.
    ///
    /// # Errors
    ///
    /// Those of [`Client::connect`](crate::client::Client::connect) about the socket itself.
    pub fn connect(address: &Address, options: &Options) -> Result<Self, Error> {
        let peer = address.to_string();
        let deadline = Deadline::after(options.deadline, &options.interrupt);
        let socket = Socket::connect(address, &deadline).map_err(|error| error.at(&peer))?;
        Ok(Self {
            socket,
            framer: Framer::new(Junk::Skip),
            received: VecDeque::new(),
            peer,
            interrupt: options.interrupt.clone(),
            sync_id: RandomState::new().build_hasher().finish() >> 2,
        })
    }

    /// Connects to a Unix socket with the default [`Options`].
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub fn connect_unix(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::connect(&Address::unix(path), &Options::default())
    }

    /// Whether the agent answers (`guest-ping`).
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute).
    pub fn ping(&mut self, deadline: Duration) -> Result<(), Error> {
        self.execute("guest-ping", None::<&()>, deadline)
            .map(|Done {}| ())
    }

    /// Whether file systems are frozen (`guest-fsfreeze-status`).
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute).
    pub fn fsfreeze_status(&mut self, deadline: Duration) -> Result<FreezeStatus, Error> {
        self.execute("guest-fsfreeze-status", None::<&()>, deadline)
    }

    /// The file systems that are mounted (`guest-get-fsinfo`).
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute).
    pub fn file_systems(&mut self, deadline: Duration) -> Result<Vec<FileSystem>, Error> {
        self.execute("guest-get-fsinfo", None::<&()>, deadline)
    }

    /// Flushes and freezes the file systems (`guest-fsfreeze-freeze`); returns how many.
    ///
    /// After *any* error they may be frozen, or become so later: [thaw](Self::fsfreeze_thaw).
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute).
    pub fn fsfreeze_freeze(&mut self, deadline: Duration) -> Result<u64, Error> {
        self.execute("guest-fsfreeze-freeze", None::<&()>, deadline)
    }

    /// Thaws the file systems (`guest-fsfreeze-thaw`); returns how many. Harmless if none is
    /// frozen.
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute).
    pub fn fsfreeze_thaw(&mut self, deadline: Duration) -> Result<u64, Error> {
        self.execute("guest-fsfreeze-thaw", None::<&()>, deadline)
    }

    /// Any command of the agent.
    ///
    /// # Errors
    ///
    /// [`Command`](ErrorKind::Command) if the agent refuses, [`Deadline`](ErrorKind::Deadline)
    /// if it does not answer in time (the command may still take effect, the connection stays
    /// usable), [`Closed`](ErrorKind::Closed) if the socket is gone.
    pub fn execute<A: Serialize, R: DeserializeOwned>(
        &mut self,
        command: &str,
        arguments: Option<&A>,
        deadline: Duration,
    ) -> Result<R, Error> {
        let deadline = Deadline::after(deadline, &self.interrupt);
        let reply = self
            .sync(&deadline)
            .and_then(|()| self.call(command, arguments, &deadline));
        reply.map_err(|error| error.at(&self.peer).during(command))
    }

    /// Passes over everything that was meant for others.
    fn sync(&mut self, deadline: &Deadline) -> Result<(), Error> {
        #[derive(Serialize)]
        struct Id {
            id: u64,
        }
        self.sync_id = self.sync_id.wrapping_add(1);
        let id = self.sync_id;
        self.received.clear();
        // Makes the agent forget half a command, ours or of somebody before us.
        self.send(&[RESTART], deadline)?;
        self.send(&encode("guest-sync-delimited", Some(&Id { id }))?, deadline)?;
        loop {
            // Anything may lie here, so nothing but the awaited answer matters.
            if let Ok(Message::Reply(Reply {
                result: Ok(result), ..
            })) = Message::parse(&self.receive(deadline)?)
                && result.get().parse() == Ok(id)
            {
                return Ok(());
            }
        }
    }

    fn call<A: Serialize, R: DeserializeOwned>(
        &mut self,
        command: &str,
        arguments: Option<&A>,
        deadline: &Deadline,
    ) -> Result<R, Error> {
        self.send(&encode(command, arguments)?, deadline)?;
        let Message::Reply(Reply { result, .. }) = Message::parse(&self.receive(deadline)?)? else {
            return Err(Error::new(ErrorKind::Protocol).with_detail("not a reply"));
        };
        serde_json::from_str(result.map_err(Error::from)?.get())
            .map_err(|error| Error::new(ErrorKind::UnexpectedReply).with_source(error))
    }

    fn send(&mut self, bytes: &[u8], deadline: &Deadline) -> Result<(), Error> {
        self.socket
            .send(bytes, None, deadline)
            .map_err(|error| failed(error, deadline))
    }

    fn receive(&mut self, deadline: &Deadline) -> Result<Vec<u8>, Error> {
        let mut buffer = [0; 4 << 10];
        loop {
            if let Some(message) = self.received.pop_front() {
                return Ok(message);
            }
            let length = self
                .socket
                .receive(&mut buffer, deadline)
                .map_err(|error| failed(error, deadline))?;
            if length == 0 {
                return Err(Error::new(ErrorKind::Closed));
            }
            let mut input = buffer.get(..length).unwrap_or_default();
            while let Some(message) = self.framer.next(&mut input)? {
                self.received.push_back(message);
            }
        }
    }
}

fn encode<A: Serialize>(execute: &str, arguments: Option<&A>) -> Result<Vec<u8>, Error> {
    #[derive(Serialize)]
    struct Wire<'a, A> {
        execute: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        arguments: Option<&'a A>,
    }
    let mut text = serde_json::to_vec(&Wire { execute, arguments })
        .map_err(|error| Error::new(ErrorKind::InvalidCommand).with_source(error))?;
    text.push(b'\n');
    Ok(text)
}

fn failed(error: io::Error, deadline: &Deadline) -> Error {
    if is_timeout(&error) {
        match deadline.passed(ErrorKind::Deadline) {
            passed if passed.kind() == ErrorKind::Deadline => {
                passed.with_detail("is the guest agent running?")
            }
            interrupted => interrupted,
        }
    } else {
        Error::closed(error)
    }
}

#[cfg(test)]
mod tests;
