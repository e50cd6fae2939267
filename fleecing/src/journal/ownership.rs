//! What Fleece makes, by its names. A record is text, which may be old, wrong or somebody's trap: what it
//! names is taken away only if it could be ours and nobody uses it.

use std::path::Path;
use std::sync::Arc;

use fleece_guest_config::GuestId;
use fleece_storage::{Plugin, Storages, VolumeFormat, VolumeId, VolumeName};

use crate::error::{Error, ErrorKind};

/// What the volumes of a fleecing session are called: `vm-<guest>-fleece-<n>`.
pub(crate) const IMAGE: &str = "fleece";

/// What those of a restore are called: `vm-<guest>-disk-<n>`.
pub(crate) const DISK: &str = "disk";

/// A volume that has a name of ours, where its storage would put it.
#[derive(Debug)]
pub(crate) struct Volume {
    pub(crate) id: VolumeId,
    pub(crate) storage: Arc<dyn Plugin>,
}

/// The volume `text` of `guest`; an error if Fleece would never make such a one for it.
pub(crate) fn volume(
    text: &str,
    guest: &GuestId,
    purpose: &str,
    storages: &Storages,
) -> Result<Volume, Error> {
    let unusable = |error| Error::caused(ErrorKind::Storage, format!("volume {text}"), error);
    let foreign = |why: &str| {
        Error::new(
            ErrorKind::Foreign,
            format!("{text} is not touched and stays on record: {why}"),
        )
    };
    let expected = || format!("volumes of this guest are called vm-{guest}-{purpose}-<number>");
    let id: VolumeId = text.parse().map_err(|error| {
        let why = format!("{text:?} is not touched and stays on record: it is not a volume");
        Error::caused(ErrorKind::Foreign, why, error)
    })?;
    let (stem, format) = split(file_name(&id));
    if numbered(stem, purpose) != Some(guest.to_string().as_str()) {
        return Err(foreign(&expected()));
    }
    let storage = storages.resolve(&id).map_err(unusable)?;
    let name: VolumeName = stem.parse().map_err(unusable)?;
    // A directory of another guest, a clone of a base volume: what has our name in another place.
    let place = storage.volume_id(&name, format.unwrap_or(VolumeFormat::Raw));
    if place.map_err(unusable)? != id {
        return Err(foreign("Fleece would have created it elsewhere"));
    }
    Ok(Volume { id, storage })
}

/// The guest whose fleecing image stands in `text`: a path, or QEMU's description of a node.
pub(crate) fn image_in(text: &str) -> Option<&str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    text.split(|c| !is_name(c))
        .find_map(|word| numbered(split(word).0, IMAGE))
}

/// The fleecing image of `guest` that lies at `path`, if it could be one.
pub(crate) fn volume_at(path: &Path, guest: &GuestId, storages: &Storages) -> Option<VolumeId> {
    let (stem, format) = split(path.file_name()?.to_str()?);
    let name: VolumeName = stem.parse().ok()?;
    let sections = storages.config().sections();
    let configured = sections.filter_map(|section| {
        let storage = storages.open(section.id()).ok()?;
        let id = storage
            .volume_id(&name, format.unwrap_or(VolumeFormat::Raw))
            .ok()?;
        storage.path(&id).ok().filter(|place| place == path)?;
        Some(id)
    });
    let id = configured.chain(VolumeId::at(path)).next()?;
    volume(&id.to_string(), guest, IMAGE, storages).ok()?;
    Some(id)
}

/// Whether a file could have been made under a [`fleece_staged_file::temporary_name`].
pub(crate) fn is_temporary(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let inner = name.and_then(|name| name.strip_prefix('.')?.strip_suffix(".tmp"));
    let is_somewhere = path.is_absolute() || fleece_object_storage::Address::of(path).is_some();
    is_somewhere && inner.is_some_and(|inner| !inner.is_empty())
}

/// The guest in `vm-<guest>-<purpose>-<n>`.
fn numbered<'a>(name: &'a str, purpose: &str) -> Option<&'a str> {
    let (rest, number) = name.strip_prefix("vm-")?.rsplit_once('-')?;
    let canonical = number.parse::<u32>().is_ok_and(|n| n.to_string() == number);
    let guest = rest.strip_suffix(purpose)?.strip_suffix('-')?;
    (canonical && !guest.is_empty()).then_some(guest)
}

fn file_name(id: &VolumeId) -> &str {
    let path = id.volume().or_else(|| id.as_path()?.to_str());
    path.and_then(|path| path.rsplit('/').next()).unwrap_or("")
}

fn split(name: &str) -> (&str, Option<VolumeFormat>) {
    match name.rsplit_once('.').map(|(stem, end)| (stem, end.parse())) {
        Some((stem, Ok(format))) => (stem, Some(format)),
        _ => (name, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_volumes_of_this_guest_where_fleece_makes_them_are_ours() {
        let none = Storages::none();
        let is_ours = |text: &str| volume(text, &"100".parse().unwrap(), IMAGE, &none).is_ok();
        assert!(is_ours("/srv/vm-100-fleece-0.raw"));
        assert!(is_ours("/srv/vm-100-fleece-12.qcow2"));
        for text in [
            "",
            "x",
            "/srv/vm-100-disk-0.raw",
            "/srv/vm-10-fleece-0.raw",
            "/srv/vm-1000-fleece-0.raw",
            "/srv/vm-200-fleece-0.raw",
            "/srv/base-100-fleece-0.raw",
            "/srv/vm-100-fleece-00.raw",
            "/srv/vm-100-fleece-0",
            "/srv/vm-100-fleece-0.raw.bak",
            "/srv/vm-100-fleece-0.raw/x",
            "/srv/../vm-100-fleece-0.raw",
            "/srv/./vm-100-fleece-0.raw",
            "srv/vm-100-fleece-0.raw",
            "unknown:vm-100-fleece-0",
            "/dev/sda",
        ] {
            assert!(!is_ours(text), "{text}");
        }
    }

    #[test]
    fn a_storage_of_guests_directories_has_a_guests_volumes_in_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let config = format!("dir: local\n\tpath {}\n", dir.path().display());
        let file = dir.path().join("storage.cfg");
        std::fs::write(&file, config).unwrap();
        let storages = Storages::from_config(&file).unwrap();
        let is_ours = |text: &str| volume(text, &"100".parse().unwrap(), DISK, &storages).is_ok();
        assert!(is_ours("local:100/vm-100-disk-0.raw"));
        for text in [
            "local:200/vm-100-disk-0.raw",
            "local:vm-100-disk-0.raw",
            "local:100/base-100-disk-0.raw",
            "local:100/base-100-disk-0.raw/100/vm-100-disk-0.raw",
            "local:100/vm-100-fleece-0.raw",
            "local:100/vm-100-state-x.raw",
        ] {
            assert!(!is_ours(text), "{text}");
        }
    }

    #[test]
    fn a_fleecing_image_is_seen_in_whatever_qemu_calls_it() {
        for (text, guest) in [
            ("/srv/vm-100-fleece-0.raw", Some("100")),
            ("/dev/vg/vm-web-2-fleece-1", Some("web-2")),
            (
                r#"json:{"driver":"raw","file":{"pool":"p","image":"vm-7-fleece-3"}}"#,
                Some("7"),
            ),
            ("/srv/vm-100-disk-0.qcow2", None),
            ("/srv/vm-100-fleece-x.raw", None),
            ("/srv/fleece-img0.raw", None),
        ] {
            assert_eq!(image_in(text), guest, "{text}");
        }
    }

    #[test]
    fn files_of_the_temporary_form_are_what_we_make() {
        let made = fleece_staged_file::temporary_name(Path::new("/b/x.vma.zst"));
        assert_eq!(made, Path::new("/b/.x.vma.zst.tmp"));
        assert!(is_temporary(&made));
        for path in [
            "/b/x.vma",
            "/b/x.vma.tmp",
            "/b/.x.vma",
            "/b/.tmp",
            "/b/..tmp",
            ".x.vma.tmp",
            "/",
            "/b/.x.tmp/",
        ] {
            let path = Path::new(path);
            assert_eq!(is_temporary(path), path.ends_with(".x.tmp"), "{path:?}");
        }
    }
}
