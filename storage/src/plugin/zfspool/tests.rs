//! ZFS has no kernel module on the machines that run these tests. The transcripts follow
//! `zfs-create(8)`, `zfs-list(8)`, `zfs-get(8)` and `zfs-destroy(8)` of OpenZFS 2.1 to 2.3.

use super::*;
use crate::exec::transcript::Transcript;
use crate::plugin::free_names;

const LIST: &str = "$ zfs list -Hp -o name,volsize,used -t volume -d 1 tank/vm\n";

fn pool(transcript: &str) -> ZfsPlugin {
    ZfsPlugin {
        id: "zfs".to_owned(),
        pool: "tank/vm".to_owned(),
        sparse: true,
        block_size: Some("16k".to_owned()),
        tools: Arc::new(Transcript::new(transcript)),
    }
}

fn id() -> VolumeId {
    "zfs:vm-100-fleece-0".parse().unwrap()
}

#[test]
fn zvols_are_listed_with_size_and_space() {
    let pool = pool(&format!(
        "{LIST}tank/vm/vm-100-disk-0\t4294967296\t57344\ntank/vm/base-9-disk-0\t1048576\t8192\n\
         tank/vm/other\t1048576\t8192\n"
    ));
    let volumes = pool.list(None).unwrap();
    let seen: Vec<_> = volumes
        .iter()
        .map(|v| (v.id.to_string(), v.guest.number(), v.size, v.used))
        .collect();
    assert_eq!(
        seen,
        [
            (
                "zfs:base-9-disk-0".to_owned(),
                Some(9),
                Some(1 << 20),
                Some(8192)
            ),
            (
                "zfs:vm-100-disk-0".to_owned(),
                Some(100),
                Some(4 << 30),
                Some(57344)
            ),
        ]
    );
}

#[test]
fn a_taken_name_is_recognised_by_looking() {
    let pool = pool(&format!(
        "$ zfs create -s -b 16k -V 2097152 tank/vm/vm-100-fleece-0\n! some words\n\
         {LIST}tank/vm/vm-100-fleece-0\t1048576\t8192\n"
    ));
    let name = "vm-100-fleece-0".parse::<VolumeName>().unwrap();
    let request = AllocationRequest::new(name, VolumeFormat::Raw, (1 << 20) + 1);
    assert_eq!(
        pool.allocate(&request).unwrap_err().kind(),
        ErrorKind::AlreadyExists
    );
}

#[test]
fn a_full_pool_is_recognised_by_looking() {
    let mut pool = pool(&format!(
        "$ zfs create -b 16k -V 1048576 tank/vm/vm-100-fleece-0\n! some words\n{LIST}\
         $ zfs get -Hp -o value available,used tank/vm\n4096\n9000000\n"
    ));
    pool.sparse = false;
    let name = "vm-100-fleece-0".parse::<VolumeName>().unwrap();
    let request = AllocationRequest::new(name, VolumeFormat::Raw, 1 << 20);
    assert_eq!(
        pool.allocate(&request).unwrap_err().kind(),
        ErrorKind::NoSpace
    );
}

#[test]
fn freeing_looks_before_and_after() {
    let there = format!("{LIST}tank/vm/vm-100-fleece-0\t1048576\t8192\n");
    let destroy = "$ zfs destroy -r tank/vm/vm-100-fleece-0\n";
    let cases = [
        (LIST.to_owned(), Ok(Freed::Absent)),
        (format!("{there}{destroy}"), Ok(Freed::Removed)),
        (
            format!("{there}{destroy}! dataset is busy\n{there}{destroy}"),
            Ok(Freed::Removed),
        ),
        (
            format!(
                "{there}{}",
                format!("{destroy}! dataset is busy\n{there}").repeat(6)
            ),
            Err(ErrorKind::Busy),
        ),
        (
            format!("{there}{destroy}! gone meanwhile\n{LIST}"),
            Ok(Freed::Removed),
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
    let there = format!("{LIST}tank/vm/vm-100-fleece-0\t4194304\t8192\n");
    let grown = pool(&format!(
        "{there}$ zfs set volsize=5242880 tank/vm/vm-100-fleece-0\n"
    ));
    grown.resize(&id(), (4 << 20) + 1).unwrap();
    let pool = pool(&there);
    assert_eq!(
        pool.resize(&id(), 1 << 20).unwrap_err().kind(),
        ErrorKind::Unsupported
    );
}

#[test]
fn what_zfs_prints_is_not_trusted() {
    for nonsense in [
        "tank/vm/vm-1-disk-0\tmany\t1\n",
        "elsewhere/vm-1-disk-0\t1\t1\n",
        "x\n",
    ] {
        let pool = pool(&format!("{LIST}{nonsense}"));
        assert_eq!(
            pool.list(None).unwrap_err().kind(),
            ErrorKind::InvalidData,
            "{nonsense}"
        );
    }
}

#[test]
fn block_devices_lie_below_dev_zvol() {
    let pool = pool("");
    assert_eq!(
        pool.blockdev(&id()).unwrap(),
        serde_json::json!({
            "driver": "raw",
            "file": { "driver": "host_device", "filename": "/dev/zvol/tank/vm/vm-100-fleece-0" },
        })
    );
    assert_eq!(
        pool.capabilities().unwrap().discard_granularity,
        Some(16 << 10)
    );
}

#[test]
fn pools_that_could_be_taken_for_options_are_refused() {
    for name in ["", "-r", "a//b", "/a", "a/../b", "a b", "a@b", "a;b"] {
        assert!(ZfsPlugin::check_pool("zfs", name).is_err(), "{name:?}");
    }
}

#[test]
fn free_names_are_found_among_zvols() {
    let pool = pool(&format!("{LIST}tank/vm/vm-100-fleece-0\t1048576\t8192\n"));
    let names = free_names(&pool, &GuestId::try_from(100).unwrap(), "fleece", 1).unwrap();
    assert_eq!(names[0].as_str(), "vm-100-fleece-1");
}
