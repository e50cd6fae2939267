use serde::Serialize;
use serde_json::{Value, json};

use super::*;

fn arguments(command: impl Serialize) -> Value {
    serde_json::to_value(command).unwrap()
}

#[test]
fn commands_without_arguments_send_an_empty_object() {
    assert_eq!(arguments(QueryBlock {}), json!({}));
    assert_eq!(arguments(QueryBlockStats::default()), json!({}));
    assert_eq!(arguments(AddFd::default()), json!({}));
}

#[test]
fn socket_addresses_have_the_form_of_socket_address_legacy() {
    let start = |addr| {
        arguments(NbdServerStart {
            addr,
            max_connections: None,
        })
    };
    assert_eq!(
        start(NbdServerAddress::Fd { name: "s".into() }),
        json!({"addr": {"type": "fd", "data": {"str": "s"}}})
    );
    assert_eq!(
        start(NbdServerAddress::Inet {
            host: "h".into(),
            port: "1".into()
        }),
        json!({"addr": {"type": "inet", "data": {"host": "h", "port": "1"}}})
    );
}

#[test]
fn export_options_lie_flat_beside_its_kind() {
    let bitmaps = vec![BitmapRef {
        node: "n".into(),
        name: "b".into(),
    }];
    let export = BlockExportAdd {
        id: "e".into(),
        node_name: "v".into(),
        writable: None,
        iothread: Some("io0".into()),
        kind: ExportKind::Nbd {
            name: "d".into(),
            bitmaps,
        },
    };
    assert_eq!(
        arguments(export),
        json!({"id": "e", "node-name": "v", "iothread": "io0", "type": "nbd", "name": "d",
               "bitmaps": [{"node": "n", "name": "b"}]})
    );
}

#[test]
fn transaction_properties_say_how_jobs_belong_together() {
    let properties = Some(TransactionProperties {
        completion_mode: CompletionMode::Grouped,
    });
    let actions = vec![Action::new("abort", json!({}))];
    assert_eq!(
        arguments(Transaction {
            actions,
            properties
        }),
        json!({"actions": [{"type": "abort", "data": {}}],
               "properties": {"completion-mode": "grouped"}})
    );
}

#[test]
fn children_and_parents_are_found_by_name_and_role() {
    let graph: BlockGraph = serde_json::from_value(json!({
        "nodes": [
            {"id": 1, "type": "block-backend", "name": "disk"},
            {"id": 2, "type": "block-driver", "name": "filter"},
            {"id": 3, "type": "block-driver", "name": "disk"},
            {"id": 4, "type": "block-job", "name": "job"},
        ],
        "edges": [
            {"parent": 1, "child": 2, "name": "root", "perm": [], "shared-perm": []},
            {"parent": 2, "child": 3, "name": "file", "perm": [], "shared-perm": []},
            {"parent": 4, "child": 3, "name": "main node", "perm": [], "shared-perm": []},
            {"parent": 2, "child": 9, "name": "target", "perm": [], "shared-perm": []},
        ]
    }))
    .unwrap();
    assert_eq!(graph.child("filter", "file"), Some("disk"));
    assert_eq!(graph.child("filter", "target"), None, "an edge to nowhere");
    assert_eq!(
        graph.child("disk", "root"),
        None,
        "a backend of that name is not the node"
    );
    let parents: Vec<_> = graph
        .parents("disk")
        .map(|(node, role)| (node.kind, role))
        .collect();
    assert_eq!(
        parents,
        [
            (GraphNodeKind::BlockDriver, "file"),
            (GraphNodeKind::BlockJob, "main node")
        ]
    );
}
