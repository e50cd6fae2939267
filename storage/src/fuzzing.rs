//! What the fuzz targets feed, and what must hold of any text.

use std::path::{Component, Path};

use crate::block::Qcow2Header;
use crate::config::StorageConfig;
use crate::mounts;
use crate::name::VolumeName;
use crate::volume::VolumeId;

/// A `storage.cfg` as somebody may have edited it.
///
/// # Panics
///
/// If a line did not keep its bytes.
pub fn storage_config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(config) = StorageConfig::parse(text) else {
        return;
    };
    assert_eq!(config.to_string(), text);
    let _ = config.problems();
    for section in config.sections() {
        for (key, value) in section.properties() {
            let mut section = section.clone();
            assert!(section.set(key, value).is_ok());
        }
    }
}

/// Names from records, configurations and plugins, and the kernel's table of mounts.
///
/// # Panics
///
/// If a name that leads elsewhere was taken.
pub fn names(data: &[u8]) {
    let _ = mounts::parse(data);
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(name) = text.parse::<VolumeName>() {
        assert!(text.starts_with(&format!("vm-{}-", name.guest())) && !text.contains('/'));
    }
    if let Ok(id) = text.parse::<VolumeId>() {
        assert_eq!(id.to_string(), text);
        let path = id
            .as_path()
            .unwrap_or_else(|| Path::new(id.volume().unwrap_or_default()));
        let odd = |part| !matches!(part, Component::Normal(_) | Component::RootDir);
        assert!(!path.components().any(odd));
    }
}

/// The header of a qcow2 image.
///
/// # Panics
///
/// If something that we cannot read truly was taken.
pub fn qcow2_header(data: &[u8]) {
    if let Ok(header) = Qcow2Header::parse(data) {
        assert!((2..=3).contains(&header.version));
        assert!(
            (512..=2 << 20).contains(&header.cluster_size) && header.cluster_size.is_power_of_two()
        );
        // Encrypted images must never look plain: `crypt_method` at offset 32.
        assert_eq!(data.get(32..36), Some(&[0; 4][..]));
    }
}
