//! What can be wrong with an archive, told one by one.

use std::fmt;
use std::ops::Range;

use crate::error::{Error, ErrorKind};
use crate::extent::ClusterEntry;
use crate::header::{Device, Header};
use crate::layout::DeviceId;
use crate::scan::Junk;
use crate::verify::Watch;

/// The most damages that are told one by one; the others are counted. A hostile archive has millions, and
/// nobody reads on.
pub const MAX_TOLD: u64 = 1000;

/// Tells damages and counts them.
pub(crate) struct Teller<'a> {
    pub(crate) watch: &'a mut dyn Watch,
    pub(crate) count: u64,
}

impl Teller<'_> {
    pub(crate) fn damage(&mut self, damage: Damage) {
        if self.count < MAX_TOLD {
            self.watch.damage(damage);
        }
        self.count = self.count.saturating_add(1);
    }
}

/// Something wrong with an archive.
#[derive(Debug)]
pub struct Damage {
    error: Error,
    length: Option<u64>,
    device: Option<(DeviceId, String)>,
    clusters: Option<Range<u64>>,
}

impl Damage {
    /// What is wrong.
    #[must_use]
    pub const fn error(&self) -> &Error {
        &self.error
    }

    /// How many bytes of the archive are concerned, from the error's offset on.
    #[must_use]
    pub const fn length(&self) -> Option<u64> {
        self.length
    }

    /// The device concerned.
    #[must_use]
    pub fn device(&self) -> Option<(DeviceId, &str)> {
        self.device.as_ref().map(|(id, name)| (*id, name.as_str()))
    }

    /// Its clusters that are concerned.
    #[must_use]
    pub fn clusters(&self) -> Option<Range<u64>> {
        self.clusters.clone()
    }

    pub(crate) fn new(error: Error) -> Self {
        Self {
            error,
            length: None,
            device: None,
            clusters: None,
        }
    }

    /// `length` bytes of the archive that are not what they should be.
    pub(super) fn bytes(error: Error, length: u32) -> Self {
        Self {
            length: Some(u64::from(length)),
            ..Self::new(error)
        }
    }

    /// Clusters that never come.
    pub(crate) fn missing(device: &Device, clusters: Range<u64>) -> Self {
        let count = clusters.end.saturating_sub(clusters.start);
        let (name, first) = (device.name(), clusters.start);
        let detail = format!("device {name} misses {count} clusters from {first} on");
        let error = Error::new(ErrorKind::MissingCluster, detail);
        let device = Some((device.id(), name.to_owned()));
        Self {
            device,
            clusters: Some(clusters),
            ..Self::new(error)
        }
    }

    /// A cluster, of the extent at `offset`, that is not what it was.
    pub(crate) fn contents(header: &Header, entry: &ClusterEntry, offset: u64) -> Self {
        let name = header.device(entry.device()).map_or("?", Device::name);
        let detail = format!(
            "cluster {} of device {name} has wrong contents",
            entry.index()
        );
        Self::new(Error::new(ErrorKind::Payload, detail).at(offset)).of(header, entry)
    }

    pub(crate) fn of(mut self, header: &Header, entry: &ClusterEntry) -> Self {
        let name = header
            .device(entry.device())
            .map_or_else(String::new, |d| d.name().to_owned());
        self.device = Some((entry.device(), name));
        self.clusters = Some(entry.index()..entry.index().saturating_add(1));
        self
    }
}

impl From<Junk> for Damage {
    fn from(junk: Junk) -> Self {
        Self {
            length: Some(junk.length),
            ..Self::new(junk.error)
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)?;
        match self.length {
            Some(length) => write!(f, ", {length} bytes"),
            None => Ok(()),
        }
    }
}
