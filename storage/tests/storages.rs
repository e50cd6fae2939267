//! Storages by id and by path.

use std::fs;

use fleece_storage::{
    AllocationRequest, ErrorKind, Freed, Storages, VolumeFormat, VolumeId, free_names,
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
    let name = free_names(storage.as_ref(), 100, "disk", 1)
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
        "pbs: away\n\tserver x\n\ndir: bare\n\ndir: odd\n\tpath a/b\n",
    )
    .unwrap();
    let storages = Storages::from_config(&config).unwrap();
    for (name, kind) in [
        ("away", ErrorKind::Unsupported),
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
