//! Disks that become other drives than those that they were.

use fleece_guest_config::{GuestConfig, PropertyString};

use super::plan::Found;
use crate::job::archive::rename::Rename;
use crate::report::error::{Error, ErrorKind};

/// Gives disks other places in the guest: their lines move, and so does their place in the order of what is
/// started from.
///
/// # Errors
/// Kind [`ErrorKind::Request`] for a disk that the archive has not, and for a place that is none or is taken.
pub(super) fn apply(
    config: &mut GuestConfig,
    found: &mut [Found],
    renames: &[Rename],
) -> Result<(), Error> {
    let refuse = |message: String| Err(Error::new(ErrorKind::Request, message));
    let mut moves = Vec::new();
    for rename in renames {
        let Some(key) = rename.key() else {
            return refuse(format!(
                "'{}' is no drive of a guest: expected scsi0, virtio0, sata0, ide0, efidisk0 or tpmstate0, for example",
                rename.to
            ));
        };
        let Some(number) = found
            .iter()
            .position(|disk| rename.is_of(disk.device.name()))
        else {
            let known: Vec<_> = found.iter().map(|disk| disk.device.name()).collect();
            let (from, known) = (&rename.from, known.join(", "));
            return refuse(format!("the archive has no disk '{from}'; it has: {known}"));
        };
        if moves.iter().any(|(other, _)| *other == number) {
            return refuse(format!("'{}' is renamed twice", rename.from));
        }
        moves.push((number, key));
    }
    let mut lines = Vec::new();
    for (number, key) in &moves {
        let old = found.get(*number).and_then(|disk| disk.key.clone());
        let value = old.as_deref().and_then(|old| config.main().get(old));
        lines.push((*key, old.clone(), value.map(str::to_owned)));
    }
    for (_, old, _) in &lines {
        if let Some(old) = old {
            config.main_mut().remove(old);
        }
    }
    for (number, key) in &moves {
        if let Some(disk) = found.get_mut(*number) {
            disk.key = Some((*key).to_owned());
        }
    }
    for (key, old, value) in &lines {
        let users = found
            .iter()
            .filter(|disk| disk.key.as_deref() == Some(*key));
        let line = config.main().get(key).is_some();
        if users.count() > 1 || (line && value.is_some()) {
            return refuse(format!("the guest has another drive {key} already"));
        }
        if let Some(value) = value {
            let from = old.as_deref().unwrap_or_default();
            config
                .main_mut()
                .set(key, &fitting(value, bus(from), bus(key)))?;
        }
    }
    start_order(config, &lines)
}

/// Moves the places in the order of starting.
fn start_order(
    config: &mut GuestConfig,
    moves: &[(&str, Option<String>, Option<String>)],
) -> Result<(), Error> {
    let moved = |key: &str| {
        let found = moves.iter().find(|(_, old, _)| old.as_deref() == Some(key));
        found.map_or(key, |(new, ..)| *new).to_owned()
    };
    for key in ["boot", "bootdisk"] {
        let Some(value) = config.main().get(key) else {
            continue;
        };
        let new = match value.strip_prefix("order=") {
            Some(order) => {
                let order: Vec<_> = order.split(';').map(moved).collect();
                format!("order={}", order.join(";"))
            }
            None => moved(value),
        };
        config.main_mut().set(key, &new)?;
    }
    Ok(())
}

fn bus(key: &str) -> &str {
    key.trim_end_matches(|c: char| c.is_ascii_digit())
}

/// A drive's value on another bus: without the options that drives there do not have (`qm.conf(5)`).
fn fitting(value: &str, from: &str, to: &str) -> String {
    let mut properties = PropertyString::parse(value);
    if from == to {
        return value.to_owned();
    }
    let names: Vec<String> = properties
        .options()
        .map(|(name, _)| name.to_owned())
        .collect();
    for name in names {
        let has = match name.as_str() {
            "iothread" | "ro" => matches!(to, "virtio" | "scsi"),
            "ssd" | "wwn" => matches!(to, "scsi" | "sata" | "ide"),
            "queues" | "scsiblock" | "product" | "vendor" => to == "scsi",
            "model" => to == "ide",
            "efitype" | "pre-enrolled-keys" | "ms-cert" => to == "efidisk",
            "version" => to == "tpmstate",
            "file" | "volume" | "size" | "format" => true,
            _ => !matches!(to, "efidisk" | "tpmstate"),
        };
        if !has {
            properties.remove(Some(&name));
        }
    }
    properties.to_string()
}

#[cfg(test)]
mod tests {
    use fleece_vma_format::HeaderBuilder;

    use super::super::plan;
    use super::*;

    fn renamed(text: &str, renames: &[&str]) -> Result<(String, Vec<String>), Error> {
        let mut builder = HeaderBuilder::new([1; 16], 0);
        for name in ["drive-scsi0", "drive-d1"] {
            builder.add_device(name, 4096).unwrap();
        }
        let header = builder.build().unwrap();
        let mut config = GuestConfig::parse(text).unwrap();
        let mut found = plan::find(&header, &config).unwrap();
        let renames: Vec<Rename> = renames.iter().map(|text| text.parse().unwrap()).collect();
        apply(&mut config, &mut found, &renames)?;
        let keys = found.into_iter().map(|disk| disk.key.unwrap_or_default());
        Ok((config.to_string(), keys.collect()))
    }

    #[test]
    fn a_disk_moves_with_its_line_and_its_place_in_the_order_of_starting() {
        let text = "boot: order=scsi0;net0\nscsi0: a:b,iothread=1,ssd=1,size=4K\n";
        let (config, keys) = renamed(text, &["scsi0=virtio0", "d1=scsi0"]).unwrap();
        assert_eq!(keys, ["virtio0", "scsi0"]);
        let mut lines: Vec<&str> = config.lines().collect();
        lines.sort_unstable();
        assert_eq!(
            lines,
            [
                "boot: order=virtio0;net0",
                "virtio0: a:b,iothread=1,size=4K"
            ]
        );
    }

    #[test]
    fn a_place_that_is_taken_or_is_none_is_refused() {
        let text = "scsi0: a:b\nide2: none,media=cdrom\n";
        for (renames, words) in [
            (["d1=scsi0"].as_slice(), "already"),
            (&["scsi0=ide2"], "already"),
            (&["d1=net0"], "no drive"),
            (&["d2=scsi1"], "no disk 'd2'"),
            (&["d1=scsi1", "drive-d1=scsi2"], "twice"),
        ] {
            let error = renamed(text, renames).unwrap_err().to_string();
            assert!(error.contains(words), "{renames:?}: {error}");
        }
    }
}
