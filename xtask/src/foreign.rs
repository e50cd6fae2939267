//! Programs for other systems than the one that builds them: as they are released, and as they are soonest built.

pub(crate) mod trial;

use std::path::PathBuf;

use crate::run::{Run, add_target, workspace};

/// Everything is compiled for a target anew, so without what costs time: what is fast enough for a test's archive.
const QUICKLY: [&str; 4] = [
    "--config=profile.dev.debug=false",
    "--config=profile.dev.package.\"*\".opt-level=0",
    "--config=profile.dev.package.fleece-vma-format.opt-level=0",
    "--quiet",
];

/// What is built, and for what.
pub(crate) struct Foreign {
    /// As Rust calls the system.
    pub(crate) target: &'static str,
    /// `--bins`, or one.
    pub(crate) programs: &'static str,
    /// Which compiler and linker are for it, where that is not known by itself.
    pub(crate) environment: &'static [(&'static str, &'static str)],
}

impl Foreign {
    /// As they are released: the folder in which they are.
    pub(crate) fn release(&self) -> Result<PathBuf, String> {
        let _added = add_target(self.target)?;
        self.build(&["--release", "--locked"], "release")
    }

    /// As they are soonest built: the folder, or why this machine cannot.
    pub(crate) fn quickly(&self) -> Result<Result<PathBuf, String>, String> {
        match add_target(self.target) {
            Ok(_) => self.build(&QUICKLY, "debug").map(Ok),
            Err(why) => Ok(Err(why)),
        }
    }

    fn build(&self, options: &[&str], folder: &str) -> Result<PathBuf, String> {
        let build = [
            "build",
            self.programs,
            "--package=fleece-bins",
            "--target",
            self.target,
        ];
        let mut cargo = Run::cargo(&[&build[..], options].concat());
        for (name, value) in self.environment {
            cargo = cargo.env(name, *value);
        }
        cargo.quietly()?;
        Ok(workspace().join("target").join(self.target).join(folder))
    }
}
