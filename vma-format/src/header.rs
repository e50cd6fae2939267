//! The archive header: identity, configs, devices.

mod build;
mod name;
mod parse;
#[cfg(test)]
#[allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "tests may panic"
)]
mod tests;

pub use build::HeaderBuilder;
pub(crate) use parse::{array16, checksum_without};

use crate::error::{Error, ErrorKind, Result};
use crate::layout::{DeviceId, VMSTATE, cluster_count};

/// A whole, valid archive header.
///
/// It holds its own bytes, so that it can be written again exactly as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    uuid: [u8; 16],
    ctime: i64,
    configs: Vec<Config>,
    devices: Vec<Device>,
    bytes: Vec<u8>,
    aligned: bool,
}

/// A file kept in the header, usually a guest's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    name: String,
    data: Vec<u8>,
}

/// A device whose contents the archive holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    id: DeviceId,
    name: String,
    size: u64,
}

impl Header {
    /// Parses a whole header: exactly the bytes of which [`Header::declared_size`] speaks.
    ///
    /// # Errors
    /// Every way in which the header can be wrong, of [`ErrorKind`](crate::ErrorKind) `NotVma`, `Foreign`, `Wrapped`, `Header`,
    /// `HeaderChecksum`, `Version`, `Name`, `DuplicateName`, `DeviceSize`.
    pub fn parse(bytes: Vec<u8>) -> Result<Self> {
        parse::check(&bytes)?;
        parse::header(bytes)
    }

    /// Parses a header whatever its checksum is.
    pub(crate) fn parse_damaged(bytes: Vec<u8>) -> Result<Self> {
        parse::header(bytes)
    }

    /// The size in bytes that a header beginning with `start` claims to have (at least the first
    /// 60 bytes are needed).
    ///
    /// # Errors
    /// Of [`ErrorKind`](crate::ErrorKind) `NotVma`, `Foreign` or `Wrapped` without the magic, `Header` if the size is less than
    /// the fixed part or more than [`crate::layout::MAX_HEADER_SIZE`].
    pub fn declared_size(start: &[u8]) -> Result<usize> {
        parse::declared_size(start)
    }

    /// The archive's identity, repeated in every extent.
    #[must_use]
    pub const fn uuid(&self) -> &[u8; 16] {
        &self.uuid
    }

    /// When the archive was begun, in seconds since 1970.
    #[must_use]
    pub const fn ctime(&self) -> i64 {
        self.ctime
    }

    /// The configs in header order.
    #[must_use]
    pub fn configs(&self) -> &[Config] {
        &self.configs
    }

    /// The contents of the config with this name.
    #[must_use]
    pub fn config(&self, name: &str) -> Option<&[u8]> {
        self.configs
            .iter()
            .find(|config| config.name == name)
            .map(Config::data)
    }

    /// The devices in the order of their ids.
    #[must_use]
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// The device with this id.
    #[must_use]
    pub fn device(&self, id: DeviceId) -> Option<&Device> {
        self.devices.iter().find(|device| device.id == id)
    }

    /// The device with this name.
    #[must_use]
    pub fn device_named(&self, name: &str) -> Option<&Device> {
        self.devices.iter().find(|device| device.name == name)
    }

    /// As [`device_named`](Self::device_named), or an error that says which there are.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub fn find_device(&self, name: &str) -> Result<&Device> {
        self.device_named(name).ok_or_else(|| {
            let known: Vec<&str> = self.devices.iter().map(Device::name).collect();
            let known = known.join(", ");
            let detail = format!("the archive has no disk {name:?}; it has: {known}");
            Error::new(ErrorKind::NotFound, detail)
        })
    }

    /// The devices with these names, or all, in the order of the header.
    ///
    /// # Errors
    /// As [`find_device`](Self::find_device).
    pub fn select(&self, names: Option<&[String]>) -> Result<Vec<&Device>> {
        for name in names.unwrap_or_default() {
            self.find_device(name)?;
        }
        let is_wanted = |name| names.is_none_or(|names| names.iter().any(|wanted| wanted == name));
        let devices = self.devices.iter();
        Ok(devices.filter(|device| is_wanted(device.name())).collect())
    }

    /// The header as it stands in the archive; the first extent follows it immediately.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The size of the header in the archive, in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Whether an archive that is written behind this header is aligned, as [`HeaderBuilder::aligned`] says. That a
    /// header was read from such an archive is not known.
    #[must_use]
    pub const fn is_aligned(&self) -> bool {
        self.aligned
    }
}

impl Config {
    /// Its name, safe to be used as a file name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its contents.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.data
    }
}

impl Device {
    /// Its number.
    #[must_use]
    pub const fn id(&self) -> DeviceId {
        self.id
    }

    /// Its name, safe to be used as a part of a file name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its size in bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// How many clusters it has.
    #[must_use]
    pub const fn clusters(&self) -> u64 {
        cluster_count(self.size)
    }

    /// Whether this is the RAM state stream instead of a disk: its clusters come in order, and
    /// its size is only a hint.
    #[must_use]
    pub fn is_vmstate(&self) -> bool {
        self.name == VMSTATE
    }
}
