//! What is said on a control socket: one JSON object a line, a request and its reply in turn.
//!
//! ```text
//! > {"attach":{"fleecing":"/var/tmp","cluster_size":65536,"timeout_ms":45000}}
//! < {"attached":{"nbd":"/run/disks/nbd.sock","disks":[{"name":"a","export":"snapshot-a"}]}}
//! > "status"
//! < {"status":{"saved":131072,"held":65536,"peak":131072,"broken":null,
//!              "disks":[{"write_time_ns":81000,"classes":[7,2,0]}]}}
//! > "detach"
//! < "detached"
//! ```
//!
//! An attach that names the archive that is being made, by its uuid, asks for the account of changes, too: each disk has
//! then, if there is one, `"changes":{"since":"<uuid>","export":"changes-a"}`, an export with one bit for each 64 KiB. After
//! "complete" the account counts against the new archive; without it, it goes on as before.
//!
//! "status" may also be asked without a snapshot: what guests write is counted all the time.
//!
//! A snapshot lives no longer than its connection: when that ends, however it ends, the disks are
//! detached and the fleecing images are gone.

use std::io::{self, BufRead, Write};
use std::path::PathBuf;

use fleece_plain_text::words;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::report::error::ErrorKind;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Request {
    /// Take the instant of all disks.
    Attach(Attach),
    Status,
    /// The archive that was named is complete.
    Complete,
    Detach,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Attach {
    /// The directory for the fleecing images, as the server sees it.
    pub(super) fleecing: PathBuf,
    pub(super) cluster_size: u64,
    pub(super) timeout_ms: u64,
    /// The uuid of the archive that is being made, in hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) archive: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Reply {
    Attached(Attached),
    Status(Status),
    Completed,
    Detached,
    Error(Failure),
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Attached {
    /// The socket of the NBD server.
    pub(super) nbd: PathBuf,
    pub(super) disks: Vec<Disk>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Disk {
    pub(super) name: String,
    /// The export of the disk as it was; its trims release.
    pub(super) export: String,
    /// What had changed, if that is known and was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) changes: Option<Changes>,
}

/// What has changed on a disk before the instant.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Changes {
    /// Since the archive with this uuid.
    pub(super) since: String,
    /// The export of the bitmap.
    pub(super) export: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Status {
    pub(super) saved: u64,
    pub(super) held: u64,
    pub(super) peak: u64,
    /// Why the snapshot cannot be read any more.
    pub(super) broken: Option<Failure>,
    /// What guests wrote so far, by disk.
    pub(super) disks: Vec<Writes>,
}

/// Writes and flushes of a disk's guests so far.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Writes {
    /// The time they took together.
    pub(super) write_time_ns: u64,
    /// How many there are in each class of latency, see [`super::latency`].
    pub(super) classes: Vec<u64>,
}

/// An error with its causes as one line.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(super) kind: Kind,
    pub(super) message: String,
}

/// Who has to do something about it, see [`ErrorKind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    Request,
    Busy,
    Guest,
    Snapshot,
    Storage,
    #[serde(other)]
    Internal,
}

impl From<&crate::report::error::Error> for Failure {
    fn from(error: &crate::report::error::Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::Request => Kind::Request,
            ErrorKind::Busy => Kind::Busy,
            ErrorKind::Guest => Kind::Guest,
            ErrorKind::Snapshot => Kind::Snapshot,
            ErrorKind::Storage => Kind::Storage,
            _ => Kind::Internal,
        };
        Self {
            kind,
            message: error.chain(),
        }
    }
}

impl From<Failure> for crate::report::error::Error {
    fn from(failure: Failure) -> Self {
        let kind = match failure.kind {
            Kind::Request => ErrorKind::Request,
            Kind::Busy => ErrorKind::Busy,
            Kind::Guest => ErrorKind::Guest,
            Kind::Snapshot => ErrorKind::Snapshot,
            Kind::Storage => ErrorKind::Storage,
            Kind::Internal => ErrorKind::Internal,
        };
        Self::new(kind, words(&failure.message))
    }
}

/// The longest line that is read: an answer with 254 disks, the most that an archive holds, whose
/// names and exports are paths of up to 4 KiB would not fit, but no one names disks so.
const MAX_LINE: u64 = 256 << 10;

/// Receive one message; `None` at the end of the connection.
pub(crate) fn receive<T: DeserializeOwned>(from: &mut impl BufRead) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    io::Read::take(&mut *from, MAX_LINE).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "a message is cut off or too long",
        ));
    }
    serde_json::from_slice(&line)
        .map(Some)
        .map_err(io::Error::from)
}

/// Send one message.
pub(crate) fn send(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    to.write_all(&line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_look_as_documented() {
        let line = |message: &dyn Fn(&mut Vec<u8>)| {
            let mut line = Vec::new();
            message(&mut line);
            String::from_utf8(line).unwrap()
        };
        let attach = Request::Attach(Attach {
            fleecing: "/var/tmp".into(),
            cluster_size: 65536,
            timeout_ms: 45000,
            archive: None,
        });
        assert_eq!(
            line(&|to| send(to, &attach).unwrap()),
            "{\"attach\":{\"fleecing\":\"/var/tmp\",\"cluster_size\":65536,\"timeout_ms\":45000}}\n"
        );
        assert_eq!(
            line(&|to| send(to, &Request::Detach).unwrap()),
            "\"detach\"\n"
        );
        assert_eq!(
            line(&|to| send(to, &Reply::Detached).unwrap()),
            "\"detached\"\n"
        );
    }

    #[test]
    fn what_is_not_a_message_is_an_error_and_the_end_is_none() {
        let receive = |mut bytes: &[u8]| receive::<Request>(&mut bytes);
        assert!(receive(b"").unwrap().is_none());
        assert!(matches!(
            receive(b"\"status\"\n"),
            Ok(Some(Request::Status))
        ));
        for bytes in [
            &b"\"status\""[..],
            b"{}\n",
            b"\xff\n",
            b"\"stop\"\n",
            &[b'['; 300_000],
        ] {
            receive(bytes).expect_err("no message");
        }
    }
}
