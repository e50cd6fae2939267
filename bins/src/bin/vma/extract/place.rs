//! Where a device goes.

use std::path::{Path, PathBuf};

use fleece_vma_format::Device;
use serde_json::{Value, json};

/// Where a device goes, as programs are told.
pub(super) struct Place(Value);

impl Place {
    pub(super) const fn told(&self) -> &Value {
        &self.0
    }

    pub(super) fn at(device: &Device, path: PathBuf) -> Self {
        Self(json!({"name": device.name(), "size": device.size(), "path": path}))
    }

    /// A file in the directory; without a path until then, the RAM state.
    pub(super) fn of(device: &Device, temporary: Option<&Path>) -> Self {
        let path = temporary.map_or_else(|| PathBuf::from("vmstate.bin"), named);
        Self::at(device, path)
    }
}

/// What a file is called once all are complete; as in the reference, it has another name before.
fn named(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(name.strip_prefix("tmp-").unwrap_or(&name))
}
