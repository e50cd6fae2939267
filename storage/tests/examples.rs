//! The example programs.

#![allow(clippy::unwrap_used, reason = "a test that fails says so by panicking")]

use fleece_lab::example;

#[test]
fn a_volume_is_allocated_written_read_and_freed() {
    let directory = tempfile::tempdir().unwrap();
    let output = example("volume").arg(directory.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let volume = directory.path().join("vm-100-disk-0.qcow2");
    let read = format!(
        "{}: 1073741824 bytes, {:?}\n",
        volume.display(),
        b"hello".as_slice()
    );
    assert!(said.contains(&read), "{said}");
    assert!(
        said.contains(&format!("100: {} takes Some(", volume.display())),
        "{said}"
    );
    assert_eq!(directory.path().read_dir().unwrap().count(), 0);
}
