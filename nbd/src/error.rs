//! What can go wrong, and what an NBD error number means.

use std::fmt;
use std::io;
use std::sync::Arc;

/// An error of the client or the server.
///
/// It can be cloned because one cause (a server that dies) fails many requests at once.
#[derive(Debug, Clone)]
pub struct Error {
    kind: ErrorKind,
    context: String,
    source: Option<Arc<io::Error>>,
}

/// What sort of error it is, for the caller to decide on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The server could not be reached, or the listening socket not be made.
    Connect,
    /// The other side needs something that we do not speak, such as TLS or the oldstyle handshake.
    Unsupported,
    /// The server has no export of that name.
    UnknownExport,
    /// The server refused the handshake for another reason; its message is in the text.
    Refused,
    /// The other side broke the protocol. The connection is closed.
    Protocol,
    /// The connection is gone: the server died, closed it, or we did.
    Disconnected,
    /// No answer came in time. The connection is closed.
    Timeout,
    /// The server answered a request with this error. The connection goes on.
    Server(Errno),
    /// The caller asked for something outside the export or above the server's limits.
    InvalidRequest,
}

/// The error numbers that the protocol allows (proto.md, section "Error values").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Errno {
    /// `EPERM`: operation not permitted, such as a write to a read-only export.
    Permission,
    /// `EIO`: input/output error.
    Io,
    /// `ENOMEM`: out of memory.
    NoMemory,
    /// `EINVAL`: invalid argument. QEMU sends this for a read from a broken snapshot as well.
    Invalid,
    /// `ENOSPC`: no space left on device.
    NoSpace,
    /// `EOVERFLOW`: value too large.
    Overflow,
    /// `ENOTSUP`: operation not supported.
    NotSupported,
    /// `ESHUTDOWN`: the server is shutting down.
    Shutdown,
    /// A number that the protocol does not define; to be treated as `EINVAL`.
    Other(u32),
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self {
            kind,
            context: context.into(),
            source: None,
        }
    }

    pub(crate) fn with_source(
        kind: ErrorKind,
        context: impl Into<String>,
        source: io::Error,
    ) -> Self {
        Self {
            kind,
            context: context.into(),
            source: Some(Arc::new(source)),
        }
    }

    pub(crate) fn protocol(context: impl Into<String>) -> Self {
        Self::new(ErrorKind::Protocol, context)
    }

    /// An I/O error on an established connection, met while doing `what`.
    pub(crate) fn connection(what: &str, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::new(
                ErrorKind::Disconnected,
                format!("the other side closed the connection while {what}"),
            ),
            // A socket's own time limit shows as either of these, by platform.
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::new(
                ErrorKind::Timeout,
                format!("the other side did not answer in time while {what}"),
            ),
            _ => Self::with_source(
                ErrorKind::Disconnected,
                format!("the connection broke while {what}"),
                error,
            ),
        }
    }

    /// What sort of error this is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The server's error number, if the server answered a request with one.
    pub fn errno(&self) -> Option<Errno> {
        match self.kind {
            ErrorKind::Server(errno) => Some(errno),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|error| error as _)
    }
}

impl Errno {
    pub(crate) fn from_wire(number: u32) -> Self {
        match number {
            1 => Self::Permission,
            5 => Self::Io,
            12 => Self::NoMemory,
            22 => Self::Invalid,
            28 => Self::NoSpace,
            75 => Self::Overflow,
            95 => Self::NotSupported,
            108 => Self::Shutdown,
            other => Self::Other(other),
        }
    }

    pub(crate) fn to_wire(self) -> u32 {
        match self {
            Self::Permission => 1,
            Self::Io => 5,
            Self::NoMemory => 12,
            Self::Invalid => 22,
            Self::NoSpace => 28,
            Self::Overflow => 75,
            Self::NotSupported => 95,
            Self::Shutdown => 108,
            Self::Other(number) => number,
        }
    }

    /// The nearest that the protocol has to an I/O error of an export.
    pub(crate) fn from_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::Permission,
            io::ErrorKind::OutOfMemory => Self::NoMemory,
            io::ErrorKind::InvalidInput => Self::Invalid,
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::NoSpace,
            io::ErrorKind::Unsupported => Self::NotSupported,
            _ => Self::Io,
        }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Permission => "EPERM (operation not permitted)",
            Self::Io => "EIO (input/output error)",
            Self::NoMemory => "ENOMEM (out of memory)",
            Self::Invalid => "EINVAL (invalid argument)",
            Self::NoSpace => "ENOSPC (no space left on device)",
            Self::Overflow => "EOVERFLOW (value too large)",
            Self::NotSupported => "ENOTSUP (operation not supported)",
            Self::Shutdown => "ESHUTDOWN (the server is shutting down)",
            Self::Other(number) => return write!(f, "error {number}"),
        })
    }
}
