//! The packages, installed, used and removed on a system that has nothing else.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use super::maker::{failed, fresh};
use super::packed::Packages;
use crate::musl;
use crate::packages::is_root;
use crate::run::{Outcome, Run, workspace};

/// Releases of Debian that the package is for.
const SUITES: [&str; 2] = ["bookworm", "trixie"];
/// An archive that every `vma` can read.
const ARCHIVE: &str = "vma-format/tests/data/single.vma.lzo";

/// With the programs as they are built for tests: of the packages, only the speed is another.
pub(crate) fn check() -> Outcome {
    let Ok(programs) = musl::PROGRAMS.quickly()? else {
        return Ok("not checked: Rust lacks the target".to_owned());
    };
    let packages = Packages::pack(&programs)?;
    lint(&packages)?;
    unpack(&packages)?;
    if !is_root() {
        return Ok("not installed: that needs root".to_owned());
    }
    install_rpm(&packages)?;
    let proxmox = stand_in(&packages)?;
    thread::scope(|scope| {
        let trials = SUITES.map(|suite| {
            let (packages, proxmox) = (&packages, &proxmox);
            scope.spawn(move || install(suite, packages, proxmox))
        });
        trials
            .into_iter()
            .map(|trial| trial.join().unwrap_or_else(|_| Err("a panic".to_owned())))
            .collect::<Result<Vec<()>, String>>()
    })?;
    Ok(format!("installed and purged on {}", SUITES.join(", ")))
}

/// What Debian expects of a package.
fn lint(packages: &Packages) -> Result<(), String> {
    let (fleece, proxmox) = (text(&packages.debian), text(&packages.proxmox));
    let options = ["--allow-root", "--fail-on=error,warning"];
    Run::new("lintian", &[&options[..], &[&*fleece, &*proxmox]].concat())
        .env("LC_ALL", "C.UTF-8")
        .quietly()
        .map(drop)
}

/// The archive that needs no installation.
fn unpack(packages: &Packages) -> Result<(), String> {
    let folder = packages.folder.join("unpacked");
    fresh(&folder)?;
    let into = format!("--directory={}", folder.display());
    let package = text(&packages.tarball);
    Run::new(
        "tar",
        &[
            "--extract",
            "--strip-components=1",
            "--file",
            &package,
            &into,
        ],
    )
    .quietly()?;
    Run::new(&text(&folder.join("vma")), &["verify", ARCHIVE]).quietly()?;
    Run::new(&text(&folder.join("fleece")), &["--version"])
        .quietly()
        .map(drop)
}

/// Into a folder with a database of its own, and out again. There is no system of RPM's kind to be had here.
fn install_rpm(packages: &Packages) -> Result<(), String> {
    let root = packages.folder.join("rpm-root");
    fresh(&root)?;
    let into = format!("--root={}", root.display());
    // A package that asked for anything of the host would need what this root has not.
    Run::new("rpm", &[&into, "--install", &text(&packages.rpm)]).quietly()?;
    Run::new("rpm", &[&into, "--verify", "fleece"]).quietly()?;
    Run::new(&text(&root.join("usr/bin/vma")), &["verify", ARCHIVE]).quietly()?;
    let example = text(&root.join("usr/share/doc/fleece/examples/fleece.toml"));
    Run::new(&text(&root.join("usr/bin/fleece")), &["config", "check"])
        .env("FLEECE_CONFIG", example)
        .quietly()?;
    Run::new("rpm", &[&into, "--erase", "fleece"]).quietly()?;
    for left in ["usr/bin/fleece", "usr/share/doc/fleece", "etc/fleece"] {
        if root.join(left).exists() {
            return Err(format!("{} removed leaves {left}", packages.rpm.display()));
        }
    }
    Ok(())
}

/// A package that has Proxmox's `vma` where Proxmox has it; of the rest nothing.
fn stand_in(packages: &Packages) -> Result<PathBuf, String> {
    let tree = packages.folder.join("pve-qemu-kvm");
    fresh(&tree.join("DEBIAN"))?;
    fresh(&tree.join("usr/bin"))?;
    let control = "Package: pve-qemu-kvm\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\n\
                   Description: a vma that is not ours\n";
    for (name, content) in [
        ("DEBIAN/control", control),
        ("usr/bin/vma", "#!/bin/sh\necho of Proxmox\n"),
    ] {
        let path = tree.join(name);
        fs::write(&path, content).map_err(|error| failed(&path, &error))?;
    }
    let vma = text(&tree.join("usr/bin/vma"));
    Run::new("chmod", &["755", &vma]).quietly()?;
    let package = packages.folder.join("pve-qemu-kvm.deb");
    let build = ["--root-owner-group", "-Zxz", "--build"];
    Run::new(
        "dpkg-deb",
        &[&build[..], &[&*text(&tree), &*text(&package)]].concat(),
    )
    .quietly()?;
    Ok(package)
}

/// What happens on each system, as its own shell does it.
const TRIAL: &str = r#"
set -eu
cd /trial
is_ours() { vma --version | grep -q '^vma [0-9]'; }

dpkg --install fleece.deb >/dev/null
is_ours
vma verify archive.vma.lzo
mkdir out && vma extract archive.vma.lzo out/disks >/dev/null
fleece --version
fleece storage list >/dev/null
dpkg --verify fleece
FLEECE_CONFIG=/usr/share/doc/fleece/examples/fleece.toml fleece config check
FLEECE_CONFIG=/usr/share/doc/fleece/examples/fleece.toml fleece config show web1 | grep -q '^bwlimit *100M'
bash -n /usr/share/bash-completion/completions/fleece
mkdir -p /var/lib/fleece && touch /var/lib/fleece/100

# Proxmox's program takes the place of ours, and keeps it.
dpkg --install pve-qemu-kvm.deb >/dev/null
[ "$(vma)" = 'of Proxmox' ]
/usr/lib/fleece/vma verify archive.vma.lzo
dpkg --remove fleece >/dev/null
[ "$(vma)" = 'of Proxmox' ]
[ -e /var/lib/fleece/100 ]
dpkg --install fleece.deb >/dev/null 2>&1
[ "$(vma)" = 'of Proxmox' ]
dpkg --purge pve-qemu-kvm >/dev/null

# Over itself, as an upgrade is.
dpkg --install fleece.deb >/dev/null
is_ours

# The modules want Proxmox's own, which are not there.
! dpkg --install fleece-proxmox.deb >/dev/null 2>&1
dpkg --purge fleece-proxmox >/dev/null
dpkg --purge fleece >/dev/null
"#;

fn install(suite: &str, packages: &Packages, proxmox: &Path) -> Result<(), String> {
    let root = packages.folder.join(suite);
    // The smallest system that has a package manager.
    let options = ["--quiet", "--variant=essential", suite];
    let before = text(&root);
    Run::new("mmdebstrap", &[&options[..], &[&*before]].concat()).quietly()?;
    let names = installed(&root)?;
    let trial = root.join("trial");
    fresh(&trial)?;
    for (from, to) in [
        (&*packages.debian, "fleece.deb"),
        (&*packages.proxmox, "fleece-proxmox.deb"),
        (proxmox, "pve-qemu-kvm.deb"),
        (&*workspace().join(ARCHIVE), "archive.vma.lzo"),
    ] {
        let _size = fs::copy(from, trial.join(to)).map_err(|error| failed(from, &error))?;
    }
    Run::new("chroot", &[&before, "sh", "-c", TRIAL])
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .quietly()
        .map_err(|error| format!("on {suite}: {error}"))?;
    fs::remove_dir_all(&trial).map_err(|error| failed(&trial, &error))?;
    let left: Vec<String> = installed(&root)?
        .into_iter()
        .filter(|name| !names.contains(name))
        .collect();
    if left.is_empty() {
        Ok(())
    } else {
        Err(format!("purged on {suite}, it leaves {}", left.join(" ")))
    }
}

/// The names of all files but those of the package manager itself.
fn installed(root: &Path) -> Result<Vec<String>, String> {
    let root = text(root);
    let own = ["var/lib/dpkg", "var/cache", "var/log", "tmp"];
    let names = Run::new("find", &[&root, "-xdev", "-printf", "%P\\n"]).quietly()?;
    let names = names
        .lines()
        .filter(|name| !own.iter().any(|own| name.starts_with(own)));
    Ok(names.map(str::to_owned).collect())
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
