use super::*;

#[test]
fn disks_are_called_as_proxmox_calls_them_where_that_can_be_known() {
    for (drive, node, path, name) in [
        (
            "drive-virtio0",
            "#block1",
            "/machine/peripheral/virtio0/virtio-backend",
            "drive-virtio0",
        ),
        (
            "",
            "drive-scsi0",
            "/machine/peripheral/scsi0",
            "drive-scsi0",
        ),
        (
            "",
            "node0",
            "/machine/peripheral/virtio1/virtio-backend",
            "drive-virtio1",
        ),
        (
            "virtio0",
            "#block2",
            "/machine/peripheral-anon/device[0]/virtio-backend",
            "drive-virtio0",
        ),
        (
            "",
            "libvirt-1-format",
            "/machine/unattached/device[3]",
            "drive-libvirt-1-format",
        ),
        (
            "",
            "#block9",
            "/machine/unattached/device[3]",
            "drive-unattached-device-3",
        ),
        (
            "drive-../../x",
            "",
            "/machine/peripheral/a",
            "drive-..-..-x",
        ),
    ] {
        assert_eq!(archive_name(drive, node, path), name);
    }
}

fn unique<const N: usize>(names: [&str; N]) -> [String; N] {
    let mut names = names.map(str::to_owned);
    make_unique(names.iter_mut());
    names
}

#[test]
fn no_two_disks_have_one_name_and_who_had_one_alone_keeps_it() {
    assert_eq!(unique(["a", "a", "b", "a"]), ["a", "a-1", "b", "a-2"]);
    assert_eq!(
        unique(["data", "data", "data-1"]),
        ["data", "data-2", "data-1"]
    );
    assert_eq!(
        unique(["data-1", "data", "data"]),
        ["data-1", "data", "data-2"]
    );
    assert_eq!(
        unique(["a", "a", "a-1", "a-1"]),
        ["a", "a-2", "a-1", "a-1-1"]
    );
    assert_eq!(unique(["Data", "data"]), ["Data", "data-1"]);
}

#[test]
fn whatever_names_there_are_they_become_different_ones() {
    let parts = ["a", "A", "a-1", "a-1-1", "a-2", "b"];
    for number in 0..6_usize.pow(5) {
        let mut names: Vec<String> = (0..5_u32)
            .map(|digit| parts[number / 6_usize.pow(digit) % 6].to_owned())
            .collect();
        make_unique(names.iter_mut());
        let again = names.clone();
        make_unique(names.iter_mut());
        assert_eq!(names, again);
        let lower: std::collections::HashSet<_> =
            names.iter().map(|name| name.to_lowercase()).collect();
        assert_eq!(lower.len(), 5, "{names:?}");
    }
}

#[test]
fn a_name_of_nothing_but_signs_is_a_name_all_the_same() {
    assert_eq!(archive_name("", "", "/machine/peripheral/--"), "drive-disk");
}

#[test]
fn disks_past_the_block_layer_are_known_by_their_types() {
    for kind in [
        "vhost-user-blk-pci",
        "vhost-user-blk-pci-non-transitional",
        "vhost-user-blk",
        "vhost-user-scsi-pci",
        "vhost-scsi-pci",
        "vhost-scsi",
        "virtio-pmem-pci",
        "nvdimm",
        "vhost-vdpa-device-pci",
        "vfio-user-pci",
    ] {
        assert!(past_the_block_layer(kind).is_some(), "{kind}");
    }
    for kind in [
        "virtio-blk-pci",
        "scsi-hd",
        "vhost-user-fs-pci",
        "vhost-user-vsock-pci",
        "vhost-vsock-pci",
        "vfio-pci",
        "virtio-scsi-pci",
    ] {
        assert_eq!(past_the_block_layer(kind), None, "{kind}");
        assert_eq!(passed_through(kind), None, "{kind}");
    }
    assert!(is_storage("0x010802\n") && is_storage("0x010601\n"));
    assert!(!is_storage("0x030000\n") && !is_storage(""));
}
