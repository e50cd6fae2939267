//! What can go wrong with an archive, and where.

use std::fmt;
use std::io;

use fleece_plain_text::words;

use crate::advice::Advice;

/// The result of every fallible operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error: what kind, where in the (uncompressed) archive, the particulars, and the cause.
#[derive(Debug, thiserror::Error)]
pub struct Error {
    kind: ErrorKind,
    offset: Option<u64>,
    detail: String,
    advice: Option<Advice>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The kind of an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Reading or writing failed below this crate.
    Io,
    /// The input does not begin as a VMA archive does.
    NotVma,
    /// The input is something else, which its first bytes tell.
    Foreign,
    /// The input may hold an archive, but is compressed, packed or encrypted in a way that is not read here.
    Wrapped,
    /// The header's fields contradict each other or exceed a limit.
    Header,
    /// The header's MD5 does not fit its bytes.
    HeaderChecksum,
    /// The format version is not 1.
    Version,
    /// A name is empty, too long, or could escape a directory.
    Name,
    /// Two configs or two devices have one name.
    DuplicateName,
    /// A device has no bytes, or more than the format can hold.
    DeviceSize,
    /// More configs, devices or bytes than the header can hold.
    HeaderFull,
    /// The input ends inside the header or inside an extent.
    Truncated,
    /// What stands where an extent should begin is none.
    ExtentMagic,
    /// An extent header's MD5 does not fit its bytes.
    ExtentChecksum,
    /// An extent belongs to another archive.
    ExtentUuid,
    /// An extent's block count and its cluster masks disagree.
    BlockCount,
    /// A cluster belongs to a device that the header does not declare.
    UnknownDevice,
    /// A cluster lies behind the end of its device.
    ClusterOutOfRange,
    /// A block of the last cluster lies behind the end of its device.
    BlockOutOfRange,
    /// A cluster occurs twice.
    DuplicateCluster,
    /// A cluster occurs never.
    MissingCluster,
    /// The RAM state stream is not in order.
    VmstateOrder,
    /// The clusters are too scattered to be kept track of in bounded memory.
    TooFragmented,
    /// A cluster's data has the wrong length for its place.
    ClusterLength,
    /// A compressed container is damaged.
    Container,
    /// An index is damaged.
    Index,
    /// An index belongs to another archive.
    IndexMismatch,
    /// Payload does not have the checksum that the index knows.
    Payload,
    /// The operation needs something that this input cannot give.
    Unsupported,
    /// The archive can only be read from front to back.
    NotSeekable,
    /// A device, config or option that was asked for does not exist.
    NotFound,
    /// A `-r` map is not understood.
    Map,
    /// A target is too small, too large, or exists already.
    Target,
}

impl ErrorKind {
    /// The kind as a word for programs, such as `extent-checksum`. It stays the same.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Io => "io",
            Self::NotVma => "not-vma",
            Self::Foreign => "foreign",
            Self::Wrapped => "wrapped",
            Self::Header => "header",
            Self::HeaderChecksum => "header-checksum",
            Self::Version => "version",
            Self::Name => "name",
            Self::DuplicateName => "duplicate-name",
            Self::DeviceSize => "device-size",
            Self::HeaderFull => "header-full",
            Self::Truncated => "truncated",
            Self::ExtentMagic => "extent-magic",
            Self::ExtentChecksum => "extent-checksum",
            Self::ExtentUuid => "extent-uuid",
            Self::BlockCount => "block-count",
            Self::UnknownDevice => "unknown-device",
            Self::ClusterOutOfRange => "cluster-out-of-range",
            Self::BlockOutOfRange => "block-out-of-range",
            Self::DuplicateCluster => "duplicate-cluster",
            Self::MissingCluster => "missing-cluster",
            Self::VmstateOrder => "vmstate-order",
            Self::TooFragmented => "too-fragmented",
            Self::ClusterLength => "cluster-length",
            Self::Container => "container",
            Self::Index => "index",
            Self::IndexMismatch => "index-mismatch",
            Self::Payload => "payload",
            Self::Unsupported => "unsupported",
            Self::NotSeekable => "not-seekable",
            Self::NotFound => "not-found",
            Self::Map => "map",
            Self::Target => "target",
        }
    }

    /// Whether the archive itself is at fault, not the surroundings or the request.
    #[must_use]
    pub const fn is_damage(self) -> bool {
        !matches!(
            self,
            Self::Io
                | Self::Foreign
                | Self::Wrapped
                | Self::HeaderFull
                | Self::ClusterLength
                | Self::Unsupported
                | Self::NotSeekable
                | Self::NotFound
                | Self::Map
                | Self::Target
        )
    }
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            offset: None,
            // Names in it are the archive's.
            detail: words(&detail.into()),
            advice: None,
            source: None,
        }
    }

    /// Something that a build without a `feature` cannot do.
    #[cfg(not(all(
        feature = "gzip",
        feature = "index",
        feature = "lzop",
        feature = "zstd"
    )))]
    pub(crate) fn absent(what: &str, feature: &str) -> Self {
        let detail = format!(
            "{what} needs the feature `{feature}` of fleece-vma-format, which this program lacks"
        );
        Self::new(ErrorKind::Unsupported, detail)
    }

    pub(crate) fn at(mut self, offset: u64) -> Self {
        self.offset.get_or_insert(offset);
        self
    }

    /// Damage of a container that is not known here, such as encryption: kind [`ErrorKind::Container`].
    #[must_use]
    pub fn damaged_container(detail: &str) -> Self {
        Self::new(ErrorKind::Container, detail)
    }

    /// An archive that cannot be had out of what it is in: kind [`ErrorKind::Wrapped`].
    #[must_use]
    pub fn wrapped(detail: &str) -> Self {
        Self::new(ErrorKind::Wrapped, detail)
    }

    /// An error of the system below, met while doing `what`.
    ///
    /// An error of this crate that travelled inside an [`io::Error`] is taken out again.
    pub fn io(what: impl Into<String>, source: io::Error) -> Self {
        match source.downcast::<Self>() {
            Ok(inner) => inner,
            Err(source) => Self {
                kind: ErrorKind::Io,
                offset: None,
                detail: what.into(),
                advice: None,
                source: Some(Box::new(source)),
            },
        }
    }

    #[cfg(any(feature = "gzip", feature = "zstd"))]
    pub(crate) fn caused_by(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same with what can be done about it.
    #[must_use]
    pub const fn advise(mut self, advice: Advice) -> Self {
        self.advice = Some(advice);
        self
    }

    /// What can be done about it, where that is known and not in the message.
    #[must_use]
    pub const fn advice(&self) -> Option<Advice> {
        self.advice
    }

    /// What kind of error this is.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Where, in bytes from the start of the uncompressed archive (for
    /// [`ErrorKind::Container`]: of the compressed file).
    #[must_use]
    pub const fn offset(&self) -> Option<u64> {
        self.offset
    }

    /// The [`io::ErrorKind`] of the cause, if the system below failed.
    #[must_use]
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        let source = self.source.as_ref()?;
        source.downcast_ref::<io::Error>().map(io::Error::kind)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)?;
        match self.offset {
            Some(offset) => write!(f, " (at byte {offset})"),
            None => Ok(()),
        }
    }
}

/// For adaptors that must speak [`io::Read`] or [`io::Write`]; [`Error::io`] undoes it.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = error.io_kind().unwrap_or(io::ErrorKind::InvalidData);
        Self::new(kind, error)
    }
}

/// What cannot be read of an archive.
pub(crate) fn cannot_read(error: io::Error) -> Error {
    Error::io("cannot read the archive", error)
}
