//! What the tests use of others: programs from Debian's packages, readers from PyPI.
//!
//! QEMU is not among them: the lab has its own, several versions, and installs none (`docs/TESTING.md`).

use crate::peers;
use crate::run::{Outcome, Run, has};

/// A program, and the package that has it.
const PROGRAMS: [(&str, &str); 55] = [
    ("cc", "gcc"),
    // For libFuzzer.
    ("c++", "g++"),
    // For programs that need no libraries.
    ("musl-gcc", "musl-tools"),
    // For programs for Windows, and to run them.
    ("x86_64-w64-mingw32-gcc", "gcc-mingw-w64-x86-64"),
    ("wine", "wine"),
    // The same for Linux on AArch64.
    ("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu"),
    ("qemu-aarch64-static", "qemu-user-static"),
    // To unpack the lab's packages, and to tie its processes to the test; every Debian has them.
    ("dpkg-deb", "dpkg"),
    ("setpriv", "util-linux"),
    // Peers that the tests compare with.
    ("nbdkit", "nbdkit"),
    ("nbdcopy", "libnbd-bin"),
    ("zstd", "zstd"),
    ("age", "age"),
    ("ssh-keygen", "openssh-client"),
    ("lzop", "lzop"),
    ("fio", "fio"),
    ("python3", "python3"),
    ("pip3", "python3-pip"),
    // System calls that fail.
    ("strace", "strace"),
    // A directory that hangs or dies.
    ("bindfs", "bindfs"),
    // By which users mount.
    ("fusermount3", "fuse3"),
    // A SCSI target.
    ("tgtd", "tgt"),
    // Storages: file systems, volume groups, a Ceph cluster of one node.
    ("e2fsck", "e2fsprogs"),
    ("fuse2fs", "fuse2fs"),
    ("mkfs.xfs", "xfsprogs"),
    ("mkfs.btrfs", "btrfs-progs"),
    // File systems that are read without being mounted.
    ("mkfs.vfat", "dosfstools"),
    ("mcopy", "mtools"),
    ("mkfs.exfat", "exfatprogs"),
    ("mount.exfat-fuse", "exfat-fuse"),
    ("cryptsetup", "cryptsetup-bin"),
    ("mkntfs", "ntfs-3g"),
    ("setfattr", "attr"),
    ("genisoimage", "genisoimage"),
    // What else reads them.
    ("7z", "p7zip-full"),
    ("sfdisk", "fdisk"),
    ("lvm", "lvm2"),
    ("thin_check", "thin-provisioning-tools"),
    ("ceph-mon", "ceph-mon"),
    ("ceph-mgr", "ceph-mgr"),
    ("ceph-osd", "ceph-osd"),
    ("ceph", "ceph-common"),
    // Guests with UEFI and a TPM.
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "ovmf"),
    ("swtpm", "swtpm"),
    // With which libvirt makes the state of a TPM.
    ("swtpm_setup", "swtpm-tools"),
    // The backup provider for Proxmox VE, with Perl's modules for tests.
    ("prove", "perl"),
    // What a restore makes for libvirt is checked by libvirt.
    ("virsh", "libvirt-clients"),
    // A libvirt of the tests' own, which needs no systemd.
    ("libvirtd", "libvirt-daemon"),
    ("xmllint", "libxml2-utils"),
    // The page of all backups is shown by a browser.
    ("chromium", "chromium"),
    // A mailer that takes mails to a server.
    ("msmtp", "msmtp"),
    // The units for nightly backups are checked by systemd, which need not run.
    ("systemd-analyze", "systemd"),
    // Our own packages are made, looked at, and installed on a system of their own.
    ("rpmbuild", "rpm"),
    ("lintian", "lintian"),
    ("mmdebstrap", "mmdebstrap"),
];

/// Installs what is missing, or says how to.
pub(crate) fn install() -> Outcome {
    let note = programs()?;
    peers::install()?;
    Ok(note)
}

fn programs() -> Outcome {
    let missing = missing();
    if missing.is_empty() {
        return Ok("nothing is missing".to_owned());
    }
    if !is_root() {
        return Err(format!(
            "some programs are missing; as root: apt-get install --no-install-recommends {}",
            missing.join(" ")
        ));
    }
    // The lists of packages may be missing or old; only then is there something to update.
    if simulate(&missing).and_then(|()| get(&missing)).is_err() {
        apt_get(&["update"], &[])?;
        simulate(&missing)?;
        get(&missing)?;
    }
    Ok(format!("installed {}", missing.join(" ")))
}

fn missing() -> Vec<&'static str> {
    PROGRAMS
        .iter()
        .filter(|(program, _)| !has(program))
        .map(|(_, package)| *package)
        .collect()
}

pub(crate) fn is_root() -> bool {
    Run::new("id", &["-u"])
        .quietly()
        .is_ok_and(|id| id.trim() == "0")
}

/// Fails if the installation would remove anything of the host's.
fn simulate(packages: &[&str]) -> Result<(), String> {
    let plan = apt_get(
        &["install", "--simulate", "--no-install-recommends"],
        packages,
    )?;
    match plan.lines().find(|line| line.starts_with("Remv ")) {
        None => Ok(()),
        Some(removal) => Err(format!(
            "installing {} would remove packages ({removal}); install them by hand",
            packages.join(" ")
        )),
    }
}

fn get(packages: &[&str]) -> Result<(), String> {
    let options = ["install", "--yes", "--no-install-recommends", "--no-remove"];
    apt_get(&options, packages).map(|_| ())
}

fn apt_get(options: &[&str], packages: &[&str]) -> Result<String, String> {
    Run::new("apt-get", &[options, packages].concat())
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("LC_ALL", "C")
        .quietly()
}
