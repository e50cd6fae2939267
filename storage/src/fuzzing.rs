//! What the fuzz targets feed, and what must hold of any text.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{MemfdFlags, memfd_create};

use crate::block::{Backing, BlockStatus as _, Geometry as _, Qcow2, Qcow2Header, ReadAt as _};
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

/// A qcow2 image, of which the first and the last bytes of the disk are read.
///
/// # Panics
///
/// If an answer about the disk is empty.
pub fn qcow2_image(data: &[u8]) {
    let Ok(memory) = memfd_create("image", MemfdFlags::CLOEXEC) else {
        return;
    };
    let mut file = File::from(memory);
    if file.write_all(data).is_err() {
        return;
    }
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let Ok(image) = Qcow2::open(&path, Backing::Deny) else {
        return;
    };
    let mut part = vec![0; 1 << 20];
    for offset in [0, image.size().saturating_sub(1 << 20)] {
        let left = image.size().saturating_sub(offset);
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(part.len());
        let _ = image.read_at(part.get_mut(..length).unwrap_or_default(), offset);
        let mut at = offset;
        for _ in 0..64 {
            let left = image.size().saturating_sub(at);
            let Ok(extent) = image.block_status(at, left) else {
                break;
            };
            assert!(extent.len <= left && (extent.len > 0 || left == 0));
            at = at.saturating_add(extent.len);
        }
    }
}
