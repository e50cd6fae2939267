//! What fuzz targets call.

use fleece_guest_config::{GuestConfig, MachineRecord};
use fleece_storage::VolumeFormat;

use super::machine::{Image, Machine};
use super::{libvirt, qemu};

/// Feeds any configuration to what generates scripts and domains.
///
/// # Panics
/// If the script does not start QEMU with exactly the arguments that were meant, or the domain is not
/// well-formed.
pub fn start_of_a_guest(data: &[u8]) {
    // A record of the machine may follow the configuration.
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let Ok(config) = GuestConfig::parse(parts.next().unwrap_or_default()) else {
        return;
    };
    let drives = config.drives().unwrap_or_default();
    let image = |key: &str| Image {
        file: format!("disk-drive-{key}.raw"),
        format: VolumeFormat::Raw,
    };
    let images = drives
        .iter()
        .map(|drive| (drive.key.clone(), image(&drive.key)));
    let Ok(mut machine) = Machine::new(&config, images.collect()) else {
        return;
    };
    if let Some(record) = parts
        .next()
        .and_then(|data| MachineRecord::parse(data).ok())
    {
        let names = drives.iter().map(fleece_guest_config::Drive::device_name);
        let names: Vec<String> = names.collect();
        let keys = drives.iter().map(|drive| drive.key.as_str());
        machine.refine(
            &record,
            &names.iter().map(String::as_str).zip(keys).collect(),
        );
    }
    let script = qemu::script(&machine, true);
    let command = script
        .split_once("\nexec ")
        .and_then(|(_, command)| shlex::split(&command.replace(" \\\n", " ")))
        .unwrap_or_default();
    let meant = qemu::arguments(&machine);
    assert_eq!(command.first().map(String::as_str), Some(qemu::PROGRAM));
    assert_eq!(command.last().map(String::as_str), Some("$@"));
    let passed = command.get(1..command.len().saturating_sub(1));
    assert_eq!(passed, Some(meant.as_slice()));
    let domain = libvirt::domain(&machine, "/a 'folder' & <more>, ]]> \"quoted\"");
    assert!(domain.is_ok_and(|domain| libvirt::is_well_formed(&domain)));
}
