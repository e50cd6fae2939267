//! What goes wrong with a store.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use fleece_plain_text::words;

use crate::answer::Refusal;

/// What kind of thing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The configuration, or what is asked for, makes no sense.
    Config,
    /// The store cannot be reached, or does not answer.
    Unreachable,
    /// The store says that it is busy or broken (429, 5xx).
    Busy,
    /// What arrived is not what was sent.
    Corrupt,
    /// These credentials may not do that, or are wrong.
    Denied,
    /// The credentials were right, and have expired.
    Expired,
    /// This host's clock and the store's differ by more than the store accepts.
    ClockSkew,
    /// There is no such object, upload or bucket.
    NotFound,
    /// Something has that name already.
    Exists,
    /// It is locked against removal.
    Locked,
    /// The store is full, or a quota is.
    Full,
    /// The object is not the one that reading began with.
    Changed,
    /// The store refuses for another reason, or answers what makes no sense.
    Refused,
    /// It was given up by whoever asked for it.
    Cancelled,
}

impl ErrorKind {
    /// Whether the same request may do better in a moment.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        matches!(self, Self::Unreachable | Self::Busy | Self::Corrupt)
    }
}

/// What is wrong, with whom, and why.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<io::Error>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    pub(crate) fn caused(kind: ErrorKind, message: impl Into<String>, source: io::Error) -> Self {
        Self {
            source: Some(source),
            ..Self::new(kind, message)
        }
    }

    /// What a store's refusal means.
    pub(crate) fn refused(what: &str, status: u16, refusal: &Refusal) -> Self {
        let kind = kind(status, &refusal.code);
        let why = match kind {
            ErrorKind::Expired => "the credentials have expired; get new ones".to_owned(),
            ErrorKind::ClockSkew => {
                "this host's clock and the store's differ too much; set this host's clock"
                    .to_owned()
            }
            _ if refusal.code.is_empty() => format!("HTTP status {status}"),
            _ if refusal.message.is_empty() => words(&refusal.code),
            _ => format!("{} ({})", words(&refusal.message), words(&refusal.code)),
        };
        Self::new(kind, format!("cannot {what}: {why}"))
    }

    /// What kind of thing is wrong.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }
}

/// Codes of S3's error responses; where there is none, the status tells.
fn kind(status: u16, code: &str) -> ErrorKind {
    match code {
        "ExpiredToken" | "TokenRefreshRequired" | "ExpiredTokenException" => ErrorKind::Expired,
        "RequestTimeTooSkewed" | "RequestExpired" => ErrorKind::ClockSkew,
        "NoSuchKey" | "NoSuchUpload" | "NoSuchBucket" | "NoSuchVersion" => ErrorKind::NotFound,
        "PreconditionFailed" | "ConditionalRequestConflict" => ErrorKind::Exists,
        "BadDigest" | "XAmzContentChecksumMismatch" | "IncompleteBody" => ErrorKind::Corrupt,
        "RequestTimeout" | "SlowDown" | "ServiceUnavailable" | "InternalError"
        | "OperationAborted" => ErrorKind::Busy,
        "QuotaExceeded" | "XMinioStorageFull" | "EntityTooLarge" => ErrorKind::Full,
        "ObjectLocked" | "AccessDeniedByObjectLock" => ErrorKind::Locked,
        _ => match status {
            401 | 403 => ErrorKind::Denied,
            404 => ErrorKind::NotFound,
            409 | 412 => ErrorKind::Exists,
            507 => ErrorKind::Full,
            // Not implemented, whatever the moment.
            501 => ErrorKind::Refused,
            408 | 429 | 500..=599 => ErrorKind::Busy,
            _ => ErrorKind::Refused,
        },
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|error| error as _)
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error.kind {
            ErrorKind::NotFound => io::ErrorKind::NotFound,
            ErrorKind::Exists => io::ErrorKind::AlreadyExists,
            ErrorKind::Denied | ErrorKind::Expired | ErrorKind::Locked => {
                io::ErrorKind::PermissionDenied
            }
            ErrorKind::Full => io::ErrorKind::StorageFull,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_to_be_tried_again_is_told_from_what_is() {
        let of = |status, code: &str| {
            let refusal = Refusal {
                code: code.to_owned(),
                message: "no\u{1b}[2J".to_owned(),
            };
            Error::refused("store a part", status, &refusal)
        };
        for (status, code, kind) in [
            (403, "", ErrorKind::Denied),
            (403, "SignatureDoesNotMatch", ErrorKind::Denied),
            (400, "ExpiredToken", ErrorKind::Expired),
            (403, "RequestTimeTooSkewed", ErrorKind::ClockSkew),
            (409, "", ErrorKind::Exists),
            (412, "PreconditionFailed", ErrorKind::Exists),
            (400, "EntityTooSmall", ErrorKind::Refused),
            (501, "NotImplemented", ErrorKind::Refused),
        ] {
            let error = of(status, code);
            assert_eq!(error.kind(), kind, "{status} {code}");
            assert!(!error.kind().is_transient() && !error.to_string().contains('\u{1b}'));
        }
        for (status, code) in [(500, ""), (503, "SlowDown"), (429, ""), (400, "BadDigest")] {
            assert!(of(status, code).kind().is_transient(), "{status} {code}");
        }
    }
}
