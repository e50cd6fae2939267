//! What a server sends: greeting, reply or event.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind};

/// The first thing a QMP server says (`{"QMP": …}`).
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct Greeting {
    /// The version of QEMU, for logs. What it can do is told by its
    /// [schema](crate::schema::Schema), not by its version.
    pub version: Version,
    /// Capabilities on offer, such as `oob`. None is turned on by this client.
    #[serde(default)]
    pub capabilities: Vec<String>,
}

impl Greeting {
    /// What a QEMU of this version says, where somebody else was greeted by it.
    #[must_use]
    pub fn new(version: Version) -> Self {
        Self {
            version,
            capabilities: Vec::new(),
        }
    }
}

/// QAPI `VersionInfo`.
#[derive(Clone, Debug, Default, Deserialize)]
#[non_exhaustive]
pub struct Version {
    /// The release.
    pub qemu: VersionTriple,
    /// The packager's words, such as `Debian 1:7.2+dfsg-7+deb12u18`.
    #[serde(default)]
    pub package: String,
}

/// QAPI `VersionTriple`; ordered as releases are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[non_exhaustive]
pub struct VersionTriple {
    /// The 10 of 10.0.2.
    pub major: u32,
    /// The 0 of 10.0.2.
    pub minor: u32,
    /// The 2 of 10.0.2.
    pub micro: u32,
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let VersionTriple {
            major,
            minor,
            micro,
        } = self.qemu;
        write!(f, "{major}.{minor}.{micro}")
    }
}

/// Something that happened in QEMU; [`known`](Self::known) gives it typed.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Event {
    /// Its name, such as `BLOCK_JOB_COMPLETED`.
    pub name: String,
    /// What it says, by event; empty for an event without data.
    pub data: Map<String, Value>,
    /// When it happened, by the host's clock.
    pub timestamp: Timestamp,
}

impl Event {
    /// An event that came otherwise than over a socket.
    #[must_use]
    pub fn new(name: impl Into<String>, data: Map<String, Value>, timestamp: Timestamp) -> Self {
        Self {
            name: name.into(),
            data,
            timestamp,
        }
    }
}

impl Timestamp {
    /// So many seconds and microseconds after the beginning of 1970.
    #[must_use]
    pub fn new(seconds: i64, microseconds: i64) -> Self {
        Self {
            seconds,
            microseconds,
        }
    }
}

/// A time since 1970; both parts are -1 if QEMU could not tell it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Timestamp {
    /// Whole seconds.
    pub seconds: i64,
    /// The rest.
    pub microseconds: i64,
}

/// Longest event that is accepted, in bytes. Events are parsed into trees of up to some 30 bytes
/// per byte of text; stock QEMU's have less than a kilobyte.
pub const MAX_EVENT: usize = 64 << 10;

/// One message of a server.
#[derive(Debug)]
pub(crate) enum Message {
    Greeting(Greeting),
    Event(Event),
    Reply(Reply),
}

/// The answer to one command. The text of a result stays unparsed for whoever asked for it.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The `id` of the command if it has the form that we give to ours.
    pub(crate) id: Option<u64>,
    pub(crate) result: Result<Box<RawValue>, CommandError>,
}

/// What QEMU says about a command that it refused.
#[derive(Debug, Deserialize)]
pub(crate) struct CommandError {
    pub(crate) class: String,
    pub(crate) desc: String,
}

impl From<CommandError> for Error {
    fn from(CommandError { class, desc }: CommandError) -> Self {
        Self::refused(&class, desc)
    }
}

impl Message {
    pub(crate) fn parse(text: &[u8]) -> Result<Self, Error> {
        let wire: Wire<'_> = serde_json::from_slice(text).map_err(malformed)?;
        match wire {
            Wire {
                greeting: Some(greeting),
                ..
            } => Ok(Self::Greeting(greeting)),
            Wire {
                event: Some(name),
                data,
                timestamp,
                ..
            } => {
                if text.len() > MAX_EVENT {
                    let detail = format!("an event of more than {} KiB", MAX_EVENT >> 10);
                    return Err(Error::new(ErrorKind::Oversized).with_detail(detail));
                }
                let data = data.map(|data| serde_json::from_str(data.get()));
                Ok(Self::Event(Event {
                    name,
                    data: data.transpose().map_err(malformed)?.unwrap_or_default(),
                    timestamp: timestamp.unwrap_or_default(),
                }))
            }
            Wire {
                id, result, error, ..
            } => {
                let result = match (result, error) {
                    (Some(result), None) => Ok(result.to_owned()),
                    (None, Some(error)) => Err(error),
                    _ => {
                        let detail = "neither greeting, event, result nor error";
                        return Err(Error::new(ErrorKind::Protocol).with_detail(detail));
                    }
                };
                Ok(Self::Reply(Reply {
                    id: id.and_then(|id| id.get().parse().ok()),
                    result,
                }))
            }
        }
    }
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(rename = "QMP")]
    greeting: Option<Greeting>,
    event: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    timestamp: Option<Timestamp>,
    #[serde(borrow, default, rename = "return", deserialize_with = "even_null")]
    result: Option<&'a RawValue>,
    error: Option<CommandError>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
}

/// A result may be `null` (the command `qom-get` gives any value); that is not its absence.
fn even_null<'de: 'a, 'a, D>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error>
where
    D: serde::Deserializer<'de>,
{
    Deserialize::deserialize(deserializer).map(Some)
}

fn malformed(error: serde_json::Error) -> Error {
    Error::new(ErrorKind::Protocol)
        .with_detail("malformed message")
        .with_source(error)
}

#[cfg(test)]
mod tests;
