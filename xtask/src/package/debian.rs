//! Debian packages, put together by `dpkg-deb`.

use std::path::{Path, PathBuf};

use super::maker::{Maker, failed};
use super::tree::Tree;
use crate::run::workspace;

/// The programs.
pub(super) fn fleece(maker: &Maker, programs: &Path) -> Result<PathBuf, String> {
    let tree = Tree::new(maker, "debian")?;
    tree.common("usr/share/zsh/vendor-completions")?;
    tree.copy(&programs.join("fleece"), "usr/bin/fleece")?;
    // `/usr/bin/vma` is Proxmox's on Proxmox hosts; elsewhere `postinst` makes it an alternative to ours.
    tree.copy(&programs.join("vma"), "usr/lib/fleece/vma")?;
    tree.rename(
        "usr/share/man/man1/vma.1.gz",
        "usr/share/man/man1/fleece-vma.1.gz",
    )?;
    tree.write(
        "usr/share/lintian/overrides/fleece",
        &maker.filled("debian/fleece/lintian-overrides", &[])?,
    )?;
    for script in ["postinst", "prerm", "postrm"] {
        let content = maker.filled(&format!("debian/fleece/{script}"), &[])?;
        tree.write(&format!("DEBIAN/{script}"), &content)?;
    }
    pack(maker, &tree, "fleece", "amd64")
}

/// The Perl modules for a Proxmox host.
pub(super) fn fleece_proxmox(maker: &Maker) -> Result<PathBuf, String> {
    let tree = Tree::new(maker, "proxmox")?;
    for module in [
        "PVE/Storage/Custom/FleecePlugin.pm",
        "PVE/BackupProvider/Plugin/Fleece.pm",
        "PVE/BackupProvider/Fleece/Process.pm",
    ] {
        let from = workspace().join("proxmox/lib").join(module);
        tree.copy(&from, &format!("usr/share/perl5/{module}"))?;
    }
    let content = maker.filled("debian/fleece-proxmox/triggers", &[])?;
    tree.write("DEBIAN/triggers", &content)?;
    pack(maker, &tree, "fleece-proxmox", "all")
}

fn pack(maker: &Maker, tree: &Tree<'_>, name: &str, machine: &str) -> Result<PathBuf, String> {
    let licence = workspace().join("LICENSE-MIT");
    let licence = std::fs::read_to_string(&licence).map_err(|error| failed(&licence, &error))?;
    let copyright = maker.filled("debian/copyright", &[("MIT", &indented(&licence))])?;
    tree.write(&format!("usr/share/doc/{name}/copyright"), &copyright)?;
    let date = maker.run(
        "date",
        &["--utc", "--rfc-email", &format!("--date=@{}", maker.epoch)],
    )?;
    let changes = [("NAME", name), ("DATE", date.trim())];
    let changelog = format!("usr/share/doc/{name}/changelog.gz");
    let plain = changelog.trim_end_matches(".gz");
    tree.write(plain, &maker.filled("debian/changelog", &changes)?)?;
    tree.compress(plain)?;

    let root = tree.root();
    let used = maker.run(
        "du",
        &["--summarize", "--apparent-size", "--block-size=1024", &root],
    )?;
    let size = used.split_whitespace().next().unwrap_or("0");
    let control = maker.filled(&format!("debian/{name}/control"), &[("SIZE", size)])?;
    tree.write("DEBIAN/control", &control)?;
    tree.write("DEBIAN/md5sums", &sums(maker, &root)?)?;
    tree.settle()?;
    for program in ["usr/bin", "usr/lib/fleece", "DEBIAN"] {
        executable(maker, &root, program)?;
    }
    let package = maker
        .folder
        .join(format!("{name}_{}_{machine}.deb", maker.version));
    maker.run(
        "dpkg-deb",
        &[
            "--root-owner-group",
            // Readable by each dpkg.
            "-Zxz",
            "--build",
            &root,
            &package.display().to_string(),
        ],
    )?;
    Ok(package)
}

/// A blank before each line, and a full stop where there is nothing, as fields of Debian's files have it.
fn indented(text: &str) -> String {
    let lines = text.trim_end().lines().map(|line| {
        let line = if line.is_empty() { "." } else { line };
        format!(" {line}")
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The checksums by which `dpkg --verify` finds changed files.
fn sums(maker: &Maker, root: &str) -> Result<String, String> {
    let script =
        "cd \"$0\" && find * -path DEBIAN -prune -o -type f -print0 | sort -z | xargs -0 md5sum";
    maker.run("sh", &["-c", script, root])
}

/// Programs and a package's scripts, which have no ending.
fn executable(maker: &Maker, root: &str, folder: &str) -> Result<(), String> {
    let folder = format!("{root}/{folder}");
    if !Path::new(&folder).exists() {
        return Ok(());
    }
    let not = "! -name control ! -name md5sums ! -name triggers";
    let script = format!("find \"$0\" -type f {not} -exec chmod 755 {{}} +");
    maker.run("sh", &["-c", &script, &folder]).map(drop)
}
