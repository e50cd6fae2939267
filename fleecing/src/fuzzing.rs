//! What the fuzz targets feed: text that a clean-up acts on.

use std::path::Component;

use fleece_guest_config::{GuestConfig, GuestId};
use fleece_storage::Storages;

use crate::journal::generation;
use crate::journal::ownership::{self, DISK, IMAGE};
use crate::journal::record::Contents;

/// A state file as somebody may have edited it, or QEMU's description of a node.
///
/// # Panics
///
/// If something was taken for ours that Fleece would never make for this guest.
pub fn record(data: &[u8]) {
    let _ = generation::parse(data);
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Some(guest) = ownership::image_in(text) {
        assert!(text.contains(&format!("vm-{guest}-{IMAGE}-")));
    }
    let (Ok(state), Ok(guest)) = (GuestConfig::parse(text), "100".parse::<GuestId>()) else {
        return;
    };
    let contents = Contents::of(&state);
    let images = contents.images.iter().map(|name| (name, IMAGE));
    let volumes = contents.volumes.iter().map(|name| (name, DISK));
    for (name, purpose) in images.chain(volumes) {
        if let Ok(volume) = ownership::volume(name, &guest, purpose, &Storages::none()) {
            // No storage is configured, so all volumes are paths.
            let path = volume.id.as_path().unwrap_or_else(|| "".as_ref());
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            assert!(file.starts_with(&format!("vm-100-{purpose}-")), "{name}");
            assert!(
                path.is_absolute() && !path.components().any(|part| part == Component::ParentDir)
            );
        }
    }
    for file in contents.files {
        if ownership::is_temporary(&file) {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            assert!(name.starts_with('.') && name.ends_with(".tmp"), "{name}");
        }
    }
}
