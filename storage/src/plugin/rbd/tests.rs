//! The suite runs on a real cluster (see `docs/TESTING.md`); here is what must be told apart on the
//! way. The reports are those of Ceph 16.

use super::*;
use crate::exec::transcript::Transcript;

const LIST: &str = "$ rbd ls --long --format json vms/prod --id fleece --mon_host 10.0.0.1,[::1]:3300 --auth_supported none\n";

fn pool(transcript: &str) -> RbdPlugin {
    RbdPlugin {
        id: "ceph".to_owned(),
        pool: "vms".to_owned(),
        namespace: Some("prod".to_owned()),
        data_pool: Some("ec".to_owned()),
        monitors: vec!["10.0.0.1".to_owned(), "[::1]:3300".to_owned()],
        user: "fleece".to_owned(),
        conf: None,
        keyring: None,
        tools: Arc::new(Transcript::new(transcript)),
    }
}

fn with_identity(command: &str) -> String {
    format!("$ {command} --id fleece --mon_host 10.0.0.1,[::1]:3300 --auth_supported none\n")
}

fn id() -> VolumeId {
    "ceph:vm-100-fleece-0".parse().unwrap()
}

const THERE: &str = r#"[{"image":"vm-100-fleece-0","id":"5e1","size":4194304,"format":2}]"#;

#[test]
fn images_are_listed_without_their_snapshots() {
    let pool = pool(&format!(
        "{LIST}{}\n",
        r#"[{"image":"vm-100-disk-0","id":"1","size":4294967296,"format":2},
            {"image":"vm-100-disk-0","id":"1","snapshot":"s1","size":4294967296,"protected":"false"},
            {"image":"base-9-disk-0","id":"2","size":1048576,"format":2,"lock_type":"exclusive"},
            {"image":"other","id":"3","size":1,"format":2}]"#
    ));
    let volumes = pool.list(None).unwrap();
    let seen: Vec<_> = volumes
        .iter()
        .map(|v| (v.id.to_string(), v.size, v.used))
        .collect();
    assert_eq!(
        seen,
        [
            ("ceph:base-9-disk-0".to_owned(), Some(1 << 20), None),
            ("ceph:vm-100-disk-0".to_owned(), Some(4 << 30), None),
        ]
    );
}

#[test]
fn images_are_made_in_whole_mebibytes_with_their_data_pool() {
    let create = "rbd create --image-format 2 --size 2M --data-pool ec vms/prod/vm-100-fleece-0";
    let name = "vm-100-fleece-0".parse::<VolumeName>().unwrap();
    let request = AllocationRequest::new(name, VolumeFormat::Raw, (1 << 20) + 1);
    let made = pool(&with_identity(create));
    assert_eq!(made.allocate(&request).unwrap(), id());

    let taken = pool(&format!(
        "{}! some words\n{LIST}{THERE}\n",
        with_identity(create)
    ));
    assert_eq!(
        taken.allocate(&request).unwrap_err().kind(),
        ErrorKind::AlreadyExists
    );
}

#[test]
fn freeing_removes_snapshots_first_and_looks_before_and_after() {
    let there = format!("{LIST}{THERE}\n");
    let gone = format!("{LIST}[]\n");
    let purge = with_identity("rbd snap purge --no-progress vms/prod/vm-100-fleece-0");
    let remove = with_identity("rbd rm --no-progress vms/prod/vm-100-fleece-0");
    let cases = [
        (gone.clone(), Ok(Freed::Absent)),
        (format!("{there}{purge}{remove}"), Ok(Freed::Removed)),
        (
            format!("{there}{purge}{remove}! has watchers\n{there}"),
            Err(ErrorKind::Busy),
        ),
    ];
    for (transcript, expected) in cases {
        let pool = pool(&transcript);
        assert_eq!(
            pool.free(&id()).map_err(|error| error.kind()),
            expected,
            "{transcript}"
        );
    }
}

#[test]
fn volumes_grow_in_whole_mebibytes_and_never_shrink() {
    let there = format!("{LIST}{THERE}\n");
    let resize = with_identity("rbd resize --no-progress --size 5M vms/prod/vm-100-fleece-0");
    let grown = pool(&format!("{there}{resize}{there}"));
    grown.resize(&id(), (4 << 20) + 1).unwrap();
    grown.resize(&id(), 4 << 20).unwrap();
    let pool = pool(&there);
    assert_eq!(
        pool.resize(&id(), 1 << 20).unwrap_err().kind(),
        ErrorKind::Unsupported
    );
}

#[test]
fn the_space_is_that_of_the_pool_that_holds_the_data() {
    let usage = r#"{"stats":{"total_bytes":9},"pools":[
        {"name":"vms","id":1,"stats":{"stored":1,"max_avail":2,"percent_used":0.1}},
        {"name":"ec","id":2,"stats":{"stored":30,"max_avail":70,"percent_used":0.3}}]}"#;
    let full = pool(&format!(
        "{}{usage}\n",
        with_identity("ceph df --format json")
    ));
    assert_eq!(
        full.status().unwrap(),
        Status {
            total: 100,
            used: 30,
            available: 70
        }
    );
    let none = pool(&format!(
        "{}{{\"pools\":[]}}\n",
        with_identity("ceph df --format json")
    ));
    assert_eq!(none.status().unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn qemu_is_told_pool_namespace_user_and_monitors() {
    let mut pool = pool("");
    pool.conf = Some(PathBuf::from("/etc/ceph/ceph.conf"));
    assert_eq!(
        pool.blockdev(&id()).unwrap(),
        json!({
            "driver": "raw",
            "file": {
                "driver": "rbd", "pool": "vms", "namespace": "prod", "image": "vm-100-fleece-0",
                "user": "fleece", "conf": "/etc/ceph/ceph.conf",
                "server": [
                    { "host": "10.0.0.1", "port": "6789" },
                    { "host": "::1", "port": "3300" },
                ],
                "auth-client-required": ["none"],
            },
        })
    );
    assert_eq!(pool.path(&id()).unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn monitors_may_be_names_and_addresses_of_both_kinds() {
    for (monitor, host, port) in [
        ("mon-a", "mon-a", "6789"),
        ("mon-a:3300", "mon-a", "3300"),
        ("fd00::1", "fd00::1", "6789"),
        ("[fd00::1]", "fd00::1", "6789"),
    ] {
        assert_eq!(
            address(monitor),
            json!({ "host": host, "port": port }),
            "{monitor}"
        );
    }
}

#[test]
fn names_that_could_be_taken_for_options_are_refused() {
    for name in ["", "-p", "a/b", "a@b", "a b", ".a"] {
        assert!(RbdPlugin::check_name("ceph", name).is_err(), "{name:?}");
    }
}
