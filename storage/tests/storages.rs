//! Storages by id and by path.

use std::fs;

use fleece_guest_config::GuestId;
use fleece_storage::{
    AllocationRequest, ErrorKind, Freed, StorageConfig, StorageSection, Storages, VolumeFormat,
    VolumeId, free_names,
};

#[test]
fn a_configured_storage_is_opened_by_its_id_and_found_again_by_its_volumes() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("storage.cfg");
    let root = directory.path().join("store");
    fs::create_dir(&root).unwrap();
    fs::write(
        &config,
        format!(
            "dir: local\n\tpath {}\n\npbs: away\n\tserver x\n",
            root.display()
        ),
    )
    .unwrap();
    let storages = Storages::from_config(&config).unwrap();
    let storage = storages.open("local").unwrap();
    storage.activate().unwrap();
    let name = free_names(
        storage.as_ref(),
        &GuestId::try_from(100).unwrap(),
        "disk",
        1,
    )
    .unwrap()
    .remove(0);
    let request = AllocationRequest::new(name, VolumeFormat::Qcow2, 1 << 20);
    let id = storage.allocate(&request).unwrap();
    assert_eq!(id.to_string(), "local:100/vm-100-disk-0.qcow2");
    assert_eq!(storage.list(None).unwrap()[0].id, id);
    assert_eq!(
        storages.resolve(&id).unwrap().free(&id).unwrap(),
        Freed::Removed
    );
    assert_eq!(
        storages.resolve(&id).unwrap().free(&id).unwrap(),
        Freed::Absent
    );
}

#[test]
fn storages_that_cannot_be_opened_say_why() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("storage.cfg");
    fs::write(
        &config,
        "pbs: away\n\tserver x\n\ndir: bare\n\ndir: odd\n\tpath a/b\n\ndir: far\n\tpath /tmp\n\tnodes a,b\n",
    )
    .unwrap();
    let storages = Storages::from_config(&config).unwrap();
    for (name, kind) in [
        ("away", ErrorKind::Unsupported),
        ("far", ErrorKind::Unsupported),
        ("bare", ErrorKind::InvalidConfig),
        ("odd", ErrorKind::InvalidConfig),
        ("none", ErrorKind::UnknownStorage),
        ("/no/such/directory", ErrorKind::NotFound),
    ] {
        assert_eq!(storages.open(name).unwrap_err().kind(), kind, "{name}");
    }
}

#[test]
fn a_volume_by_path_can_be_freed_when_even_its_directory_is_gone() {
    let id: VolumeId = "/no/such/directory/vm-1-fleece-0.raw".parse().unwrap();
    assert_eq!(
        Storages::none().resolve(&id).unwrap().free(&id).unwrap(),
        Freed::Absent
    );
}

#[test]
fn options_of_the_configuration_reach_the_plugins() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().display();
    let text = format!(
        "nfs: net\n\tpath {root}\n\tserver host\n\texport /e\n\n\
         cifs: win\n\tserver host\n\tshare s\n\n\
         dir: mount\n\tpath {root}\n\tis_mountpoint yes\n\n\
         dir: off\n\tpath {root}\n\tdisable\n\n\
         dir: moved\n\tpath {root}\n\tcontent-dirs images=vm/disks,backup=saved\n\n\
         dir: out\n\tpath {root}\n\tcontent-dirs images=../x\n\n\
         lvm: group\n\tvgname -f\n\n\
         rbd: ceph\n\tpool a/b\n\n\
         zfspool: zfs\n\tpool tank\n\tblocksize -x\n"
    );
    let storages = Storages::new(StorageConfig::parse(&text).unwrap());
    for (id, advice) in [
        ("net", "mount -t nfs host:/e "),
        ("win", "mount -t cifs //host/s /mnt/pve/win"),
        ("mount", "is_mountpoint"),
    ] {
        let error = storages.open(id).unwrap().activate().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotMounted, "{id}");
        assert!(error.to_string().contains(advice), "{error}");
    }
    assert_eq!(
        storages.open("off").unwrap_err().kind(),
        ErrorKind::Unsupported
    );
    for id in ["out", "group", "ceph", "zfs"] {
        assert_eq!(
            storages.open(id).unwrap_err().kind(),
            ErrorKind::InvalidConfig,
            "{id}"
        );
    }
    let moved = storages.open("moved").unwrap();
    let id = "moved:100/vm-100-disk-0.raw".parse().unwrap();
    let disk = directory.path().join("vm/disks/100/vm-100-disk-0.raw");
    assert_eq!(moved.path(&id).unwrap(), disk);
    assert_eq!(
        moved.dump_directory().unwrap(),
        directory.path().join("saved")
    );
    // However deep below its path, they are made; the path itself is not.
    moved.activate().unwrap();
    assert!(directory.path().join("vm/disks").is_dir());
    let mut gone = StorageSection::new("dir", "gone").unwrap();
    for (key, value) in [
        ("path", "/no/such/directory"),
        ("content-dirs", "images=a/b"),
    ] {
        gone.set(key, value).unwrap();
    }
    let mut config = StorageConfig::default();
    config.add(gone).unwrap();
    let gone = Storages::new(config).open("gone").unwrap();
    assert_eq!(gone.activate().unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_storage_of_this_node_is_opened_and_tells_what_may_lie_on_it() {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let name = name.trim().split('.').next().unwrap();
    let text = format!(
        "dir: here\n\tpath /tmp\n\tnodes other,{name}\n\tcontent iso,backup\n\ndir: free\n\tpath /tmp\n"
    );
    let storages = Storages::new(StorageConfig::parse(&text).unwrap());
    storages.open("here").unwrap();
    assert!(storages.may_hold("here", "backup"));
    assert!(!storages.may_hold("here", "images"));
    for anything in ["free", "/tmp", "unknown"] {
        assert!(storages.may_hold(anything, "images"), "{anything}");
    }
}
