//! The files of a package, as they lie on the machine that has it installed.

use std::fs;
use std::path::{Path, PathBuf};

use super::maker::{Maker, failed, fresh};
use crate::run::workspace;

/// The programs without what only a debugger needs, in a folder of their own.
pub(super) fn stripped(maker: &Maker, programs: &Path) -> Result<PathBuf, String> {
    let folder = maker.folder.join("programs");
    fresh(&folder)?;
    for name in ["fleece", "vma"] {
        let (from, to) = (text(&programs.join(name)), text(&folder.join(name)));
        maker.run(
            "strip",
            &["--strip-all", "--remove-section=.comment", "-o", &to, &from],
        )?;
    }
    Ok(folder)
}

/// A folder that becomes a package.
pub(super) struct Tree<'a> {
    maker: &'a Maker,
    root: PathBuf,
}

impl<'a> Tree<'a> {
    pub(super) fn new(maker: &'a Maker, name: &str) -> Result<Self, String> {
        let root = maker.folder.join(name);
        fresh(&root)?;
        Ok(Self { maker, root })
    }

    pub(super) fn root(&self) -> String {
        text(&self.root)
    }

    /// What all packages have but the programs: units, man pages, completions, and what a person reads.
    pub(super) fn common(&self, zsh: &str) -> Result<(), String> {
        let assets = workspace().join("docs");
        for unit in names(&workspace().join("docs/systemd"))? {
            self.copy(
                &workspace().join("docs/systemd").join(&unit),
                &format!("usr/lib/systemd/system/{unit}"),
            )?;
        }
        for page in names(&assets.join("man"))? {
            let to = format!("usr/share/man/man1/{page}");
            self.copy(&assets.join("man").join(&page), &to)?;
            self.compress(&to)?;
        }
        for name in ["fleece", "vma"] {
            let completions = assets.join("completions");
            for (file, to) in [
                (
                    format!("{name}.bash"),
                    format!("usr/share/bash-completion/completions/{name}"),
                ),
                (format!("_{name}"), format!("{zsh}/_{name}")),
                (
                    format!("{name}.fish"),
                    format!("usr/share/fish/vendor_completions.d/{name}.fish"),
                ),
            ] {
                self.copy(&completions.join(file), &to)?;
            }
        }
        self.copy(
            &workspace().join("README.md"),
            "usr/share/doc/fleece/README.md",
        )?;
        let changes = "usr/share/doc/fleece/CHANGELOG.md";
        self.copy(&workspace().join("CHANGELOG.md"), changes)?;
        self.compress(changes)?;
        for page in names(&workspace().join("docs"))? {
            let from = workspace().join("docs").join(&page);
            if page.ends_with(".md") {
                self.copy(&from, &format!("usr/share/doc/fleece/docs/{page}"))?;
            }
        }
        self.copy(
            &workspace().join("docs/fleece.toml"),
            "usr/share/doc/fleece/examples/fleece.toml",
        )?;
        let pictures = workspace().join("docs/pictures");
        for picture in names(&pictures)? {
            let to = format!("usr/share/doc/fleece/docs/pictures/{picture}");
            self.copy(&pictures.join(&picture), &to)?;
        }
        self.folder("etc/fleece")
    }

    pub(super) fn folder(&self, to: &str) -> Result<(), String> {
        let path = self.root.join(to);
        fs::create_dir_all(&path).map_err(|error| failed(&path, &error))
    }

    pub(super) fn copy(&self, from: &Path, to: &str) -> Result<(), String> {
        let path = self.parent(to)?;
        let _size = fs::copy(from, &path).map_err(|error| failed(from, &error))?;
        Ok(())
    }

    pub(super) fn write(&self, to: &str, content: &str) -> Result<(), String> {
        let path = self.parent(to)?;
        fs::write(&path, content).map_err(|error| failed(&path, &error))
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> Result<(), String> {
        let path = self.parent(to)?;
        fs::rename(self.root.join(from), &path).map_err(|error| failed(&path, &error))
    }

    /// Puts a compressed file in the place of one.
    pub(super) fn compress(&self, name: &str) -> Result<(), String> {
        let path = text(&self.root.join(name));
        self.maker
            .run("gzip", &["--best", "--no-name", &path])
            .map(drop)
    }

    fn parent(&self, to: &str) -> Result<PathBuf, String> {
        let path = self.root.join(to);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|error| failed(parent, &error))?;
        }
        Ok(path)
    }

    /// Gives every file the rights that an installed one has, whatever the umask here is.
    pub(super) fn settle(&self) -> Result<(), String> {
        let rights = "u=rwX,go=rX";
        self.maker
            .run("chmod", &["--recursive", rights, &self.root()])
            .map(drop)
    }
}

fn names(folder: &Path) -> Result<Vec<String>, String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| failed(folder, &error))? {
        let entry = entry.map_err(|error| failed(folder, &error))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
