//! An RPM package, put together by `rpmbuild`.

use std::path::{Path, PathBuf};

use super::maker::{Maker, failed};
use super::tree::Tree;

pub(super) fn pack(maker: &Maker, programs: &Path) -> Result<PathBuf, String> {
    let tree = Tree::new(maker, "rpm")?;
    tree.common("usr/share/zsh/site-functions")?;
    for name in ["fleece", "vma"] {
        tree.copy(&programs.join(name), &format!("usr/bin/{name}"))?;
    }
    tree.settle()?;
    let spec = maker.folder.join("fleece.spec");
    let content = maker.filled("rpm/fleece.spec", &[("TREE", &tree.root())])?;
    std::fs::write(&spec, content).map_err(|error| failed(&spec, &error))?;
    let top = format!("_topdir {}", maker.folder.join("rpmbuild").display());
    let to = format!("_rpmdir {}", maker.folder.display());
    maker.run(
        "rpmbuild",
        &[
            "-bb",
            "--quiet",
            "--define",
            &top,
            "--define",
            &to,
            "--define",
            "_build_name_fmt %{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}.rpm",
            // The same wherever and whenever it is built, and readable by each rpm.
            "--define",
            "_buildhost localhost",
            "--define",
            "use_source_date_epoch_as_buildtime 1",
            "--define",
            "_binary_payload w9.zstdio",
            &spec.display().to_string(),
        ],
    )?;
    Ok(maker
        .folder
        .join(format!("fleece-{}-1.x86_64.rpm", maker.version)))
}
