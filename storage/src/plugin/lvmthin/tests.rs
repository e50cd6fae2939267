//! The suite runs on real LVM inside a guest (see `docs/TESTING.md`); here is what must be told
//! apart on the way. The reports are those of LVM 2.03.16.

use std::sync::Arc;

use super::*;
use crate::exec::transcript::Transcript;

const LVS: &str = "$ lvs -o lv_name,lv_size,lv_attr,pool_lv,data_percent,chunk_size \
                   --reportformat json --units b --nosuffix pve\n";
const VOLUMES: &str = r#"{"report":[{"lv":[
    {"lv_name":"data","lv_size":"536870912","lv_attr":"twi-aotz--","pool_lv":"","data_percent":"25.00","chunk_size":"65536"},
    {"lv_name":"vm-100-disk-0","lv_size":"8388608","lv_attr":"Vwi-a-tz--","pool_lv":"data","data_percent":"12.50","chunk_size":"0"},
    {"lv_name":"vm-100-disk-1","lv_size":"8388608","lv_attr":"Vwi---tz--","pool_lv":"other","data_percent":"","chunk_size":"0"},
    {"lv_name":"snap_vm-100-disk-0_before","lv_size":"8388608","lv_attr":"Vri---tz-k","pool_lv":"data","data_percent":"","chunk_size":"0"}]}]}"#;

fn pool(transcript: &str) -> LvmThinPlugin {
    let tools = Arc::new(Transcript::new(transcript));
    LvmThinPlugin {
        id: "thin".to_owned(),
        group: VolumeGroup::new("thin", "pve", tools).unwrap(),
        pool: "data".to_owned(),
    }
}

#[test]
fn volumes_of_the_pool_are_listed_with_the_space_they_take() {
    let pool = pool(&format!("{LVS}{VOLUMES}\n"));
    let volumes = pool.list(Some(&GuestId::try_from(100).unwrap())).unwrap();
    let seen: Vec<_> = volumes
        .iter()
        .map(|v| (v.name.as_str(), v.size, v.used))
        .collect();
    assert_eq!(seen, [("vm-100-disk-0", Some(8 << 20), Some(1 << 20))]);
}

#[test]
fn the_space_is_that_of_the_pool() {
    let pool = pool(&format!("{LVS}{VOLUMES}\n"));
    let status = pool.status().unwrap();
    assert_eq!(
        status,
        Status {
            total: 512 << 20,
            used: 128 << 20,
            available: 384 << 20
        }
    );
}

#[test]
fn an_inactive_pool_tells_no_space() {
    let volumes = VOLUMES.replace("25.00", "");
    let pool = pool(&format!("{LVS}{volumes}\n"));
    assert_eq!(pool.status().unwrap_err().kind(), ErrorKind::InvalidData);
}

#[test]
fn the_snapshots_of_a_volume_go_with_it() {
    let pool = pool(&format!(
        "{LVS}{VOLUMES}\n{LVS}{VOLUMES}\n$ lvremove --force pve/snap_vm-100-disk-0_before\n\
         {LVS}{VOLUMES}\n$ lvremove --force pve/vm-100-disk-0\n"
    ));
    let freed = pool.free(&"thin:vm-100-disk-0".parse().unwrap()).unwrap();
    assert_eq!(freed, Freed::Removed);
}

#[test]
fn a_volume_whose_activation_cannot_be_set_is_not_left_behind() {
    let pool = pool(&format!(
        "$ lvcreate --yes --name vm-100-disk-0 --virtualsize 512b --thinpool pve/data\n\
         $ lvchange --setautoactivation n pve/vm-100-disk-0\n! some words\n\
         {LVS}{VOLUMES}\n$ lvremove --force pve/vm-100-disk-0\n"
    ));
    let name = "vm-100-disk-0".parse::<VolumeName>().unwrap();
    let request = AllocationRequest::new(name, VolumeFormat::Raw, 512);
    assert_eq!(
        pool.allocate(&request).unwrap_err().kind(),
        ErrorKind::CommandFailed
    );
}

#[test]
fn a_pool_that_does_not_zero_its_chunks_is_not_taken_to_be_zero() {
    let groups = "$ vgs -o vg_size,vg_free,vg_extent_size --reportformat json --units b --nosuffix pve\n\
        {\"report\":[{\"vg\":[{\"vg_size\":\"1073741824\",\"vg_free\":\"0\",\"vg_extent_size\":\"4194304\"}]}]}\n";
    for (attributes, zero) in [("twi-aotz--", true), ("twi-aot---", false)] {
        let volumes = VOLUMES.replace("twi-aotz--", attributes);
        let pool = pool(&format!("{LVS}{volumes}\n{groups}"));
        let capabilities = pool.capabilities().unwrap();
        assert_eq!(capabilities.zero_initialised, zero, "{attributes}");
        assert_eq!(capabilities.discard_granularity, Some(65_536));
    }
}
