//! Plugins outside the tree: an executable that is asked in JSON on standard input and answers
//! in JSON on standard output. `docs/PLUGINS.md` specifies the conversation.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fleece_guest_config::GuestId;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::{AllocationRequest, Capabilities, Freed, Plugin, Status, foreign};
use crate::config::StorageSection;
use crate::error::{Error, ErrorKind};
use crate::exec::Runner;
use crate::lock;
use crate::name::{VolumeFormat, VolumeName, owner};
use crate::volume::{Volume, VolumeId};

/// The version of the conversation.
const VERSION: u32 = 1;
/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(120);

/// A storage of a type that an executable knows.
#[derive(Debug, Clone)]
pub(crate) struct ExternalPlugin {
    id: String,
    kind: String,
    properties: Map<String, Value>,
    program: String,
    tools: Arc<dyn Runner>,
}

/// What the executable answers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer<T> {
    Ok(T),
    Error(Refusal),
}

#[derive(Debug, Deserialize)]
struct Refusal {
    kind: String,
    message: String,
}

#[derive(Debug, Deserialize)]
struct Nothing {}

#[derive(Debug, Deserialize)]
struct CapabilitiesAnswer {
    thin: bool,
    zero_initialised: bool,
    discard_granularity: Option<u64>,
    formats: Vec<String>,
    size_rounding: u64,
    #[serde(default)]
    snapshots: bool,
    #[serde(default)]
    shared: bool,
}

#[derive(Debug, Deserialize)]
struct StatusAnswer {
    total: u64,
    used: u64,
    available: u64,
}

#[derive(Debug, Deserialize)]
struct ListAnswer {
    volumes: Vec<ListedVolume>,
}

#[derive(Debug, Deserialize)]
struct ListedVolume {
    volume: String,
    name: String,
    format: String,
    size: Option<u64>,
    used: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct VolumeAnswer {
    volume: String,
}

#[derive(Debug, Deserialize)]
struct FreedAnswer {
    freed: bool,
}

#[derive(Debug, Deserialize)]
struct PathAnswer {
    path: PathBuf,
}

#[derive(Debug, Deserialize)]
struct BlockdevAnswer {
    blockdev: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
struct SizeAnswer {
    size: u64,
}

#[derive(Debug, Deserialize)]
struct ExistsAnswer {
    exists: bool,
}

impl ExternalPlugin {
    /// The plugin for `section`, if there is an executable for its type in `directory`.
    pub(crate) fn find(
        section: &StorageSection,
        directory: &Path,
        tools: Arc<dyn Runner>,
    ) -> Option<Self> {
        // The type is one word of the configuration; as a file name it must stay in the directory.
        if !section.kind().bytes().all(|b| b.is_ascii_alphanumeric()) {
            return None;
        }
        let program = directory.join(section.kind());
        let properties = section.properties().map(|(k, v)| (k.to_owned(), v.into()));
        program.is_file().then_some(())?;
        Some(Self {
            id: section.id().to_owned(),
            kind: section.kind().to_owned(),
            properties: properties.collect(),
            program: program.to_str()?.to_owned(),
            tools,
        })
    }

    fn ask<T: DeserializeOwned>(&self, operation: &str, arguments: Value) -> Result<T, Error> {
        let question = json!({
            "version": VERSION,
            "operation": operation,
            "storage": { "id": self.id, "type": self.kind, "properties": self.properties },
            "arguments": arguments,
        });
        let input = format!("{question}\n");
        let output = self
            .tools
            .run_with(&[&self.program], input.as_bytes(), TIMEOUT)?;
        match serde_json::from_slice(&output) {
            Ok(Answer::Ok(answer)) => Ok(answer),
            Ok(Answer::Error(refusal)) => Err(Error::new(
                error_kind(&refusal.kind),
                &self.id,
                refusal.message,
            )),
            Err(source) => Err(self.nonsense(operation).caused_by(source)),
        }
    }

    /// What follows the storage id of a volume of this storage.
    fn volume<'a>(&self, id: &'a VolumeId) -> Result<&'a str, Error> {
        let volume = id.volume().filter(|_| id.storage() == Some(&self.id));
        volume.ok_or_else(|| foreign(self, id))
    }

    fn nonsense(&self, operation: &str) -> Error {
        let message = format!(
            "cannot understand what {} says to '{operation}'",
            self.program
        );
        Error::new(ErrorKind::InvalidData, &self.id, message)
    }
}

impl Plugin for ExternalPlugin {
    fn id(&self) -> &str {
        &self.id
    }

    fn kind(&self) -> &str {
        &self.kind
    }

    fn capabilities(&self) -> Result<Capabilities, Error> {
        let answer: CapabilitiesAnswer = self.ask("capabilities", json!({}))?;
        // A format that we do not know is one that we never ask for.
        let formats: Vec<VolumeFormat> = answer
            .formats
            .iter()
            .filter_map(|format| format.parse().ok())
            .collect();
        if formats.is_empty() || answer.size_rounding == 0 {
            return Err(self.nonsense("capabilities"));
        }
        Ok(Capabilities {
            thin: answer.thin,
            zero_initialised: answer.zero_initialised,
            discard_granularity: answer.discard_granularity,
            formats,
            size_rounding: answer.size_rounding,
            snapshots: answer.snapshots,
            shared: answer.shared,
        })
    }

    fn status(&self) -> Result<Status, Error> {
        let StatusAnswer {
            total,
            used,
            available,
        } = self.ask("status", json!({}))?;
        Ok(Status {
            total,
            used,
            available,
        })
    }

    fn activate(&self) -> Result<(), Error> {
        self.ask("activate", json!({})).map(|Nothing {}| ())
    }

    fn activate_volume(&self, id: &VolumeId) -> Result<(), Error> {
        let arguments = json!({ "volume": self.volume(id)? });
        self.ask("activate-volume", arguments).map(|Nothing {}| ())
    }

    fn list(&self, guest: Option<&GuestId>) -> Result<Vec<Volume>, Error> {
        let answer: ListAnswer = self.ask("list", json!({ "vmid": guest.and_then(GuestId::number), "guest": guest.map(GuestId::to_string) }))?;
        // What is named otherwise than volumes are is not ours, as on every storage.
        let volumes = answer.volumes.into_iter().filter_map(|listed| {
            Some(Volume {
                id: VolumeId::configured(&self.id, &listed.volume).ok()?,
                guest: owner(&listed.name)?,
                format: listed.format.parse().ok()?,
                name: listed.name,
                size: listed.size,
                used: listed.used,
            })
        });
        let mut volumes: Vec<_> = volumes.collect();
        volumes.retain(|volume| guest.is_none_or(|guest| *guest == volume.guest));
        volumes.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(volumes)
    }

    fn volume_id(&self, name: &VolumeName, format: VolumeFormat) -> Result<VolumeId, Error> {
        let arguments = json!({ "name": name.as_str(), "format": format.as_str() });
        let answer: VolumeAnswer = self.ask("volume-id", arguments)?;
        VolumeId::configured(&self.id, &answer.volume)
    }

    fn allocate(&self, request: &AllocationRequest) -> Result<VolumeId, Error> {
        let _lock = lock::acquire(&self.id)?;
        let arguments = json!({
            "name": request.name.as_str(),
            "format": request.format.as_str(),
            "size": request.size,
        });
        let answer: VolumeAnswer = self.ask("allocate", arguments)?;
        VolumeId::configured(&self.id, &answer.volume)
    }

    fn free(&self, id: &VolumeId) -> Result<Freed, Error> {
        let arguments = json!({ "volume": self.volume(id)? });
        let _lock = lock::acquire(&self.id)?;
        let answer: FreedAnswer = self.ask("free", arguments)?;
        Ok(if answer.freed {
            Freed::Removed
        } else {
            Freed::Absent
        })
    }

    fn path(&self, id: &VolumeId) -> Result<PathBuf, Error> {
        let answer: PathAnswer = self.ask("path", json!({ "volume": self.volume(id)? }))?;
        match answer.path.is_absolute() {
            true => Ok(answer.path),
            false => Err(self.nonsense("path")),
        }
    }

    fn blockdev(&self, id: &VolumeId) -> Result<Value, Error> {
        let answer: BlockdevAnswer = self.ask("blockdev", json!({ "volume": self.volume(id)? }))?;
        match answer.blockdev.get("driver") {
            Some(Value::String(_)) => Ok(Value::Object(answer.blockdev)),
            _ => Err(self.nonsense("blockdev")),
        }
    }

    fn size(&self, id: &VolumeId) -> Result<u64, Error> {
        let answer: SizeAnswer = self.ask("size", json!({ "volume": self.volume(id)? }))?;
        Ok(answer.size)
    }

    fn exists(&self, id: &VolumeId) -> Result<bool, Error> {
        let answer: ExistsAnswer = self.ask("exists", json!({ "volume": self.volume(id)? }))?;
        Ok(answer.exists)
    }

    fn resize(&self, id: &VolumeId, size: u64) -> Result<(), Error> {
        let arguments = json!({ "volume": self.volume(id)?, "size": size });
        self.ask("resize", arguments).map(|Nothing {}| ())
    }
}

fn error_kind(name: &str) -> ErrorKind {
    match name {
        "not-found" => ErrorKind::NotFound,
        "already-exists" => ErrorKind::AlreadyExists,
        "no-space" => ErrorKind::NoSpace,
        "read-only" => ErrorKind::ReadOnly,
        "permission-denied" => ErrorKind::PermissionDenied,
        "busy" => ErrorKind::Busy,
        "invalid-config" => ErrorKind::InvalidConfig,
        "unsupported" => ErrorKind::Unsupported,
        "not-mounted" => ErrorKind::NotMounted,
        "unreachable" => ErrorKind::Unreachable,
        _ => ErrorKind::CommandFailed,
    }
}

#[cfg(test)]
mod tests;
