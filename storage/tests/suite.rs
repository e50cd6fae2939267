//! The conformance suite finds what is wrong with a plugin: the example with one defect each.

#![allow(clippy::unwrap_used, reason = "a test that fails says so by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use fleece_storage::testing::{Outcome, checks};
use fleece_storage::{StorageConfig, Storages};

/// What is replaced in the example, and the check that must notice.
const DEFECTS: [(&str, &str, &str); 6] = [
    (
        "os.O_EXCL |",
        "",
        "a taken name is refused and its volume untouched",
    ),
    (
        "truncate(size)",
        "truncate(size + 512)",
        "a new volume has exactly the size asked for",
    ),
    (
        "truncate(size)",
        "write(b'x' * min(size, 1 << 23))",
        "a new volume reads as zeroes",
    ),
    (
        "return {\"freed\": False}",
        "return {\"freed\": True}",
        "freeing twice is no error",
    ),
    (
        "\"raw\", \"file\": file",
        "\"qcow2\", \"file\": file",
        "QEMU opens and writes",
    ),
    (
        "raise Refused(\"unsupported\", \"volumes are not shrunk\")",
        "pass",
        "a volume grows",
    ),
];

#[test]
fn every_defect_is_noticed() {
    if !Path::new("/usr/bin/python3").exists() {
        eprintln!("SKIP: python3 is not installed");
        return;
    }
    let example = include_str!("../examples/plugins/example");
    for (sound, defect, check) in DEFECTS {
        let plugins = tempfile::tempdir().unwrap();
        let program = plugins.path().join("example");
        assert!(example.contains(sound), "{sound}");
        fs::write(&program, example.replacen(sound, defect, 1)).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();

        let root = tempfile::tempdir().unwrap();
        let text = format!("example: test\n\tpath {}\n", root.path().display());
        let storages = Storages::new(StorageConfig::parse(&text).unwrap());
        let storages = storages.with_plugin_directory(plugins.path());
        let storage = storages.open("test").unwrap();
        let check = checks()
            .find(|known| known.name().starts_with(check))
            .unwrap();
        let outcome = check.run(storage.as_ref(), 999_999_002);
        assert!(
            matches!(outcome, Outcome::Failed(_)),
            "{sound:?} → {defect:?}: {outcome:?}"
        );
    }
}
