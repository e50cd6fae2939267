use super::*;

fn drives(text: &str) -> Vec<Drive> {
    GuestConfig::parse(text).unwrap().drives().unwrap()
}

#[test]
fn drives_come_in_lexical_order_with_their_options() {
    let drives = drives(
        "virtio0: l:v\nscsi10: l:a\nscsi2: l:b,size=4G,discard=on\nunused0: l:u\nide0: l:i\n\
         scsi31: l:beyond\nscsi01: l:odd\nscsihw: virtio-scsi-pci\nnet0: virtio=AA\n\
         [snap]\nscsi5: l:s\n",
    );
    let keys: Vec<_> = drives.iter().map(|drive| drive.key.as_str()).collect();
    assert_eq!(keys, ["ide0", "scsi10", "scsi2", "virtio0"]);
    assert_eq!(drives[2].volume, "l:b");
    assert_eq!(drives[2].option("discard"), Some("on"));
    assert_eq!(drives[2].device_name(), "drive-scsi2");
    assert!(drives.iter().all(Drive::is_included));
}

#[test]
fn what_a_backup_leaves_out_says_why() {
    let drives = drives(
        "cdrom: none\nide0: iso:x.iso,media=cdrom\nscsi0: l:a,backup=0\nscsi1: file=l:b,backup=yes\n\
         efidisk0: l:e\ntpmstate0: l:t\n",
    );
    let why: Vec<_> = drives
        .iter()
        .map(|drive| (drive.key.as_str(), drive.exclusion))
        .collect();
    assert_eq!(
        why,
        [
            ("efidisk0", Some(Exclusion::EfiDiskWithoutOvmf)),
            ("ide0", Some(Exclusion::Cdrom)),
            ("ide2", Some(Exclusion::Cdrom)),
            ("scsi0", Some(Exclusion::BackupOption)),
            ("scsi1", None),
            ("tpmstate0", None),
        ]
    );
    assert_eq!(drives[4].volume, "l:b");
    assert_eq!(drives[5].device_name(), "drive-tpmstate0-backup");
}

#[test]
fn an_efi_disk_of_an_ovmf_guest_is_included() {
    assert!(drives("bios: ovmf\nefidisk0: l:e\n")[0].is_included());
}

#[test]
fn a_drive_that_cannot_be_understood_is_an_error_and_not_left_out() {
    for drive in ["size=4G", "l:a,backup=perhaps", "l:a,size=1G,size=2G"] {
        let config = GuestConfig::parse(format!("scsi0: {drive}\n")).unwrap();
        assert_eq!(
            config.drives().unwrap_err().kind(),
            ErrorKind::MalformedDrive,
            "{drive}"
        );
    }
}

#[test]
fn a_volume_is_in_use_wherever_it_is_named() {
    let text = "scsi0: l:vm-1-disk-0,size=1G\nunused0: l:vm-1-disk-1\ndescription: l:vm-1-disk-4\n\n\
                [snap]\nscsi1: file=l:vm-1-disk-2\nvmstate: l:vm-1-state-snap\n";
    let config = GuestConfig::parse(text).unwrap();
    for volume in [
        "l:vm-1-disk-0",
        "l:vm-1-disk-1",
        "l:vm-1-disk-2",
        "l:vm-1-state-snap",
    ] {
        assert!(config.uses_volume(volume), "{volume}");
    }
    for volume in ["l:vm-1-disk", "l:vm-1-disk-3", "size=1G"] {
        assert!(!config.uses_volume(volume), "{volume}");
    }
}

#[test]
fn whatever_could_be_a_volume_is_a_mention_except_in_the_record_of_fleecing_images() {
    let text = "scsi0: file=l:vm-1-disk-0,size=1G\nunused0: /d/vm-1-disk-1.raw\n\
                args: -drive 'file=/d/x.raw,if=none'\nname: web\n\n[PENDING]\nscsi1: l:p\n\n\
                [special:fleecing]\nfleecing-images: l:vm-1-fleece-0\n\n[snap]\nvmstate: l:s\n";
    let config = GuestConfig::parse(text).unwrap();
    let mentions: Vec<_> = config.mentions().collect();
    assert_eq!(
        mentions,
        [
            "l:vm-1-disk-0",
            "/d/vm-1-disk-1.raw",
            "/d/x.raw",
            "l:p",
            "l:s"
        ]
    );
}

#[test]
fn sizes_are_exact() {
    for (bytes, text) in [
        (4 << 30, "4G"),
        (540_672, "528K"),
        (4 << 20, "4M"),
        (513, "513"),
    ] {
        assert_eq!(drive_size(bytes), text);
    }
}
