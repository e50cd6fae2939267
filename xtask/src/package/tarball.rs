//! An archive of the programs for who installs nothing, or has another distribution.

use std::path::{Path, PathBuf};

use super::maker::Maker;
use super::tree::Tree;
use crate::run::workspace;

pub(super) fn pack(maker: &Maker, programs: &Path) -> Result<PathBuf, String> {
    let name = format!("fleece-{}-x86_64-linux", maker.version);
    let tree = Tree::new(maker, &name)?;
    for program in ["fleece", "vma"] {
        tree.copy(&programs.join(program), program)?;
    }
    for file in ["README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE"] {
        tree.copy(&workspace().join(file), file)?;
    }
    for (folder, to) in [("docs", "docs"), ("proxmox/lib", "proxmox")] {
        let from = workspace().join(folder).display().to_string();
        let to = format!("{}/{to}", tree.root());
        maker.run("cp", &["--recursive", &from, &to])?;
    }
    for folder in ["man", "completions"] {
        tree.rename(&format!("docs/{folder}"), folder)?;
    }
    tree.settle()?;
    let package = maker.folder.join(format!("{name}.tar.gz"));
    maker.run(
        "tar",
        &[
            "--create",
            &format!("--file={}", package.display()),
            "--use-compress-program=gzip --best --no-name",
            &format!("--directory={}", maker.folder.display()),
            "--sort=name",
            "--owner=root:0",
            "--group=root:0",
            &format!("--mtime=@{}", maker.epoch),
            &name,
        ],
    )?;
    Ok(package)
}
