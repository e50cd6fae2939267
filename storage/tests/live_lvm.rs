//! The conformance suite on LVM and LVM-thin, inside a guest: its kernel has the device mapper,
//! and nothing of the host's disks is at stake.

#![allow(clippy::unwrap_used, reason = "a test that fails says so by panicking")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use fleece_lab::GuestTree;

/// One guest for both, since it takes longer to boot than to run the suite.
#[test]
fn lvm_and_lvm_thin_conform() {
    let Some(qemu) = fleece_lab::qemus().pop() else {
        return;
    };
    let (Some(tree), Some(blkdiscard)) = (GuestTree::with_lvm(), fleece_lab::require("blkdiscard"))
    else {
        return;
    };
    tree.program(&blkdiscard, "/sbin/blkdiscard");
    tree.qemu(&qemu, "qemu-io");
    tree.program(&conformance(), "/bin/conformance");

    let guest = tree.boot_with_volume_group(&qemu, 1024);
    for storage in ["thick", "thin"] {
        let suite = format!("/bin/conformance /etc/storage.cfg {storage} 999000");
        // Its exit status says whether all is well; its table says what is not.
        let suite = format!("PATH=/bin chroot /mnt {suite} || true");
        let report = guest.run(&suite, Duration::from_secs(240)).unwrap();
        println!("{report}");
        assert!(
            report.contains(" ok\n") && !report.contains("FAILED"),
            "{report}"
        );
    }
}

/// The suite as a program of its own, as new as this test.
fn conformance() -> PathBuf {
    let mut build = Command::new(env!("CARGO"));
    build.args([
        "build",
        "--quiet",
        "--package",
        "fleece-storage",
        "--example",
        "conformance",
    ]);
    assert!(build.status().unwrap().success());
    let this = std::env::current_exe().unwrap();
    let program = this
        .ancestors()
        .nth(2)
        .unwrap()
        .join("examples/conformance");
    assert!(fs::metadata(&program).unwrap().is_file());
    program
}
