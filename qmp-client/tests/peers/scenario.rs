//! What is recorded: a backup's conversation with QEMU, in typed commands.
//!
//! The same code talks to real programs (`live.rs`), through the recorder
//! (`examples/record.rs`) and to what it recorded (`recorded.rs`).

use std::time::Duration;

use fleece_qmp_client::commands::*;
use fleece_qmp_client::{Client, ErrorClass, Event, KnownEvent, RawCommand, Schema, Subscription};
use serde_json::{Value, json};

/// What a scenario talks to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) program: &'static str,
    pub(crate) arguments: &'static [&'static str],
    pub(crate) talk: fn(&Client),
}

/// Images of this size are in the program's working directory under these names.
pub(crate) const IMAGES: [&str; 4] = ["disk0.raw", "disk1.raw", "fleece0.raw", "fleece1.raw"];
pub(crate) const IMAGE_SIZE: u64 = 1 << 20;

/// A machine with a disk under a throttle node and one of an old-style `-drive`.
pub(crate) const MACHINE: Scenario = Scenario {
    name: "machine",
    program: "qemu-system-x86_64",
    arguments: &[
        "-M",
        "q35",
        "-display",
        "none",
        "-nodefaults",
        "-S",
        "-name",
        "probe",
        "-object",
        "throttle-group,id=group0",
        "-object",
        "iothread,id=io0",
        "-blockdev",
        "file,node-name=file0,filename=disk0.raw",
        "-blockdev",
        "throttle,node-name=top0,throttle-group=group0,file=file0",
        "-device",
        "virtio-scsi-pci,id=scsi",
        "-device",
        "scsi-hd,id=disk0,drive=top0",
        "-drive",
        "if=none,id=drive1,file=disk1.raw,format=raw",
        "-device",
        "virtio-blk-pci,id=disk1,drive=drive1",
        "-qmp",
        "unix:qmp,server=on,wait=off",
    ],
    talk: machine,
};

/// A storage daemon without anything.
pub(crate) const STORAGE_DAEMON: Scenario = Scenario {
    name: "storage-daemon",
    program: "qemu-storage-daemon",
    arguments: &[
        "--chardev",
        "socket,id=qmp,path=qmp,server=on,wait=off",
        "--monitor",
        "chardev=qmp",
    ],
    talk: storage_daemon,
};

const SOON: Duration = Duration::from_secs(20);

/// Copy-before-write filters put in by `qom-set` while the machine is stopped.
fn machine(client: &Client) {
    let events = client.subscribe();
    assert_eq!(
        client.execute(&QueryVersion {}).unwrap().qemu,
        client.greeting().version.qemu
    );
    let status = client.execute(&QueryStatus {}).unwrap();
    assert_eq!(
        (status.running, status.status.as_str()),
        (false, "prelaunch")
    );
    assert_eq!(
        client.execute(&QueryName {}).unwrap().name.as_deref(),
        Some("probe")
    );
    assert_eq!(client.execute(&QueryUuid {}).unwrap().uuid.len(), 36);
    let threads = client.execute(&QueryIoThreads {}).unwrap();
    assert_eq!(
        threads.iter().map(|t| t.id.as_str()).collect::<Vec<_>>(),
        ["io0"]
    );
    check_schema(client);

    let node1 = check_disks(client);
    check_statistics(client);

    client.execute(&Cont {}).unwrap();
    await_event(&events, &KnownEvent::Resume {});
    let disks = [
        ("/machine/peripheral/disk0", "top0"),
        (DISK1, node1.as_str()),
    ];
    for (n, (_, node)) in disks.iter().enumerate() {
        add_fleecing_image(client, n);
        client
            .execute(&BlockdevAdd(json!({
                "driver": "copy-before-write", "node-name": format!("cbw{n}"), "file": node,
                "target": format!("fleece{n}"), "on-cbw-error": "break-snapshot",
                "cbw-timeout": 45
            })))
            .unwrap();
    }
    let mut switch = vec![RawCommand::new("stop", None)];
    switch.extend(
        disks
            .iter()
            .enumerate()
            .map(|(n, (path, _))| set_drive(path, &format!("cbw{n}"))),
    );
    switch.push(RawCommand::new("cont", None));
    assert!(client.pipeline(&switch).iter().all(Result::is_ok));
    await_event(&events, &KnownEvent::Stop {});
    await_event(&events, &KnownEvent::Resume {});

    let graph = client.execute(&QueryBlockGraph {}).unwrap();
    assert_eq!(graph.child("cbw0", "file"), Some("top0"));
    assert_eq!(graph.child("cbw0", "target"), Some("fleece0"));
    assert_eq!(graph.child("top0", "file"), Some("file0"));

    serve_snapshots(client, &events, disks.len());

    for (path, node) in disks {
        let (path, value) = (path.to_owned(), json!(node));
        client
            .execute(&QomSet {
                path,
                property: "drive".into(),
                value,
            })
            .unwrap();
    }
    for n in 0..disks.len() {
        client
            .execute(&BlockdevDel {
                node_name: format!("cbw{n}"),
            })
            .unwrap();
        client
            .execute(&BlockdevDel {
                node_name: format!("fleece{n}"),
            })
            .unwrap();
    }
    check_refusals(client);
    quit(client, &events);
}

/// Jobs that put in the filters, in one transaction.
fn storage_daemon(client: &Client) {
    let events = client.subscribe();
    check_schema(client);
    let mut actions = Vec::new();
    for n in 0..2 {
        let file = format!("disk{n}.raw");
        let file = json!({"driver": "file", "filename": file});
        let options = json!({"driver": "raw", "node-name": format!("disk{n}"), "file": file});
        client.execute(&BlockdevAdd(options)).unwrap();
        add_fleecing_image(client, n);
        actions.push(Action::new(
            "blockdev-backup",
            json!({
                "job-id": format!("job{n}"), "device": format!("disk{n}"), "sync": "none",
                "target": format!("fleece{n}"), "filter-node-name": format!("cbw{n}")
            }),
        ));
    }
    client
        .execute(&Transaction {
            actions,
            properties: None,
        })
        .unwrap();
    let jobs = client.execute(&QueryJobs {}).unwrap();
    let ids: Vec<_> = jobs.iter().map(|job| job.id.as_str()).collect();
    assert!(
        ids.len() == 2 && ids.contains(&"job0") && ids.contains(&"job1"),
        "{ids:?}"
    );
    let jobs = client.execute(&QueryBlockJobs {}).unwrap();
    assert!(
        jobs.iter()
            .all(|job| job.kind == "backup" && job.status == "running")
    );
    let graph = client.execute(&QueryBlockGraph {}).unwrap();
    assert_eq!(graph.child("cbw0", "target"), Some("fleece0"));
    let nodes = client
        .execute(&QueryNamedBlockNodes { flat: Some(true) })
        .unwrap();
    let filter = nodes
        .iter()
        .find(|node| node.node_name.as_deref() == Some("cbw1"))
        .unwrap();
    assert_eq!(
        (filter.drv.as_str(), filter.image.virtual_size),
        ("copy-before-write", IMAGE_SIZE)
    );

    serve_snapshots(client, &events, 2);

    for n in 0..2 {
        let job = format!("job{n}");
        client
            .execute(&BlockJobCancel {
                device: job.clone(),
                force: Some(true),
            })
            .unwrap();
        await_event(&events, &KnownEvent::BlockJobCancelled { device: job });
        client
            .execute(&BlockdevDel {
                node_name: format!("fleece{n}"),
            })
            .unwrap();
    }
    assert!(client.execute(&QueryJobs {}).unwrap().is_empty());
    check_refusals(client);
    quit(client, &events);
}

const DISK1: &str = "/machine/peripheral/disk1/virtio-backend";

/// What QEMU offers by its own account, against what is known of its versions.
fn check_schema(client: &Client) {
    let schema: &Schema = &client.schema().unwrap();
    let major = client.greeting().version.qemu.major;
    let backup = |option| schema.has_argument("blockdev-backup", &[option]);
    assert!(backup("filter-node-name"));
    assert_eq!(backup("discard-source"), major >= 10);
    assert_eq!(backup("on-cbw-error"), major >= 11);
    let action = |option| schema.has_argument("transaction", &["actions", "data", option]);
    assert!(action("filter-node-name"));
    assert_eq!(action("on-cbw-error"), major >= 11);
    let cbw = |option| schema.has_blockdev_option("copy-before-write", option);
    assert!(cbw("on-cbw-error") && cbw("cbw-timeout"));
    assert_eq!(cbw("min-cluster-size"), major >= 10);
    assert!(schema.has_blockdev_driver("snapshot-access"));
    assert!(schema.has_argument("block-export-add", &["bitmaps", "node"]));
}

/// The two disks as the guest and as the block layer see them; returns the node of the second.
fn check_disks(client: &Client) -> String {
    let devices = client.execute(&QueryBlock {}).unwrap();
    let disk = |qdev: &str| {
        devices
            .iter()
            .find(|d| d.qdev.as_deref() == Some(qdev))
            .unwrap()
    };
    let (disk0, disk1) = (disk("disk0"), disk(DISK1));
    assert_eq!(
        (disk0.device.as_str(), disk1.device.as_str()),
        ("", "drive1")
    );
    let [medium0, medium1] = [disk0, disk1].map(|d| d.inserted.as_ref().unwrap());
    assert_eq!(medium0.node_name.as_deref(), Some("top0"));
    assert_eq!(
        (medium0.drv.as_str(), medium1.drv.as_str()),
        ("throttle", "raw")
    );
    for medium in [medium0, medium1] {
        assert_eq!((medium.image.virtual_size, medium.ro), (IMAGE_SIZE, false));
        assert!(medium.cache.writeback && !medium.cache.direct && !medium.cache.no_flush);
    }
    let nodes = client
        .execute(&QueryNamedBlockNodes { flat: Some(true) })
        .unwrap();
    assert!(
        nodes
            .iter()
            .any(|node| node.node_name.as_deref() == Some("file0"))
    );
    medium1.node_name.clone().unwrap()
}

fn check_statistics(client: &Client) {
    let histogram = |qdev: &str| {
        let all = client.execute(&QueryBlockStats::default()).unwrap();
        let of_disk = all
            .into_iter()
            .find(|stats| stats.qdev.as_deref() == Some(qdev))
            .unwrap();
        assert_eq!(of_disk.stats.wr_operations, 0);
        of_disk.stats.wr_latency_histogram
    };
    assert_eq!(histogram("disk0"), None);
    let set = BlockLatencyHistogramSet {
        id: "disk0".into(),
        boundaries_write: Some(vec![1_000_000, 10_000_000]),
        ..Default::default()
    };
    client.execute(&set).unwrap();
    let histogram = histogram("disk0").unwrap();
    assert_eq!(
        (&*histogram.boundaries, &*histogram.bins),
        (&[1_000_000, 10_000_000][..], &[0; 3][..])
    );
    let nodes = client
        .execute(&QueryBlockStats {
            query_nodes: Some(true),
        })
        .unwrap();
    assert!(
        nodes
            .iter()
            .any(|node| node.node_name.as_deref() == Some("top0"))
    );
}

fn add_fleecing_image(client: &Client, n: usize) {
    let (name, file) = (format!("fleece{n}"), format!("fleece{n}.raw"));
    let options = json!({
        "driver": "file", "node-name": name, "filename": file,
        "discard": "unmap", "auto-read-only": false
    });
    client.execute(&BlockdevAdd(options)).unwrap();
}

fn set_drive(path: &str, node: &str) -> RawCommand {
    let arguments = json!({"path": path, "property": "drive", "value": node});
    RawCommand::new("qom-set", Some(arguments))
}

/// Exports the view of each filter `cbw…` and takes it back.
fn serve_snapshots(client: &Client, events: &Subscription, disks: usize) {
    let addr = NbdServerAddress::Unix { path: "nbd".into() };
    client
        .execute(&NbdServerStart {
            addr,
            max_connections: Some(0),
        })
        .unwrap();
    for n in 0..disks {
        let node_name = format!("view{n}");
        let view = json!({
            "driver": "snapshot-access", "node-name": node_name, "file": format!("cbw{n}"),
            "discard": "unmap"
        });
        client.execute(&BlockdevAdd(view)).unwrap();
        let export = BlockExportAdd {
            id: format!("export{n}"),
            node_name,
            writable: Some(true),
            iothread: None,
            kind: ExportKind::Nbd {
                name: format!("disk{n}"),
                bitmaps: Vec::new(),
            },
        };
        client.execute(&export).unwrap();
    }
    let exports = client.execute(&QueryBlockExports {}).unwrap();
    assert_eq!(exports.len(), disks);
    assert!(
        exports
            .iter()
            .all(|export| export.kind == "nbd" && !export.shutting_down)
    );
    for n in 0..disks {
        let id = format!("export{n}");
        let mode = Some(ExportRemoveMode::Hard);
        client
            .execute(&BlockExportDel {
                id: id.clone(),
                mode,
            })
            .unwrap();
        await_event(events, &KnownEvent::BlockExportDeleted { id });
        client
            .execute(&BlockdevDel {
                node_name: format!("view{n}"),
            })
            .unwrap();
    }
    client.execute(&NbdServerStop {}).unwrap();
}

fn check_refusals(client: &Client) {
    let missing = client
        .execute(&BlockdevDel {
            node_name: "missing".into(),
        })
        .unwrap_err();
    assert_eq!(missing.class(), Some(ErrorClass::Generic));
    assert_eq!(
        missing.detail(),
        Some("Failed to find node with node-name='missing'")
    );
    let job = BlockJobCancel {
        device: "missing".into(),
        force: None,
    };
    let missing = client.execute(&job).unwrap_err();
    assert_eq!(missing.class(), Some(ErrorClass::DeviceNotActive));
    let unknown = client.execute_raw("frobnicate", Some(Value::Object(Default::default())));
    assert!(unknown.unwrap_err().is_command_not_found());
}

fn await_event(events: &Subscription, expected: &KnownEvent) {
    let is_expected = |event: &Event| event.known().as_ref() == Some(expected);
    assert!(events.wait_for(is_expected, SOON).unwrap().is_some());
}

/// QEMU tells a shutdown; the storage daemon just goes.
fn quit(client: &Client, events: &Subscription) {
    client.execute(&Quit {}).unwrap();
    assert!(events.wait_for(|_| false, SOON).is_err());
}
