//! The example programs with a storage daemon.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use fleece_lab::{Disk, StorageDaemon, example};
use fleece_qmp_client::Client;
use serde_json::json;

#[test]
fn the_nodes_are_listed_and_an_event_that_comes_later_is_seen() {
    for qemu in fleece_lab::qemus() {
        let daemon = StorageDaemon::builder(&qemu)
            .disk(Disk::raw(5 << 20))
            .export()
            .second_monitor()
            .start()
            .unwrap();
        let mut watch = example("watch")
            .arg(daemon.qmp_socket())
            .arg("BLOCK_EXPORT_DELETED")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
        // It listens before it lists.
        let listed = lines.find(|line| line.as_ref().unwrap() == "disk0 (raw): 5242880 bytes");
        assert!(listed.is_some());
        let other = Client::connect_unix(daemon.test_socket()).unwrap();
        let exports = other.execute_raw("query-block-exports", None).unwrap();
        let id = exports[0]["id"].as_str().unwrap().to_owned();
        other
            .execute_raw("block-export-del", Some(json!({"id": id})))
            .unwrap();
        let seen = lines.map(Result::unwrap).last().unwrap();
        assert!(
            seen.starts_with("BLOCK_EXPORT_DELETED: ") && seen.contains(&id),
            "{seen}"
        );
        assert!(watch.wait().unwrap().success());
    }
}
