//! Sessions on the disks of a storage daemon of each QEMU: no guest, but the same filters, views and exports.

mod support;

use fleece_fleecing::{Advice, ErrorKind, Interference, Session};
use fleece_lab::Disk;
use fleece_qmp_client::Address;
use fleece_storage::VolumeFormat;
use serde_json::json;
use support::{Field, SIZE, instant, succeed};

/// Both disks are, at `server`, as they were at the instant.
fn assert_instant(server: &Address) {
    for n in [0, 1] {
        let (data, expected) = (instant(server, &Session::export_name(n)), Field::before());
        let mut pairs = data.iter().zip(&expected);
        let difference = pairs.position(|(one, other)| one != other);
        assert_eq!(difference, None, "disk {n}");
    }
}

#[test]
fn what_is_overwritten_zeroed_and_discarded_after_the_switch_is_in_the_view() {
    for qemu in fleece_lab::qemus() {
        for format in [VolumeFormat::Raw, VolumeFormat::Qcow2] {
            let field = Field::on(qemu.clone());
            let record = field.record();
            let mut options = field.options();
            options.format = format;
            options.running_server = Some(Address::unix(field.daemon.nbd_socket()));
            let mut session = field.session_with(&record, options).unwrap();
            session.prepare().unwrap();
            // What is written before the switch is of the instant.
            field.io(0, &["write -P 0x33 0 1M", "write -P 0x11 0 1M"]);
            let switched = session.switch().unwrap();
            assert_eq!((switched.method, switched.paused), (session.method(), None));
            field.disturb(0);
            let server = session.export().unwrap();
            field.disturb(1);
            assert_instant(&server);
            let contents = record.contents().unwrap();
            assert_eq!(contents.images.len(), 2, "{contents:?}");
            session.finish().unwrap();
            assert!(record.contents().unwrap().is_empty());
            drop(record);
            field.assert_clean();
            field.io(1, &["read -P 0x55 384k 64k"]);
        }
    }
}

#[test]
fn a_session_that_is_dropped_at_any_step_leaves_nothing() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let field = Field::on(qemu);
    for steps in 0..=3 {
        let record = field.record();
        let mut session = field.session(&record).unwrap();
        if steps > 0 {
            session.prepare().unwrap();
            assert!(!record.contents().unwrap().is_empty() && !field.names().is_empty());
        }
        if steps > 1 {
            session.switch().unwrap();
        }
        if steps > 2 {
            session.export().unwrap();
        }
        drop(session);
        drop(record);
        field.assert_clean();
    }
}

#[test]
fn a_snapshot_that_somebody_takes_above_the_filter_names_no_filter_and_the_instant_stays() {
    for qemu in fleece_lab::qemus() {
        let field = Field::on(qemu);
        let record = field.record();
        let mut session = field.session(&record).unwrap();
        session.prepare().unwrap();
        session.switch().unwrap();
        let server = session.export().unwrap();
        let mut seen = Interference::default();
        assert_eq!(session.check_interference(&mut seen).unwrap(), [""; 0]);
        let overlays = [0, 1].map(|disk| {
            let overlay = field.daemon.folder().join(format!("overlay{disk}"));
            field.execute(
                "blockdev-snapshot-sync",
                json!({
                    "node-name": format!("disk{disk}"),
                    "snapshot-file": overlay,
                    "snapshot-node-name": format!("overlay{disk}"),
                    "format": "qcow2",
                }),
            );
            overlay
        });
        let news = session.check_interference(&mut seen).unwrap();
        assert!(
            news.len() == 2
                && news[0].starts_with("disk0: somebody has taken a snapshot")
                && news[1].starts_with("disk1: somebody has taken a snapshot"),
            "{news:?}"
        );
        // It is told once.
        assert_eq!(session.check_interference(&mut seen).unwrap(), [""; 0]);
        for overlay in overlays {
            // Put right at once: QEMU could end at any time.
            let info = succeed(field.qemu.img().args(["info", "-U"]).arg(overlay));
            assert!(
                info.contains("backing file") && !info.contains("copy-before-wri"),
                "{info}"
            );
        }
        field.disturb(0);
        field.disturb(1);
        assert_instant(&server);
        session.finish().unwrap();
        drop(record);
        field.assert_clean();
    }
}

#[test]
fn a_server_that_runs_already_is_named_as_the_obstacle() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let field = Field::on(qemu);
    let record = field.record();
    let mut session = field.session_with(&record, field.options()).unwrap();
    let error = session.prepare().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Qemu);
    assert_eq!(error.advice(), Some(&Advice::NameNbdServer));
    session.finish().unwrap();
    drop(record);
    field.assert_clean();
    // Nobody has stopped it.
    field.io(0, &["read -P 0x11 0 1M"]);
}

#[test]
fn a_disk_under_which_no_filter_can_go_is_refused_before_anything_is_touched() {
    for qemu in fleece_lab::qemus() {
        // Reopening a qcow2 node crashes QEMU, and the older ones would hand our failures to the
        // guest by their only other way.
        let field = Field::with(qemu, [Disk::qcow2(SIZE)]);
        let record = field.record();
        let session = field.session(&record);
        if field.qemu.version().major >= 11 {
            session.unwrap().finish().unwrap();
        } else {
            let error = session.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsafe);
            assert!(
                error.to_string().contains("put a throttle node above it"),
                "{error}"
            );
        }
        drop(record);
        field.assert_clean();
    }
}

/// A node of somebody else's, an export of it, and a mirror of another, called so.
fn add_others(field: &Field, node: &str, export: &str, job: &str) -> Vec<String> {
    for name in [node, "source", "target"] {
        let options = json!({"driver": "null-co", "node-name": name, "size": SIZE});
        field.execute("blockdev-add", options);
    }
    let options = json!({"type": "nbd", "id": export, "node-name": node, "name": "others"});
    field.execute("block-export-add", options);
    field.execute(
        "blockdev-mirror",
        json!({"job-id": job, "device": "source", "target": "target", "sync": "full"}),
    );
    let names = field.names();
    assert_eq!(names.len(), 3, "{names:?}");
    names
}

#[test]
fn what_others_call_like_ours_is_neither_touched_nor_in_the_way() {
    for qemu in fleece_lab::qemus() {
        let field = Field::on(qemu);
        let names = ["fleece-data", "fleece-web-export", "fleece-web-mirror"];
        let others = add_others(&field, names[0], names[1], names[2]);
        let record = field.record();
        let mut session = field.session(&record).unwrap();
        session.prepare().unwrap();
        session.switch().unwrap();
        assert_instant(&session.export().unwrap());
        session.finish().unwrap();
        drop(record);
        assert_eq!(field.names(), others);
        field.clean();
        assert_eq!(field.names(), others);
    }
}

#[test]
fn what_has_exactly_our_names_and_is_not_ours_is_named_and_left_alone() {
    for qemu in fleece_lab::qemus() {
        let field = Field::on(qemu);
        let others = add_others(&field, "fleece-img0", "fleece-exp0", "fleece-job0");
        let record = field.record();
        let error = field.session(&record).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsafe);
        assert!(error.to_string().contains("none of Fleece's"), "{error}");
        drop(record);
        field.clean();
        assert_eq!(field.names(), others);
    }
}
