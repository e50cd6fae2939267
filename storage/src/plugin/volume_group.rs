//! An LVM volume group: what `lvm` and `lvmthin` have in common.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::device::{Device, not_made, not_removed};
use super::{Freed, Status, no_such_volume};
use crate::error::{Error, ErrorKind};
use crate::exec::Runner;

/// How long a report may take: LVM looks at every disk of the host.
const REPORT: Duration = Duration::from_secs(30);
/// How long a change may take: it waits for other commands' locks and for udev.
pub(super) const CHANGE: Duration = Duration::from_secs(120);

/// A volume group and the programs that drive it.
#[derive(Debug, Clone)]
pub(crate) struct VolumeGroup {
    name: String,
    tools: Arc<dyn Runner>,
}

/// A logical volume, as `lvs` reports it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct LogicalVolume {
    #[serde(rename = "lv_name")]
    pub(super) name: String,
    /// Bytes.
    #[serde(rename = "lv_size", deserialize_with = "number")]
    pub(super) size: u64,
    /// `lvs(8)`: the first letter is the type, the fifth whether it is active, the eighth whether a pool
    /// zeroes what it gives out.
    #[serde(rename = "lv_attr")]
    pub(super) attributes: String,
    #[serde(rename = "pool_lv")]
    pub(super) pool: String,
    /// How full a thin volume or pool is.
    #[serde(rename = "data_percent")]
    pub(super) percent: String,
    /// Bytes; zero for what is not thin.
    #[serde(deserialize_with = "number")]
    pub(super) chunk_size: u64,
}

#[derive(Debug, Deserialize)]
struct Group {
    #[serde(rename = "vg_size", deserialize_with = "number")]
    size: u64,
    #[serde(rename = "vg_free", deserialize_with = "number")]
    free: u64,
    #[serde(rename = "vg_extent_size", deserialize_with = "number")]
    extent_size: u64,
}

/// `{"report": [{"lv": […]}]}`
#[derive(Debug, Deserialize)]
struct Reports {
    report: Vec<Report>,
}

#[derive(Debug, Default, Deserialize)]
struct Report {
    #[serde(default)]
    lv: Vec<LogicalVolume>,
    #[serde(default)]
    vg: Vec<Group>,
}

impl LogicalVolume {
    pub(super) fn kind(&self) -> Option<char> {
        self.attributes.chars().next()
    }

    pub(super) fn is_active(&self) -> bool {
        self.attributes.chars().nth(4) == Some('a')
    }

    /// Whether a thin pool zeroes a chunk before its first use. If not, what a write leaves of a new chunk
    /// shows what another volume had there.
    pub(super) fn zeroes_new_chunks(&self) -> bool {
        self.attributes.chars().nth(7) == Some('z')
    }

    pub(super) fn device(&self, used: Option<u64>) -> Device {
        Device {
            name: self.name.clone(),
            size: self.size,
            used,
        }
    }

    /// The bytes that a thin volume or pool has taken.
    pub(super) fn taken(&self) -> Option<u64> {
        // Two decimals: `12.34` of 100.
        let (whole, hundredths) = self.percent.split_once('.')?;
        let parts: u64 = format!("{whole}{hundredths:0<2}").parse().ok()?;
        let bytes = u128::from(self.size)
            .checked_mul(parts.into())?
            .checked_div(10_000)?;
        u64::try_from(bytes).ok()
    }
}

impl VolumeGroup {
    /// # Errors
    ///
    /// `InvalidConfig` for a name that LVM does not allow.
    pub(crate) fn new(storage: &str, name: &str, tools: Arc<dyn Runner>) -> Result<Self, Error> {
        check_name(storage, name)?;
        Ok(Self {
            name: name.to_owned(),
            tools,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The device node of a volume.
    pub(super) fn path(&self, volume: &str) -> PathBuf {
        PathBuf::from(format!("/dev/{}/{volume}", self.name))
    }

    pub(super) fn volumes(&self) -> Result<Vec<LogicalVolume>, Error> {
        let fields = "lv_name,lv_size,lv_attr,pool_lv,data_percent,chunk_size";
        Ok(self.report(&["lvs", "-o", fields])?.lv)
    }

    pub(super) fn volume(&self, name: &str) -> Result<Option<LogicalVolume>, Error> {
        Ok(self
            .volumes()?
            .into_iter()
            .find(|volume| volume.name == name))
    }

    /// The volume, which must be there.
    pub(super) fn require(&self, name: &str) -> Result<LogicalVolume, Error> {
        let found = self.volume(name)?;
        found.ok_or_else(|| no_such_volume(self.path(name).display()))
    }

    pub(super) fn status(&self) -> Result<Status, Error> {
        let group = self.group()?;
        let used = group.size.saturating_sub(group.free);
        Ok(Status {
            total: group.size,
            used,
            available: group.free,
        })
    }

    /// Volumes are made of whole extents of this many bytes.
    pub(super) fn extent_size(&self) -> Result<u64, Error> {
        Ok(self.group()?.extent_size)
    }

    /// Runs `lvcreate`.
    pub(super) fn create(&self, name: &str, arguments: &[&str]) -> Result<(), Error> {
        let argv = [&["lvcreate", "--yes", "--name", name][..], arguments].concat();
        let made = self.run(&argv, CHANGE);
        made.map_err(|error| not_made(error, self.volume(name), self.path(name).display()))
    }

    /// Removes a volume if it is there.
    pub(super) fn remove(&self, name: &str) -> Result<Freed, Error> {
        if self.volume(name)?.is_none() {
            return Ok(Freed::Absent);
        }
        let target = format!("{}/{name}", self.name);
        let Err(error) = self.run(&["lvremove", "--force", &target], CHANGE) else {
            return Ok(Freed::Removed);
        };
        let busy = "the volume cannot be removed; is something still using it?";
        not_removed(error, self.volume(name), target, busy)
    }

    /// Makes the device node appear.
    pub(super) fn activate(&self, volume: &LogicalVolume) -> Result<(), Error> {
        if volume.is_active() {
            return Ok(());
        }
        // Thin snapshots are skipped without -K.
        let target = format!("{}/{}", self.name, volume.name);
        self.run(&["lvchange", "-ay", "-K", &target], CHANGE)
    }

    pub(super) fn grow(&self, name: &str, size: u64) -> Result<(), Error> {
        let old = self.require(name)?.size;
        let target = format!("{}/{name}", self.name);
        if size <= old {
            // A volume that was rounded up to whole extents may have room for more already.
            let slack = old.saturating_sub(size) < self.extent_size()?;
            return match slack {
                true => Ok(()),
                false => Err(Error::not_shrunk(target, old, size)),
            };
        }
        let size = format!("{size}b");
        self.run(&["lvextend", "--size", &size, &target], CHANGE)
    }

    pub(super) fn run(&self, argv: &[&str], timeout: Duration) -> Result<(), Error> {
        self.tools.run(argv, timeout).map(drop)
    }

    fn group(&self) -> Result<Group, Error> {
        let report = self.report(&["vgs", "-o", "vg_size,vg_free,vg_extent_size"])?;
        report.vg.into_iter().next().ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                &self.name,
                "there is no such volume group",
            )
        })
    }

    fn report(&self, argv: &[&str]) -> Result<Report, Error> {
        let format = [
            "--reportformat",
            "json",
            "--units",
            "b",
            "--nosuffix",
            &self.name,
        ];
        let text = self.tools.run(&[argv, &format].concat(), REPORT)?;
        let reports: Reports = serde_json::from_str(&text).map_err(|source| {
            Error::new(
                ErrorKind::InvalidData,
                &self.name,
                "cannot understand LVM's report",
            )
            .caused_by(source)
        })?;
        Ok(reports.report.into_iter().next().unwrap_or_default())
    }
}

/// Names of groups and pools: `lvm(8)`, VALID NAMES.
pub(super) fn check_name(storage: &str, name: &str) -> Result<(), Error> {
    let allowed = |b: u8| crate::name::is_name_byte(b) || b == b'+';
    if !name.is_empty() && name.bytes().all(allowed) && !name.starts_with(['-', '.']) {
        return Ok(());
    }
    let message = format!("{name:?} is not a valid name of a volume group or volume");
    Err(Error::new(ErrorKind::InvalidConfig, storage, message))
}

/// LVM prints numbers as strings in `json` reports and as numbers in `json_std` ones; an empty
/// string is none.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Number(u64),
        Text(String),
    }
    match Number::deserialize(deserializer)? {
        Number::Number(number) => Ok(number),
        Number::Text(text) if text.is_empty() => Ok(0),
        Number::Text(text) => text.parse().map_err(serde::de::Error::custom),
    }
}
