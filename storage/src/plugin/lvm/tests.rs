//! The suite runs on real LVM inside a guest (see `docs/TESTING.md`); here is what must be told
//! apart on the way. The reports are those of LVM 2.03.16.

use std::sync::Arc;

use super::*;
use crate::exec::Runner;
use crate::exec::transcript::Transcript;

const LVS: &str = "$ lvs -o lv_name,lv_size,lv_attr,pool_lv,data_percent,chunk_size \
                   --reportformat json --units b --nosuffix pve\n";
const VGS: &str = "$ vgs -o vg_size,vg_free,vg_extent_size \
                   --reportformat json --units b --nosuffix pve\n";
const GROUP: &str = r#"{"report":[{"vg":[
    {"vg_size":"1069547520", "vg_free":"8388608", "vg_extent_size":"4194304"}]}]}"#;
const VOLUMES: &str = r#"{"report":[{"lv":[
    {"lv_name":"data","lv_size":"536870912","lv_attr":"twi-aotz--","pool_lv":"","data_percent":"0.00","chunk_size":"65536"},
    {"lv_name":"root","lv_size":"4194304","lv_attr":"-wi-ao----","pool_lv":"","data_percent":"","chunk_size":"0"},
    {"lv_name":"vm-100-disk-0","lv_size":"4194304","lv_attr":"-wi-a-----","pool_lv":"","data_percent":"","chunk_size":"0"},
    {"lv_name":"vm-100-disk-1","lv_size":"8388608","lv_attr":"Vwi-a-tz--","pool_lv":"data","data_percent":"12.50","chunk_size":"0"},
    {"lv_name":"vm-101-disk-0","lv_size":8388608,"lv_attr":"-wi-------","pool_lv":"","data_percent":"","chunk_size":0}]}]}"#;

fn group(transcript: &str) -> LvmPlugin {
    let tools = Arc::new(Transcript::new(transcript));
    LvmPlugin {
        id: "thick".to_owned(),
        group: VolumeGroup::new("thick", "pve", tools).unwrap(),
        saferemove: false,
        shared: false,
    }
}

fn request(size: u64) -> AllocationRequest {
    let name = "vm-100-disk-0".parse::<VolumeName>().unwrap();
    AllocationRequest::new(name, VolumeFormat::Raw, size)
}

fn create(size: u64) -> String {
    format!(
        "$ lvcreate --yes --name vm-100-disk-0 --wipesignatures y --setautoactivation n \
         --addtag pve-vm-100 --size {size}b pve\n"
    )
}

#[test]
fn only_plain_volumes_of_guests_are_listed() {
    let group = group(&format!("{LVS}{VOLUMES}\n"));
    let volumes = group.list(None).unwrap();
    let seen: Vec<_> = volumes.iter().map(|v| (v.id.to_string(), v.size)).collect();
    assert_eq!(
        seen,
        [
            ("thick:vm-100-disk-0".to_owned(), Some(4 << 20)),
            ("thick:vm-101-disk-0".to_owned(), Some(8 << 20)),
        ]
    );
}

#[test]
fn a_full_group_is_told_before_anything_is_tried() {
    let group = group(&format!("{VGS}{GROUP}\n"));
    let error = group.allocate(&request(9 << 20)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace);
    assert!(error.to_string().contains("8388608 bytes left"), "{error}");
}

#[test]
fn a_taken_name_is_recognised_by_looking() {
    let group = group(&format!(
        "{VGS}{GROUP}\n{}! some words\n{LVS}{VOLUMES}\n",
        create(4 << 20)
    ));
    let error = group.allocate(&request(4 << 20)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
}

#[test]
fn other_failures_of_lvcreate_are_passed_on() {
    let nothing = r#"{"report":[{"lv":[]}]}"#;
    let group = group(&format!(
        "{VGS}{GROUP}\n{}! the disk is on fire\n{LVS}{nothing}\n",
        create(512)
    ));
    let error = group.allocate(&request(512)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CommandFailed);
    assert!(error.to_string().contains("on fire"), "{error}");
}

#[test]
fn a_volume_in_use_is_busy_and_stays() {
    let group = group(&format!(
        "{LVS}{VOLUMES}\n$ lvremove --force pve/vm-100-disk-0\n! in use\n{LVS}{VOLUMES}\n"
    ));
    let error = group
        .free(&"thick:vm-100-disk-0".parse().unwrap())
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
}

#[test]
fn a_volume_is_wiped_before_it_is_removed_where_that_is_asked_for() {
    let mut group = group(&format!(
        "{LVS}{VOLUMES}\n$ blkdiscard --zeroout /dev/pve/vm-100-disk-0\n{LVS}{VOLUMES}\n\
         $ lvremove --force pve/vm-100-disk-0\n"
    ));
    group.saferemove = true;
    let freed = group.free(&"thick:vm-100-disk-0".parse().unwrap()).unwrap();
    assert_eq!(freed, Freed::Removed);
}

#[test]
fn an_inactive_volume_is_activated() {
    let group = group(&format!(
        "{LVS}{VOLUMES}\n$ lvchange -ay -K pve/vm-101-disk-0\n{LVS}{VOLUMES}\n"
    ));
    group
        .activate_volume(&"thick:vm-101-disk-0".parse().unwrap())
        .unwrap();
    group
        .activate_volume(&"thick:vm-100-disk-0".parse().unwrap())
        .unwrap();
}

#[test]
fn reports_that_make_no_sense_are_errors() {
    let long = "9".repeat(30);
    for nonsense in [
        "",
        "{}",
        "{\"report\":[{\"lv\":[{\"lv_name\":\"a\"}]}]}",
        &long,
    ] {
        let group = group(&format!("{LVS}{nonsense}\n"));
        assert_eq!(
            group.list(None).unwrap_err().kind(),
            ErrorKind::InvalidData,
            "{nonsense}"
        );
    }
}

#[test]
fn groups_that_could_be_taken_for_options_are_refused() {
    for name in ["", "-f", "a/b", "a b", "..", "a;b"] {
        let tools: Arc<dyn Runner> = Arc::new(Transcript::new(""));
        let error = VolumeGroup::new("thick", name, tools).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{name:?}");
    }
}
