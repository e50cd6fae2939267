//! What the fuzz target feeds, and what must hold of any text.

use crate::config::GuestConfig;
use crate::guest::GuestId;
use crate::restore::Restoration;

/// A configuration as somebody may have edited it, or as an archive carries it.
///
/// # Panics
///
/// If a line that was not edited did not keep its bytes.
pub fn guest_config(data: &[u8]) {
    let Ok(mut config) = GuestConfig::parse(data) else {
        return;
    };
    assert_eq!(config.to_bytes(), data);
    let _ = config.description();
    let maps = config.qmdump_maps();
    let archived = config.archived(&maps);
    assert!(GuestConfig::parse(&archived).is_ok_and(|archived| archived.qmdump_maps() == maps));
    let mut restoration = Restoration::new().unique([0xbc, 0x24, 0x11]);
    for drive in config.drives().unwrap_or_default() {
        restoration = restoration.with_volume(&drive.key, "local:1/vm-1-disk-0.raw", 1 << 30);
    }
    let _ = config.restored(&restoration, || [0x5a; 16]);

    let images = config.fleecing_images();
    assert!(config.set_fleecing_images(&images).is_ok());
    assert_eq!(config.fleecing_images(), images);
}

/// What somebody called a guest, or its QEMU says of it.
///
/// # Panics
///
/// If a name was taken that could lead elsewhere, or be read as another guest's.
pub fn guest_name(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    for id in text
        .parse()
        .ok()
        .into_iter()
        .chain(GuestId::from_text(text))
    {
        let name = id.to_string();
        assert_eq!(name.parse().ok(), Some(id.clone()));
        assert!(name.len() <= 64 && name.bytes().all(|b| b.is_ascii_graphic() && b != b'/'));
        assert!(name.starts_with(|c: char| c.is_ascii_alphanumeric()));
        let first = name.split('-').next().unwrap_or_default();
        assert_eq!(first.parse::<u64>().is_ok(), id.number().is_some());
    }
}
