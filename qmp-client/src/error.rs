//! What can go wrong, and what a caller can decide on.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;

use fleece_plain_text::words;

/// A failed connection or command.
///
/// `Display` gives peer, command and cause; [`source`](StdError::source) holds what the
/// system or the parser said. Clones are cheap: when a connection breaks, every call that
/// waits on it gets the same cause.
#[derive(Clone)]
pub struct Error(Box<Inner>);

/// The kinds of failure that callers tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no socket at this path.
    NoSocket,
    /// Nobody listens on the socket, for example because its QEMU is gone.
    Refused,
    /// The guest's manager says that the guest does not run.
    NotRunning,
    /// The system does not let us connect.
    Permission,
    /// The connection could not be made for another reason; see the source.
    Connect,
    /// The peer stays silent. QEMU serves one client per QMP socket and lets the next one
    /// wait without a greeting, so most often another client is connected.
    Busy,
    /// What came is not a QMP greeting.
    NotQmp,
    /// The connection is gone: closed by the peer or broken by an I/O error.
    Closed,
    /// No reply within the deadline. The command may still take effect.
    Deadline,
    /// The waiting was ended by an [`Interrupt`](crate::deadline::Interrupt). The command may still take effect.
    Interrupted,
    /// QEMU refused the command.
    Command(ErrorClass),
    /// A message of more than [`MAX_MESSAGE`](crate::framer::MAX_MESSAGE) bytes, or an event of more than
    /// [`MAX_EVENT`](crate::message::MAX_EVENT).
    Oversized,
    /// The peer broke the protocol.
    Protocol,
    /// The reply does not have the form that the command promises.
    UnexpectedReply,
    /// The command's arguments cannot be sent.
    InvalidCommand,
}

/// QAPI `QapiErrorClass`: QEMU's own classes of command errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorClass {
    /// `GenericError`: everything without a class of its own.
    Generic,
    /// `CommandNotFound`: this QEMU does not have the command, or does not allow it now.
    CommandNotFound,
    /// `DeviceNotActive`: for example a block job that is not there any more.
    DeviceNotActive,
    /// `DeviceNotFound`: no such device, job or object.
    DeviceNotFound,
    /// `KVMMissingCap`: the host's KVM lacks something.
    KvmMissingCap,
    /// A class that this client does not know.
    Other,
}

impl Error {
    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// QEMU's class of a refused command.
    #[must_use]
    pub fn class(&self) -> Option<ErrorClass> {
        match self.0.kind {
            ErrorKind::Command(class) => Some(class),
            _ => None,
        }
    }

    /// What is known beyond the kind: for a refused command QEMU's own `desc`.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }

    /// The command that failed, if one was under way.
    #[must_use]
    pub fn command(&self) -> Option<&str> {
        self.0.command.as_deref()
    }

    /// Whether there is no QEMU any more, as opposed to one that does not answer: nobody listens at its socket,
    /// or its manager says so.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        use ErrorKind::{NoSocket, NotRunning, Refused};
        matches!(self.0.kind, NoSocket | Refused | NotRunning)
    }

    /// Whether QEMU has no such command (or does not allow it in its present state).
    #[must_use]
    pub fn is_command_not_found(&self) -> bool {
        self.class() == Some(ErrorClass::CommandNotFound)
    }

    /// An error of this kind, for another implementation of [`Monitor`](crate::monitor::Monitor).
    #[must_use]
    pub fn new(kind: ErrorKind) -> Self {
        Self(Box::new(Inner {
            kind,
            peer: None,
            command: None,
            detail: None,
            source: None,
        }))
    }

    /// Refused by QEMU, with an error of this class (QAPI `QapiErrorClass`).
    #[must_use]
    pub fn refused(class: &str, desc: impl Into<String>) -> Self {
        let class = match class {
            "GenericError" => ErrorClass::Generic,
            "CommandNotFound" => ErrorClass::CommandNotFound,
            "DeviceNotActive" => ErrorClass::DeviceNotActive,
            "DeviceNotFound" => ErrorClass::DeviceNotFound,
            "KVMMissingCap" => ErrorClass::KvmMissingCap,
            _ => ErrorClass::Other,
        };
        Self::new(ErrorKind::Command(class)).with_detail(desc)
    }

    /// The connection broke.
    pub(crate) fn closed(error: io::Error) -> Self {
        Self::new(ErrorKind::Closed).with_source(error)
    }

    pub(crate) fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// The same with what is known beyond the kind.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        // Most of it is what QEMU says, or a guest's agent, which the guest can make say anything.
        self.0.detail = Some(words(&detail.into()));
        self
    }

    /// The same with its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.0.source = Some(Arc::new(source));
        self
    }

    /// The same with the peer's place.
    #[must_use]
    pub fn at(mut self, peer: &str) -> Self {
        self.0.peer = Some(peer.into());
        self
    }

    /// The same with the command's name.
    #[must_use]
    pub fn during(mut self, command: &str) -> Self {
        self.0.command = Some(command.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(peer) = &self.0.peer {
            write!(f, "{peer}: ")?;
        }
        if let Some(command) = &self.0.command {
            write!(f, "{command}: ")?;
        }
        match (self.0.kind, &self.0.detail) {
            // QEMU's own words say it best.
            (ErrorKind::Command(_), Some(detail)) => f.write_str(detail),
            (kind, Some(detail)) => write!(f, "{}: {detail}", kind.message()),
            (kind, None) => f.write_str(kind.message()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            kind,
            peer,
            command,
            detail,
            source,
        } = &*self.0;
        f.debug_struct("Error")
            .field("kind", kind)
            .field("peer", peer)
            .field("command", command)
            .field("detail", detail)
            .field("source", source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}

impl ErrorKind {
    fn message(self) -> &'static str {
        match self {
            Self::NoSocket => "no such socket (is the guest running, and is this its QMP socket?)",
            Self::Refused => "nothing listens on this socket any more",
            Self::NotRunning => "the guest does not run",
            Self::Permission => "not permitted to connect (run as root or as QEMU's user)",
            Self::Connect => "cannot connect",
            Self::Busy => {
                "no answer: another client is probably connected (QEMU serves one at a time)"
            }
            Self::NotQmp => "not a QMP server",
            Self::Closed => "the connection is lost",
            Self::Deadline => "no reply within the deadline",
            Self::Interrupted => "interrupted",
            Self::Command(_) => "command refused",
            Self::Oversized => "message too long",
            Self::Protocol => "protocol violation",
            Self::UnexpectedReply => "unexpected form of the reply",
            Self::InvalidCommand => "the command cannot be sent",
        }
    }
}

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    peer: Option<Box<str>>,
    command: Option<Box<str>>,
    detail: Option<String>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}
