//! Against QEMU itself and its storage daemon.

use std::os::fd::AsFd;
use std::time::Duration;

use fleece_qmp_client::commands::*;
use fleece_qmp_client::{Address, Client, ErrorClass, ErrorKind, Options, RawCommand};
use serde_json::{Value, json};

#[cfg(test)]
mod peer;

use peer::{Peer, SOON, machine_with_disks};

#[test]
fn greeting_and_query_version_agree() {
    let Some(peer) = Peer::machine(&["-M", "none"]) else {
        return;
    };
    let client = peer.client();
    let asked = client.execute(&QueryVersion {}).unwrap();
    assert_eq!(asked.qemu, client.greeting().version.qemu);
    assert!(asked.qemu.major >= 7, "{asked}");
    assert!(client.greeting().capabilities.contains(&"oob".to_owned()));
}

#[test]
fn name_uuid_and_status_of_a_machine_are_told() {
    let Some(peer) = machine_with_disks() else {
        return;
    };
    let client = peer.client();
    assert_eq!(
        client.execute(&QueryName {}).unwrap().name.as_deref(),
        Some("probe")
    );
    assert_eq!(client.execute(&QueryUuid {}).unwrap().uuid.len(), 36);
    let status = client.execute(&QueryStatus {}).unwrap();
    assert_eq!(
        (status.running, status.status.as_str()),
        (false, "prelaunch")
    );
    let threads = client.execute(&QueryIoThreads {}).unwrap();
    assert_eq!(
        threads.iter().map(|t| t.id.as_str()).collect::<Vec<_>>(),
        ["io0"]
    );
}

#[test]
fn block_devices_show_their_nodes_and_sizes() {
    let Some(peer) = machine_with_disks() else {
        return;
    };
    let client = peer.client();
    let devices = client.execute(&QueryBlock {}).unwrap();
    let seen: Vec<_> = devices
        .iter()
        .map(|d| {
            let medium = d.inserted.as_ref().unwrap();
            let node = medium.node_name.as_deref().unwrap();
            (
                d.device.as_str(),
                d.qdev.as_deref().unwrap(),
                node,
                medium.image.virtual_size,
            )
        })
        .collect();
    assert!(seen.contains(&("", "disk0", "top0", 1 << 20)), "{seen:?}");
    let is_disk1 = |&&(device, ..): &&(&str, &str, &str, u64)| device == "drive1";
    let disk1 = seen.iter().find(is_disk1).unwrap();
    assert_eq!(
        (disk1.1, disk1.2, disk1.3),
        ("/machine/peripheral/disk1/virtio-backend", "null1", 2 << 20)
    );

    let nodes = client
        .execute(&QueryNamedBlockNodes { flat: Some(true) })
        .unwrap();
    let top = nodes
        .iter()
        .find(|n| n.node_name.as_deref() == Some("top0"))
        .unwrap();
    assert_eq!((top.drv.as_str(), top.ro), ("throttle", false));

    let graph = client.execute(&QueryBlockGraph {}).unwrap();
    assert_eq!(graph.child("top0", "file"), Some("null0"));
    assert_eq!(graph.child("null0", "file"), None);
    assert_eq!(
        graph
            .parents("null0")
            .map(|(n, role)| (n.name.as_str(), role))
            .collect::<Vec<_>>(),
        [("top0", "file")]
    );

    let stats = client.execute(&QueryBlockStats::default()).unwrap();
    let disk0 = stats
        .iter()
        .find(|s| s.qdev.as_deref() == Some("disk0"))
        .unwrap();
    assert_eq!(disk0.stats.wr_operations, 0);
    assert_eq!(disk0.stats.wr_latency_histogram, None);
}

#[test]
fn latency_histograms_appear_once_turned_on() {
    let Some(peer) = machine_with_disks() else {
        return;
    };
    let client = peer.client();
    client
        .execute(&BlockLatencyHistogramSet {
            id: "disk0".into(),
            boundaries_write: Some(vec![1_000_000, 10_000_000]),
            ..Default::default()
        })
        .unwrap();
    let stats = client.execute(&QueryBlockStats::default()).unwrap();
    let disk0 = stats
        .iter()
        .find(|s| s.qdev.as_deref() == Some("disk0"))
        .unwrap();
    let histogram = disk0.stats.wr_latency_histogram.as_ref().unwrap();
    assert_eq!(
        (&*histogram.boundaries, &*histogram.bins),
        (&[1_000_000, 10_000_000][..], &[0, 0, 0][..])
    );
}

#[test]
fn errors_carry_the_class_and_the_words_of_qemu() {
    let Some(peer) = Peer::storage_daemon(&[]) else {
        return;
    };
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
}

#[test]
fn schema_knows_commands_arguments_drivers_and_events() {
    let Some(peer) = Peer::machine(&["-M", "none"]) else {
        return;
    };
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
}

#[test]
fn pipeline_replies_in_order_and_goes_on_after_an_error() {
    let Some(peer) = machine_with_disks() else {
        return;
    };
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
}

#[test]
fn events_follow_the_commands_that_cause_them() {
    let Some(peer) = Peer::machine(&["-M", "none"]) else {
        return;
    };
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
}

#[test]
fn quitting_qemu_ends_calls_and_subscriptions() {
    let Some(peer) = Peer::machine(&["-M", "none"]) else {
        return;
    };
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
}

#[test]
fn second_client_is_told_that_the_socket_is_taken_and_served_afterwards() {
    let Some(peer) = Peer::storage_daemon(&[]) else {
        return;
    };
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
}

#[test]
fn storage_daemon_exports_a_node_and_takes_it_back() {
    let Some(peer) = Peer::storage_daemon(&[]) else {
        return;
    };
    let client = peer.client();
    let events = client.subscribe();
    client
        .execute(&BlockdevAdd(
            json!({"driver": "null-co", "node-name": "n0", "size": 1 << 20}),
        ))
        .unwrap();
    let path = peer.path("nbd").display().to_string();
    client
        .execute(&NbdServerStart {
            addr: NbdServerAddress::Unix { path },
            max_connections: Some(0),
        })
        .unwrap();
    client
        .execute(&BlockExportAdd {
            id: "e0".into(),
            node_name: "n0".into(),
            writable: Some(false),
            iothread: None,
            kind: ExportKind::Nbd {
                name: "disk".into(),
                bitmaps: Vec::new(),
            },
        })
        .unwrap();
    let exports = client.execute(&QueryBlockExports {}).unwrap();
    assert_eq!(
        (exports[0].id.as_str(), exports[0].node_name.as_str()),
        ("e0", "n0")
    );
    assert!(peer.path("nbd").exists());
    let mode = Some(ExportRemoveMode::Hard);
    client
        .execute(&BlockExportDel {
            id: "e0".into(),
            mode,
        })
        .unwrap();
    let gone = |event: &fleece_qmp_client::Event| {
        event.name == "BLOCK_EXPORT_DELETED" && event.text("id") == Some("e0")
    };
    assert!(events.wait_for(gone, SOON).unwrap().is_some());
    client.execute(&NbdServerStop {}).unwrap();
    client
        .execute(&BlockdevDel {
            node_name: "n0".into(),
        })
        .unwrap();
    assert!(
        client
            .execute(&QueryNamedBlockNodes::default())
            .unwrap()
            .is_empty()
    );
}

#[test]
fn transaction_starts_a_backup_job_that_can_be_cancelled() {
    let Some(peer) = Peer::storage_daemon(&[]) else {
        return;
    };
    let client = peer.client();
    let events = client.subscribe();
    for name in ["source", "target"] {
        let options = json!({"driver": "null-co", "node-name": name, "size": 1 << 20});
        client.execute(&BlockdevAdd(options)).unwrap();
    }
    let backup = Action::new(
        "blockdev-backup",
        json!({"job-id": "job0", "device": "source", "target": "target", "sync": "none",
               "filter-node-name": "filter"}),
    );
    let properties = Some(TransactionProperties {
        completion_mode: CompletionMode::Grouped,
    });
    client
        .execute(&Transaction {
            actions: vec![backup],
            properties,
        })
        .unwrap();
    let jobs = client.execute(&QueryJobs {}).unwrap();
    assert_eq!(
        (jobs[0].id.as_str(), jobs[0].kind.as_str()),
        ("job0", "backup")
    );
    let jobs = client.execute(&QueryBlockJobs {}).unwrap();
    assert_eq!(
        (jobs[0].id.as_str(), jobs[0].status.as_str()),
        ("job0", "running")
    );
    let graph = client.execute(&QueryBlockGraph {}).unwrap();
    assert_eq!(graph.child("filter", "target"), Some("target"));
    client
        .execute(&BlockJobCancel {
            device: "job0".into(),
            force: Some(true),
        })
        .unwrap();
    let cancelled = |event: &fleece_qmp_client::Event| {
        event.name == "BLOCK_JOB_CANCELLED" && event.text("device") == Some("job0")
    };
    assert!(events.wait_for(cancelled, SOON).unwrap().is_some());
}

#[test]
fn a_file_handed_over_as_descriptor_becomes_a_node() {
    let Some(peer) = Peer::machine(&["-M", "none"]) else {
        return;
    };
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
}

#[test]
fn objects_are_made_listed_changed_and_removed() {
    let Some(peer) = Peer::machine(&["-M", "none"]) else {
        return;
    };
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
}

#[test]
fn the_human_monitor_is_not_a_qmp_server() {
    let arguments = [
        "-M",
        "none",
        "-display",
        "none",
        "-S",
        "-monitor",
        "unix:hmp,server=on,wait=off",
    ];
    let Some(peer) = Peer::start("qemu-system-x86_64", &arguments) else {
        return;
    };
    let connected = peer::connect(&peer.path("hmp"));
    let error = connected.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotQmp);
    assert!(
        error.detail().unwrap().starts_with("it sent 'QEMU "),
        "{error}"
    );
}
