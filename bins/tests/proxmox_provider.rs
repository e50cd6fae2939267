//! The backup provider for Proxmox VE, called in the order in which Proxmox calls it.

#![expect(clippy::unwrap_used, reason = "a test may fail by a panic")]

use std::path::Path;
use std::process::Command;

/// Perl's own messages are what a failure shows.
fn perl(arguments: &[&str], set: impl FnOnce(&mut Command)) -> String {
    let mut command = Command::new("perl");
    command
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../proxmox"))
        .args(arguments);
    set(&mut command);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{errors}");
    errors.into_owned()
}

#[test]
fn its_modules_compile_without_warnings() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proxmox");
    for module in [
        "lib/PVE/Storage/Custom/FleecePlugin.pm",
        "lib/PVE/BackupProvider/Plugin/Fleece.pm",
        "lib/PVE/BackupProvider/Fleece/Process.pm",
    ] {
        assert!(directory.join(module).is_file(), "{module}");
        let said = perl(&["-It/stub", "-Ilib", "-wc", module], |_| ());
        assert_eq!(said, format!("{module} syntax OK\n"));
    }
}

/// Proxmox's QEMU is never as old as Debian's 7.2.
#[test]
fn a_storage_daemon_in_the_place_of_proxmoxs_qemu_is_backed_up_and_restored() {
    for qemu in fleece_lab::qemus().into_iter().skip(1) {
        perl(&["t/provider.t"], |command| {
            command
                .env("FLEECE", env!("CARGO_BIN_EXE_fleece"))
                .env("VMA", env!("CARGO_BIN_EXE_vma"))
                .env("QEMU_IO", qemu.io().get_program())
                .env("QEMU_IMG", qemu.img().get_program())
                .env("QEMU_STORAGE_DAEMON", qemu.storage_daemon().get_program());
        });
    }
}
