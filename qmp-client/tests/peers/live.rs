//! Against QEMU itself and its storage daemon.

use std::os::fd::AsFd;
use std::time::Duration;

use fleece_qmp_client::commands::*;
use fleece_qmp_client::{
    Address, Client, ErrorClass, ErrorKind, Event, KnownEvent, Options, RawCommand,
};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::peer::{SOON, connect, each_machine, each_storage_daemon, each_with};
use crate::scenario::{MACHINE, STORAGE_DAEMON};

#[test]
fn recorded_conversation_holds_with_every_qemu() {
    each_with(MACHINE, |peer| {
        (MACHINE.talk)(&peer.client());
    });
}

#[test]
fn recorded_conversation_holds_with_every_storage_daemon() {
    each_with(STORAGE_DAEMON, |peer| {
        (STORAGE_DAEMON.talk)(&peer.client());
    });
}

#[test]
fn greeting_and_query_version_agree() {
    each_machine(&["-M", "none"], |peer| {
        let client = peer.client();
        let asked = client.execute(&QueryVersion {}).unwrap();
        assert_eq!(asked.qemu, client.greeting().version.qemu);
        assert!(asked.qemu.major >= 7, "{asked}");
        assert!(client.greeting().capabilities.contains(&"oob".to_owned()));
    });
}

#[test]
fn errors_carry_the_class_and_the_words_of_qemu() {
    each_storage_daemon(|peer| {
        let client = peer.client();
        let missing = client
            .execute(&BlockJobCancel {
                device: "no".into(),
                force: None,
            })
            .unwrap_err();
        assert_eq!(
            missing.kind(),
            ErrorKind::Command(ErrorClass::DeviceNotActive)
        );
        let unknown = client.execute_raw("frobnicate", None).unwrap_err();
        assert!(unknown.is_command_not_found(), "{unknown}");
        let node = client
            .execute(&BlockdevDel {
                node_name: "no".into(),
            })
            .unwrap_err();
        assert_eq!(node.class(), Some(ErrorClass::Generic));
        assert_eq!(
            node.detail(),
            Some("Failed to find node with node-name='no'")
        );
        let place = peer.path("qmp");
        assert_eq!(
            node.to_string(),
            format!(
                "{}: blockdev-del: Failed to find node with node-name='no'",
                place.display()
            )
        );
    });
}

#[test]
fn schema_knows_commands_arguments_drivers_and_events() {
    each_machine(&["-M", "none"], |peer| {
        let client = peer.client();
        let schema = client.schema().unwrap();
        assert!(schema.has_command("blockdev-backup") && !schema.has_command("BLOCK_JOB_ERROR"));
        assert!(schema.has_event("BLOCK_JOB_ERROR") && !schema.has_event("blockdev-backup"));
        assert!(schema.has_argument("blockdev-backup", &["filter-node-name"]));
        assert!(!schema.has_argument("blockdev-backup", &["filter-node-nam"]));
        assert!(schema.has_argument("transaction", &["actions", "data", "filter-node-name"]));
        assert!(schema.has_value("transaction", &["actions", "type"], "blockdev-backup"));
        assert!(schema.has_blockdev_driver("snapshot-access"));
        assert!(!schema.has_blockdev_driver("snapshot"));
        assert!(schema.has_blockdev_option("copy-before-write", "on-cbw-error"));
        assert!(schema.has_blockdev_option("copy-before-write", "node-name"));
        assert!(!schema.has_blockdev_option("raw", "on-cbw-error"));
        assert!(
            std::sync::Arc::ptr_eq(&schema, &client.schema().unwrap()),
            "asked again"
        );
    });
}

#[test]
fn pipeline_replies_in_order_and_goes_on_after_an_error() {
    each_machine(&TWO_DISKS, |peer| {
        let client = peer.client();
        let get = |path: &str| {
            let path = format!("/machine/peripheral/{path}");
            RawCommand::new("qom-get", Some(json!({"path": path, "property": "type"})))
        };
        let results = client.pipeline(&[get("disk0"), get("none"), get("disk1"), get("scsi")]);
        let types: Vec<_> = results
            .iter()
            .map(|r| r.as_ref().map(Value::as_str))
            .collect();
        assert_eq!(types[0].as_ref().unwrap(), &Some("scsi-hd"));
        assert_eq!(
            types[1].as_ref().unwrap_err().class(),
            Some(ErrorClass::DeviceNotFound)
        );
        assert_eq!(types[2].as_ref().unwrap(), &Some("virtio-blk-pci"));
        assert_eq!(types[3].as_ref().unwrap(), &Some("virtio-scsi-pci"));
    });
}

#[test]
fn events_follow_the_commands_that_cause_them() {
    each_machine(&["-M", "none"], |peer| {
        let client = peer.client();
        let events = client.subscribe();
        client.execute(&Cont {}).unwrap();
        client.execute(&Stop {}).unwrap();
        let resume = events.next(SOON).unwrap().unwrap();
        assert_eq!(resume.name, "RESUME");
        assert!(resume.timestamp.seconds > 1_600_000_000);
        assert!(
            events
                .wait_for(|event| event.name == "STOP", SOON)
                .unwrap()
                .is_some()
        );
        assert_eq!(events.next(Duration::ZERO).unwrap(), None);
        assert_eq!(events.lost(), 0);
    });
}

#[test]
fn quitting_qemu_ends_calls_and_subscriptions() {
    each_machine(&["-M", "none"], |peer| {
        let client = peer.client();
        let events = client.subscribe();
        client.execute(&Quit {}).unwrap();
        assert!(
            events
                .wait_for(|event| event.name == "SHUTDOWN", SOON)
                .unwrap()
                .is_some()
        );
        let end = events.wait_for(|_| false, SOON).unwrap_err();
        assert_eq!(end.kind(), ErrorKind::Closed);
        assert_eq!(
            client.execute(&QueryStatus {}).unwrap_err().kind(),
            ErrorKind::Closed
        );
        assert!(client.closed().is_some());
    });
}

#[test]
fn a_qemu_that_hangs_costs_no_more_than_the_deadline_and_is_understood_afterwards() {
    each_storage_daemon(|peer| {
        let client = peer.client();
        peer.signal(Signal::STOP);
        let late = client
            .execute_within(&QueryJobs {}, Duration::from_millis(50))
            .unwrap_err();
        assert_eq!(late.kind(), ErrorKind::Deadline);
        peer.signal(Signal::CONT);
        assert_eq!(
            client.execute(&QueryVersion {}).unwrap().qemu,
            client.greeting().version.qemu
        );
    });
}

#[test]
fn a_qemu_that_is_killed_ends_calls_and_subscriptions() {
    each_storage_daemon(|peer| {
        let client = peer.client();
        let events = client.subscribe();
        peer.signal(Signal::KILL);
        assert_eq!(events.next(SOON).unwrap_err().kind(), ErrorKind::Closed);
        assert_eq!(
            client.execute(&QueryJobs {}).unwrap_err().kind(),
            ErrorKind::Closed
        );
    });
}

#[test]
fn second_client_is_told_that_the_socket_is_taken_and_served_afterwards() {
    each_storage_daemon(|peer| {
        let first = peer.client();
        let address = Address::unix(peer.path("qmp"));
        let mut options = Options::default();
        options.deadline = Duration::from_millis(100);
        // More than the listener's queue holds: the last ones do not even get connected.
        for _ in 0..4 {
            let error = Client::connect(&address, &options).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
        }
        drop(first);
        peer.client().execute(&QueryVersion {}).unwrap();
    });
}

#[test]
fn a_file_handed_over_as_descriptor_becomes_a_node() {
    each_machine(&["-M", "none"], |peer| {
        let client = peer.client();
        // QEMU cleans up sets only while the machine runs.
        client.execute(&Cont {}).unwrap();
        let file = tempfile::tempfile().unwrap();
        file.set_len(3 << 20).unwrap();
        let added = client
            .execute_with_fd(&AddFd::default(), file.as_fd())
            .unwrap();
        let sets = client.execute(&QueryFdsets {}).unwrap();
        assert_eq!(
            (sets[0].fdset_id, sets[0].fds[0].fd),
            (added.fdset_id, added.fd)
        );
        let name = format!("/dev/fdset/{}", added.fdset_id);
        client
            .execute(&BlockdevAdd(
                json!({"driver": "file", "node-name": "n0", "filename": name}),
            ))
            .unwrap();
        let nodes = client.execute(&QueryNamedBlockNodes::default()).unwrap();
        assert_eq!(nodes[0].image.virtual_size, 3 << 20);
        client
            .execute(&BlockdevDel {
                node_name: "n0".into(),
            })
            .unwrap();
        client
            .execute_with_fd(
                &GetFd {
                    fdname: "file".into(),
                },
                file.as_fd(),
            )
            .unwrap();
        client
            .execute(&CloseFd {
                fdname: "file".into(),
            })
            .unwrap();
        client
            .execute(&RemoveFd {
                fdset_id: added.fdset_id,
                fd: None,
            })
            .unwrap();
        assert!(client.execute(&QueryFdsets {}).unwrap().is_empty());
    });
}

#[test]
fn a_reset_and_an_unplugged_disk_are_told() {
    each_machine(&TWO_DISKS, |peer| {
        let client = peer.client();
        let events = client.subscribe();
        client
            .execute_raw("device_del", Some(json!({"id": "disk0"})))
            .unwrap();
        let deleted = KnownEvent::DeviceDeleted {
            device: Some("disk0".into()),
            path: "/machine/peripheral/disk0".into(),
        };
        let is =
            |expected: KnownEvent| move |event: &Event| event.known() == Some(expected.clone());
        assert!(events.wait_for(is(deleted), SOON).unwrap().is_some());
        client.execute_raw("system_reset", None).unwrap();
        let reset = KnownEvent::Reset {
            guest: false,
            reason: "host-qmp-system-reset".into(),
        };
        assert!(events.wait_for(is(reset), SOON).unwrap().is_some());
    });
}

#[test]
fn objects_are_made_listed_changed_and_removed() {
    each_machine(&["-M", "none"], |peer| {
        let client = peer.client();
        client
            .execute(&ObjectAdd {
                qom_type: "iothread".into(),
                id: "io0".into(),
                properties: [("poll-max-ns".to_owned(), json!(100))]
                    .into_iter()
                    .collect(),
            })
            .unwrap();
        let (path, property) = ("/objects/io0".to_owned(), "poll-max-ns".to_owned());
        let set = QomSet {
            path: path.clone(),
            property: property.clone(),
            value: json!(7),
        };
        client.execute(&set).unwrap();
        assert_eq!(
            client
                .execute(&QomGet {
                    path: path.clone(),
                    property
                })
                .unwrap(),
            json!(7)
        );
        let list = client
            .execute(&QomList {
                path: "/objects".into(),
            })
            .unwrap();
        assert!(
            list.iter()
                .any(|p| p.name == "io0" && p.kind == "child<iothread>")
        );
        client.execute(&ObjectDel { id: "io0".into() }).unwrap();
        let gone = client.execute(&QomList { path }).unwrap_err();
        assert_eq!(gone.class(), Some(ErrorClass::DeviceNotFound));
    });
}

#[test]
fn a_monitor_that_prints_prettily_is_understood() {
    let monitor = [
        "-M",
        "none",
        "-qmp-pretty",
        "unix:pretty,server=on,wait=off",
    ];
    each_machine(&monitor, |peer| {
        let client = connect(&peer.path("pretty")).unwrap();
        assert!(client.schema().unwrap().has_command("blockdev-add"));
    });
}

#[test]
fn the_human_monitor_is_not_a_qmp_server() {
    let monitor = ["-M", "none", "-monitor", "unix:hmp,server=on,wait=off"];
    each_machine(&monitor, |peer| {
        let error = connect(&peer.path("hmp")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotQmp);
        assert!(
            error.detail().unwrap().starts_with("it sent 'QEMU "),
            "{error}"
        );
    });
}

/// A controller and two disks.
const TWO_DISKS: [&str; 12] = [
    "-M",
    "q35",
    "-device",
    "virtio-scsi-pci,id=scsi",
    "-blockdev",
    "null-co,size=1048576,node-name=null0",
    "-device",
    "scsi-hd,id=disk0,drive=null0",
    "-blockdev",
    "null-co,size=1048576,node-name=null1",
    "-device",
    "virtio-blk-pci,id=disk1,drive=null1",
];
