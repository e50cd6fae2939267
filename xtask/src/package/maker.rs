//! How a package is made: from which commit, with which tools.

use std::fs;
use std::path::{Path, PathBuf};

use crate::run::{Outcome, Run, workspace};

/// What each package is made with.
pub(super) struct Maker {
    pub(super) folder: PathBuf,
    pub(super) version: &'static str,
    /// When the project last changed, in seconds since 1970: a package of the same commit is the same, byte for byte.
    pub(super) epoch: String,
}

impl Maker {
    /// Packages in this folder, of the project as it is committed.
    pub(super) fn new(folder: &Path) -> Result<Self, String> {
        let epoch = Run::new("git", &["log", "-1", "--format=%ct"]).quietly()?;
        Ok(Self {
            folder: folder.to_owned(),
            version: env!("CARGO_PKG_VERSION"),
            epoch: epoch.trim().to_owned(),
        })
    }

    /// The lines of one of our files, with what only the maker knows.
    pub(super) fn filled(&self, template: &str, rest: &[(&str, &str)]) -> Result<String, String> {
        let path = workspace().join("packaging").join(template);
        let mut text = fs::read_to_string(&path).map_err(|error| failed(&path, &error))?;
        text = text.replace("@VERSION@", self.version);
        for (name, value) in rest {
            text = text.replace(&format!("@{name}@"), value);
        }
        Ok(text)
    }

    pub(super) fn run(&self, program: &str, arguments: &[&str]) -> Outcome {
        Run::new(program, arguments)
            .env("SOURCE_DATE_EPOCH", &self.epoch)
            .env("LC_ALL", "C")
            .quietly()
    }
}

/// Makes an empty folder in place of whatever is there.
pub(super) fn fresh(folder: &Path) -> Result<(), String> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(|error| failed(folder, &error))?;
    }
    fs::create_dir_all(folder).map_err(|error| failed(folder, &error))
}

pub(super) fn failed(path: &Path, error: &dyn std::fmt::Display) -> String {
    format!("{}: {error}", path.display())
}
