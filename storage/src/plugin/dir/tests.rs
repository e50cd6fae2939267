use std::os::unix::fs::symlink;
use std::process::Command;

use super::*;
use crate::plugin::free_names;

fn request(name: &str, format: VolumeFormat, size: u64) -> AllocationRequest {
    AllocationRequest::new(name.parse().unwrap(), format, size)
}

fn configured(path: &Path) -> DirPlugin {
    DirPlugin::configured("local", path, path.join("images"), path.join("dump"))
}

#[test]
fn ids_are_paths_on_a_plain_directory_and_proxmox_names_on_a_configured_one() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let name: VolumeName = "vm-100-fleece-0".parse().unwrap();
    let plain = DirPlugin::plain(root).unwrap();
    let id = plain.volume_id(&name, VolumeFormat::Raw).unwrap();
    assert_eq!(
        id.to_string(),
        format!("{}/vm-100-fleece-0.raw", root.display())
    );

    let configured = configured(root);
    let id = configured.volume_id(&name, VolumeFormat::Qcow2).unwrap();
    assert_eq!(id.to_string(), "local:100/vm-100-fleece-0.qcow2");
    assert_eq!(
        configured.path(&id).unwrap(),
        root.join("images/100/vm-100-fleece-0.qcow2")
    );
    assert_eq!(
        configured
            .path(
                &"local:9/base-9-disk-0.raw/100/vm-100-disk-1.raw"
                    .parse()
                    .unwrap()
            )
            .unwrap(),
        root.join("images/100/vm-100-disk-1.raw")
    );
}

#[test]
fn volumes_of_other_storages_and_other_files_are_never_touched() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    fs::write(root.join("precious.raw"), "x").unwrap();
    fs::write(root.join("vm-1-disk-0.txt"), "x").unwrap();
    let plain = DirPlugin::plain(root).unwrap();
    for file in ["precious.raw", "vm-1-disk-0.txt", "sub/vm-1-disk-0.raw"] {
        assert!(
            plain
                .free(&VolumeId::at(&root.join(file)).unwrap())
                .is_err(),
            "{file}"
        );
    }
    let configured = configured(root);
    for id in [
        "other:100/vm-100-disk-0.raw",
        "local:vm-100-disk-0.raw",
        "local:iso/x.raw",
    ] {
        assert!(configured.free(&id.parse().unwrap()).is_err(), "{id}");
    }
    assert!(root.join("precious.raw").exists() && root.join("vm-1-disk-0.txt").exists());
}

#[test]
fn a_link_under_the_name_of_a_volume_is_not_followed() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let victim = root.join("victim");
    fs::write(&victim, "precious").unwrap();
    symlink(&victim, root.join("vm-1-disk-0.raw")).unwrap();
    let plain = DirPlugin::plain(root).unwrap();
    let error = plain
        .allocate(&request("vm-1-disk-0", VolumeFormat::Raw, 4096))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert!(plain.list(None).unwrap().is_empty());
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
}

#[test]
fn free_names_pass_over_taken_ones_of_any_format() {
    let directory = tempfile::tempdir().unwrap();
    let plain = DirPlugin::plain(directory.path()).unwrap();
    plain
        .allocate(&request("vm-1-fleece-0", VolumeFormat::Raw, 4096))
        .unwrap();
    plain
        .allocate(&request("vm-1-fleece-2", VolumeFormat::Qcow2, 4096))
        .unwrap();
    let names = free_names(&plain, &GuestId::try_from(1).unwrap(), "fleece", 2).unwrap();
    assert_eq!(
        names.iter().map(VolumeName::as_str).collect::<Vec<_>>(),
        ["vm-1-fleece-1", "vm-1-fleece-3"]
    );
    assert!(free_names(&plain, &GuestId::try_from(1).unwrap(), "a b", 1).is_err());
}

#[test]
fn qemu_img_finds_our_qcow2_images_sound_and_of_the_exact_size() {
    if Command::new("qemu-img").arg("--version").output().is_err() {
        eprintln!("SKIP: qemu-img is not installed");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let plain = DirPlugin::plain(directory.path()).unwrap();
    for (n, size) in [512, 4096 + 512, 65536, (1 << 30) + 512, 1 << 40]
        .into_iter()
        .enumerate()
    {
        let name = format!("vm-1-disk-{n}");
        let id = plain
            .allocate(&request(&name, VolumeFormat::Qcow2, size))
            .unwrap();
        let path = plain.path(&id).unwrap();
        assert_qemu_img_agrees(&path, size);
        assert!(
            fs::metadata(&path).unwrap().blocks() * 512 < 1 << 20,
            "{size} is not thin"
        );
        plain.resize(&id, size + (1 << 20)).unwrap();
        assert_qemu_img_agrees(&path, size + (1 << 20));
        assert_eq!(plain.size(&id).unwrap(), size + (1 << 20));
    }
}

#[test]
fn images_that_hold_more_than_a_disk_are_not_grown() {
    if Command::new("qemu-img").arg("--version").output().is_err() {
        eprintln!("SKIP: qemu-img is not installed");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let plain = DirPlugin::plain(directory.path()).unwrap();
    let id = plain
        .allocate(&request("vm-1-disk-0", VolumeFormat::Qcow2, 1 << 20))
        .unwrap();
    let path = plain.path(&id).unwrap();
    let added = Command::new("qemu-img")
        .args(["bitmap", "--add"])
        .arg(&path)
        .arg("b")
        .status();
    assert!(added.unwrap().success());
    assert_eq!(
        plain.resize(&id, 2 << 20).unwrap_err().kind(),
        ErrorKind::Unsupported
    );
    assert_eq!(plain.size(&id).unwrap(), 1 << 20);
}

#[test]
fn an_image_that_is_not_what_its_name_says_is_listed_without_a_size() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(
        directory.path().join("vm-1-disk-0.qcow2"),
        "QFI\u{fb} but not really",
    )
    .unwrap();
    let plain = DirPlugin::plain(directory.path()).unwrap();
    let volumes = plain.list(Some(&GuestId::try_from(1).unwrap())).unwrap();
    assert_eq!(volumes[0].size, None);
    assert_eq!(
        plain.size(&volumes[0].id).unwrap_err().kind(),
        ErrorKind::InvalidData
    );
}

fn assert_qemu_img_agrees(path: &Path, size: u64) {
    let check = Command::new("qemu-img")
        .args(["check", "-q", "-f", "qcow2"])
        .arg(path)
        .output();
    let check = check.unwrap();
    assert!(check.status.success(), "{check:?}");
    let mut info = Command::new("qemu-img");
    let info = info
        .args(["info", "--output=json", "-f", "qcow2"])
        .arg(path)
        .output()
        .unwrap();
    let info: Value = serde_json::from_slice(&info.stdout).unwrap();
    assert_eq!(info["virtual-size"], size);
}

#[test]
fn links_of_a_chain_of_snapshots_are_no_volumes() {
    let directory = tempfile::tempdir().unwrap();
    let configured = configured(directory.path());
    let made = configured
        .allocate(&request("vm-1-disk-0", VolumeFormat::Qcow2, 1 << 20))
        .unwrap();
    let images = directory.path().join("images/1");
    fs::copy(
        images.join("vm-1-disk-0.qcow2"),
        images.join("snap-before-vm-1-disk-0.qcow2"),
    )
    .unwrap();
    let listed = configured
        .list(Some(&GuestId::try_from(1).unwrap()))
        .unwrap();
    let ids: Vec<_> = listed.iter().map(|volume| &volume.id).collect();
    assert_eq!(ids, [&made]);
}
