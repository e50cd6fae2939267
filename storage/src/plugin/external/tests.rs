use super::*;
use crate::config::StorageConfig;
use crate::exec::System;

/// A plugin that answers everything with one line.
fn plugin(answer: &str) -> (tempfile::TempDir, ExternalPlugin) {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("odd");
    std::fs::write(&program, format!("#!/bin/sh\ncat <<'END'\n{answer}\nEND\n")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&program, mode).unwrap();
    let config = StorageConfig::parse("odd: mine\n\tkey some value\n").unwrap();
    let section = config.section("mine").unwrap();
    let plugin = ExternalPlugin::find(section, directory.path(), Arc::new(System)).unwrap();
    (directory, plugin)
}

#[test]
fn a_refusal_keeps_its_kind_and_words() {
    for (name, kind) in [
        ("no-space", ErrorKind::NoSpace),
        ("what", ErrorKind::CommandFailed),
    ] {
        let answer = format!(r#"{{"error":{{"kind":"{name}","message":"because"}}}}"#);
        let (_directory, plugin) = plugin(&answer);
        let error = plugin.status().unwrap_err();
        assert_eq!(error.kind(), kind);
        assert_eq!(error.to_string(), "mine: because");
    }
}

#[test]
fn answers_that_make_no_sense_are_errors() {
    for answer in [
        "",
        "{}",
        "[]",
        "{\"ok\":{}}",
        "{\"ok\":{\"total\":-1}}",
        "words",
    ] {
        let (_directory, plugin) = plugin(answer);
        assert_eq!(
            plugin.status().unwrap_err().kind(),
            ErrorKind::InvalidData,
            "{answer}"
        );
    }
}

#[test]
fn ids_paths_and_options_that_a_plugin_gives_are_checked() {
    let name = "vm-1-disk-0".parse::<VolumeName>().unwrap();
    for volume in ["../x", "/x", "a b", "-x", ""] {
        let (_directory, plugin) = plugin(&format!(r#"{{"ok":{{"volume":"{volume}"}}}}"#));
        let error = plugin.volume_id(&name, VolumeFormat::Raw).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidName, "{volume:?}");
    }
    let id = "mine:vm-1-disk-0".parse().unwrap();
    let (_directory, relative) = plugin(r#"{"ok":{"path":"vm-1-disk-0"}}"#);
    assert_eq!(
        relative.path(&id).unwrap_err().kind(),
        ErrorKind::InvalidData
    );
    let (_directory, bare) = plugin(r#"{"ok":{"blockdev":{"filename":"x"}}}"#);
    assert_eq!(
        bare.blockdev(&id).unwrap_err().kind(),
        ErrorKind::InvalidData
    );
}

#[test]
fn what_is_odd_in_a_list_is_left_out() {
    let volume = |volume, name, format| json!({ "volume": volume, "name": name, "format": format, "size": 1, "used": null });
    let volumes = [
        volume("b/vm-1-disk-1", "vm-1-disk-1", "raw"),
        volume("../x", "vm-1-disk-2", "raw"),
        volume("a b", "vm-1-disk-3", "raw"),
        volume("x", "backup", "raw"),
        volume("vm-1-disk-4", "vm-1-disk-4", "vmdk"),
        volume("a/vm-1-disk-0", "vm-1-disk-0", "qcow2"),
    ];
    let (_directory, plugin) = plugin(&json!({ "ok": { "volumes": volumes } }).to_string());
    let volumes = plugin.list(Some(&GuestId::try_from(1).unwrap())).unwrap();
    let ids: Vec<_> = volumes.iter().map(|v| v.id.to_string()).collect();
    assert_eq!(ids, ["mine:a/vm-1-disk-0", "mine:b/vm-1-disk-1"]);
}

#[test]
fn a_type_is_never_a_path() {
    let directory = tempfile::tempdir().unwrap();
    for header in ["../../bin/sh: xx\n", "..: xx\n", "a/b: xx\n"] {
        let config = StorageConfig::parse(header).unwrap();
        let section = config.sections().next().unwrap();
        let found = ExternalPlugin::find(section, directory.path(), Arc::new(System));
        assert!(found.is_none(), "{header:?}");
    }
}
