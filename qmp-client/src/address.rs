//! Where a QMP server or a guest agent listens.

use std::convert::Infallible;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The address of a QMP or guest agent socket.
///
/// As text it is a path, `unix:PATH`, or `tcp:HOST:PORT` (an IPv6 address in brackets).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// A Unix socket.
    Unix(PathBuf),
    /// `HOST:PORT`.
    Tcp(String),
}

impl Address {
    /// A Unix socket at `path`.
    pub fn unix(path: impl AsRef<Path>) -> Self {
        Self::Unix(path.as_ref().to_owned())
    }
}

impl FromStr for Address {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(
            match (text.strip_prefix("tcp:"), text.strip_prefix("unix:")) {
                (Some(host_and_port), _) => Self::Tcp(host_and_port.to_owned()),
                (None, Some(path)) => Self::unix(path),
                (None, None) => Self::unix(text),
            },
        )
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => path.display().fmt(f),
            Self::Tcp(host_and_port) => write!(f, "tcp:{host_and_port}"),
        }
    }
}

#[cfg(test)]
mod tests;
