//! Packages for who installs: Debian, RPM, and an archive that needs no installation.
//!
//! All have the same programs, which need no library of the machine. So one package is for each release of a
//! distribution, and is made on any.

mod check;
mod debian;
mod rpm;
mod tarball;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};

use crate::musl;
use crate::run::{Outcome, Run, workspace};

pub(crate) use check::check;

/// Builds the programs as they are released, and packs them to `target/package`.
pub(crate) fn build() -> Outcome {
    let packages = Packages::pack(&musl::release()?)?;
    Ok(format!("written to {}", packages.folder.display()))
}

/// What was packed.
struct Packages {
    folder: PathBuf,
    /// `fleece`, for Debian.
    debian: PathBuf,
    /// `fleece-proxmox`, the Perl modules for a Proxmox host.
    proxmox: PathBuf,
    rpm: PathBuf,
    tarball: PathBuf,
}

impl Packages {
    /// Packs the two programs in the folder `programs`.
    fn pack(programs: &Path) -> Result<Self, String> {
        let folder = workspace().join("target/package");
        let epoch = last_change()?;
        fresh(&folder)?;
        Run::cargo(&[
            "run",
            "--quiet",
            "--package=xtask",
            "--all-features",
            "--",
            "assets",
        ])
        .quietly()?;
        let maker = Maker {
            folder: folder.clone(),
            version: env!("CARGO_PKG_VERSION"),
            epoch,
        };
        let programs = tree::stripped(&maker, programs)?;
        Ok(Self {
            debian: debian::fleece(&maker, &programs)?,
            proxmox: debian::fleece_proxmox(&maker)?,
            rpm: rpm::pack(&maker, &programs)?,
            tarball: tarball::pack(&maker, &programs)?,
            folder,
        })
    }
}

/// What each package is made with.
struct Maker {
    folder: PathBuf,
    version: &'static str,
    /// When the project last changed, in seconds since 1970: a package of the same commit is the same, byte for byte.
    epoch: String,
}

impl Maker {
    /// The lines of one of our files, with what only the maker knows.
    fn filled(&self, template: &str, rest: &[(&str, &str)]) -> Result<String, String> {
        let path = workspace().join("packaging").join(template);
        let mut text = fs::read_to_string(&path).map_err(|error| failed(&path, &error))?;
        text = text.replace("@VERSION@", self.version);
        for (name, value) in rest {
            text = text.replace(&format!("@{name}@"), value);
        }
        Ok(text)
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Outcome {
        Run::new(program, arguments)
            .env("SOURCE_DATE_EPOCH", &self.epoch)
            .env("LC_ALL", "C")
            .quietly()
    }
}

fn last_change() -> Outcome {
    let epoch = Run::new("git", &["log", "-1", "--format=%ct"]).quietly()?;
    Ok(epoch.trim().to_owned())
}

/// Makes an empty folder in place of whatever is there.
fn fresh(folder: &Path) -> Result<(), String> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(|error| failed(folder, &error))?;
    }
    fs::create_dir_all(folder).map_err(|error| failed(folder, &error))
}

fn failed(path: &Path, error: &dyn std::fmt::Display) -> String {
    format!("{}: {error}", path.display())
}
