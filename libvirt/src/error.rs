//! What can go wrong between us and libvirt.

use std::error::Error as StdError;
use std::fmt;

use fleece_plain_text::words;
use fleece_qmp_client::{Error as QmpError, ErrorKind as QmpErrorKind};

/// A failed command of `virsh`, or a domain that cannot be understood.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The kinds of failure that callers tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no program `virsh`, or it cannot be run.
    NoVirsh,
    /// Nobody answers at the connection's URI.
    Unreachable,
    /// libvirt does not let us do that.
    Permission,
    /// libvirt has no such domain.
    NoDomain,
    /// The domain does not run.
    NotRunning,
    /// Somebody else works on the domain, and libvirt waits for that.
    Busy,
    /// No answer within the deadline. The command may still take effect.
    Deadline,
    /// The waiting was ended. The command may still take effect.
    Interrupted,
    /// The connection to libvirt was lost while it worked. The command may still take effect.
    Lost,
    /// The domain's XML cannot be understood.
    Xml,
    /// libvirt refused the command.
    Refused,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    pub(crate) fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// What `virsh` says on standard error, in the locale C.
    pub(crate) fn said(text: &str) -> Self {
        let lines = text.lines().filter_map(|line| {
            let line = line.trim();
            let line = line.strip_prefix("error:").unwrap_or(line).trim();
            (!line.is_empty()).then_some(line)
        });
        let message = words(&lines.collect::<Vec<_>>().join(": "));
        Self::new(ErrorKind::of(&message), message)
    }

    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The same as a failure of the guest's monitor.
    pub(crate) fn into_qmp(self) -> QmpError {
        let kind = match self.kind {
            ErrorKind::NoDomain | ErrorKind::NotRunning => QmpErrorKind::NotRunning,
            ErrorKind::Permission => QmpErrorKind::Permission,
            ErrorKind::NoVirsh | ErrorKind::Unreachable => QmpErrorKind::Connect,
            ErrorKind::Interrupted => QmpErrorKind::Interrupted,
            ErrorKind::Deadline | ErrorKind::Busy => QmpErrorKind::Deadline,
            ErrorKind::Lost => QmpErrorKind::Closed,
            ErrorKind::Xml => QmpErrorKind::UnexpectedReply,
            ErrorKind::Refused => QmpErrorKind::InvalidCommand,
        };
        QmpError::new(kind).with_detail(self.message)
    }
}

impl ErrorKind {
    /// The kind of what libvirt says; its numbers of errors do not come through `virsh`. (Texts of libvirt 9.0.)
    fn of(message: &str) -> Self {
        let has = |texts: &[&str]| texts.iter().any(|text| message.contains(text));
        if has(&[
            "Permission denied",
            "authentication unavailable",
            "authentication failed",
            "access denied",
            "read only access prevents",
        ]) {
            Self::Permission
        } else if has(&["failed to get domain", "Domain not found"]) {
            Self::NoDomain
        } else if has(&["domain is not running"]) {
            Self::NotRunning
        } else if has(&["cannot acquire state change lock"]) {
            Self::Busy
        } else if has(&[
            "End of file",
            "Cannot recv data",
            "Cannot write data",
            "client socket is closed",
            "Disconnected from",
            "internal error: client",
        ]) {
            Self::Lost
        } else if has(&["failed to connect to the hypervisor", "Failed to connect"]) {
            Self::Unreachable
        } else {
            Self::Refused
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        let source = self.source.as_deref();
        source.map(|source| source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_virsh_says_has_a_kind() {
        for (text, kind) in [
            (
                "error: failed to connect to the hypervisor\nerror: Failed to connect socket to \
                 '/run/libvirt-sock': No such file or directory\n",
                ErrorKind::Unreachable,
            ),
            (
                "error: failed to connect to the hypervisor\nerror: Failed to connect socket to \
                 '/run/libvirt-sock': Permission denied\n",
                ErrorKind::Permission,
            ),
            ("error: failed to get domain 'web'\n", ErrorKind::NoDomain),
            (
                "error: Requested operation is not valid: domain is not running\n",
                ErrorKind::NotRunning,
            ),
            (
                "error: Timed out during operation: cannot acquire state change lock (held by monitor=x)",
                ErrorKind::Busy,
            ),
            (
                "error: Disconnected from qemu:///system due to end of file\nerror: End of file while reading \
                 data: Input/output error\n",
                ErrorKind::Lost,
            ),
            ("error: operation failed: no\n", ErrorKind::Refused),
        ] {
            assert_eq!(Error::said(text).kind(), kind, "{text}");
        }
        let error = Error::said("error: failed to do it\nerror: because\u{1b}[2J\n");
        assert_eq!(error.to_string().matches('\u{1b}').count(), 0);
        assert!(error.to_string().starts_with("failed to do it: because"));
    }
}
