//! Debian packages, fetched and unpacked without installing anything.
//!
//! Each fetch has an apt of its own: its own list of sources, an empty list of installed packages, its
//! own caches. So a package's whole closure comes along, whatever the host has, and nothing of the
//! host's packages is touched; no root is needed. Of the host's apt only the mirror, the settings for
//! downloading (proxies) and the keys are used.

mod host;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::command;
use crate::error::{Error, ErrorKind};
use host::Mirrors;

/// Debian's keys, from the package `debian-archive-keyring`.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A release of Debian, perhaps with its backports.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Suite {
    /// The release, such as `bookworm`.
    pub(crate) release: &'static str,
    /// Whether packages come from the release's backports where these have them.
    pub(crate) backports: bool,
}

/// An apt with a suite's packages to fetch.
#[derive(Debug)]
pub(crate) struct Apt {
    folder: TempDir,
    target: String,
}

impl Apt {
    /// Fetches the lists of packages. Temporary files go below `scratch`.
    pub(crate) fn open(suite: Suite, scratch: &Path) -> Result<Self, Error> {
        if !Path::new(KEYRING).exists() {
            return Err(Error::new(
                ErrorKind::Unusable,
                format!("{KEYRING} is missing: install the package debian-archive-keyring"),
            ));
        }
        let folder = tempfile::Builder::new()
            .prefix("apt-")
            .tempdir_in(scratch)
            .map_err(Error::io(format!("make a folder in {}", scratch.display())))?;
        let apt = Self {
            folder,
            target: suite.target(),
        };
        apt.write("status", "")?;
        let mirrors = Mirrors::of_host().ok_or_else(|| {
            Error::new(
                ErrorKind::Unusable,
                "the host's apt sources name no mirror of Debian; add one to /etc/apt/sources.list.d",
            )
        })?;
        apt.write("sources.list", &suite.sources(&mirrors))?;
        apt.write("apt.conf", &apt.configuration()?)?;
        for folder in ["lists/partial", "archives/partial", "none"] {
            let path = apt.path(folder);
            fs::create_dir_all(&path).map_err(Error::io(format!("make {}", path.display())))?;
        }
        command::output(apt.command("apt-get").arg("update"))?;
        Ok(apt)
    }

    /// Unpacks `packages` and all that they depend on into `folder`.
    pub(crate) fn unpack_closure(&self, packages: &[&str], folder: &Path) -> Result<(), Error> {
        let mut get = self.command("apt-get");
        get.args(["--yes", "--download-only", "--target-release", &self.target])
            .arg("install")
            .args(packages);
        command::output(&mut get)?;
        unpack_all(&self.path("archives"), folder)
    }

    /// Unpacks `package` alone into `folder`.
    pub(crate) fn unpack(&self, package: &str, folder: &Path) -> Result<(), Error> {
        let download = self.path("download");
        fs::create_dir_all(&download).map_err(Error::io(format!("make {}", download.display())))?;
        let mut get = self.command("apt-get");
        get.args(["download", package]).current_dir(&download);
        command::output(&mut get)?;
        unpack_all(&download, folder)?;
        fs::remove_dir_all(&download).map_err(Error::io(format!("remove {}", download.display())))
    }

    /// The first package that the metapackage `package` depends on.
    pub(crate) fn dependency(&self, package: &str) -> Result<String, Error> {
        let mut cache = self.command("apt-cache");
        let text = command::output(cache.args(["depends", "--important", package]))?;
        text.lines()
            .find_map(|line| line.trim().strip_prefix("Depends: "))
            .map(str::to_owned)
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::Unusable,
                    format!("{package} depends on nothing: {text}"),
                )
            })
    }

    /// The host's settings for downloads, then ours.
    fn configuration(&self) -> Result<String, Error> {
        let host = command::output(Command::new("apt-config").arg("dump"))?;
        let mut lines: Vec<String> = host
            .lines()
            .filter(|line| line.starts_with("Acquire::"))
            .map(str::to_owned)
            .collect();
        let path = |name: &str| self.path(name).display().to_string();
        for (name, value) in [
            ("Dir::State", path("")),
            ("Dir::State::lists", path("lists")),
            ("Dir::State::status", path("status")),
            ("Dir::Cache", path("")),
            ("Dir::Cache::archives", path("archives")),
            ("Dir::Etc::sourcelist", path("sources.list")),
            ("Dir::Etc::sourceparts", path("none")),
            ("Dir::Etc::main", path("none/apt.conf")),
            ("Dir::Etc::parts", path("none")),
            ("Dir::Etc::preferences", path("none/preferences")),
            ("Dir::Etc::preferencesparts", path("none")),
            ("Acquire::Languages", "none".to_owned()),
            ("APT::Architecture", "amd64".to_owned()),
            ("APT::Install-Recommends", "false".to_owned()),
            // The folder is ours alone; apt's own user could not write there.
            ("APT::Sandbox::User", String::new()),
            // By default a list that cannot be fetched is only a warning.
            ("APT::Update::Error-Mode", "any".to_owned()),
        ] {
            lines.push(format!("{name} \"{value}\";"));
        }
        lines.push("#clear APT::Architectures;".to_owned());
        lines.push("APT::Architectures { \"amd64\"; };\n".to_owned());
        Ok(lines.join("\n"))
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command
            .env("APT_CONFIG", self.path("apt.conf"))
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("LC_ALL", "C")
            .arg("--quiet");
        command
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Error> {
        let path = self.path(name);
        fs::write(&path, text).map_err(Error::io(format!("write {}", path.display())))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Suite {
    /// Its name for people and for folders.
    pub(crate) fn target(self) -> String {
        if self.backports {
            format!("{}-backports", self.release)
        } else {
            self.release.to_owned()
        }
    }

    fn sources(self, mirrors: &Mirrors) -> String {
        let (release, main, security) = (self.release, &mirrors.main, &mirrors.security);
        let mut sources = vec![
            (main, release.to_owned()),
            (main, format!("{release}-updates")),
            (security, format!("{release}-security")),
        ];
        if self.backports {
            sources.push((main, format!("{release}-backports")));
        }
        sources
            .iter()
            .map(|(mirror, suite)| format!("deb [signed-by={KEYRING}] {mirror} {suite} main\n"))
            .collect()
    }
}

fn unpack_all(archives: &Path, folder: &Path) -> Result<(), Error> {
    let read = |error| Error::io(format!("read {}", archives.display()))(error);
    for entry in fs::read_dir(archives).map_err(read)? {
        let archive = entry.map_err(read)?.path();
        if archive.extension().is_some_and(|end| end == "deb") {
            let mut unpack = Command::new("dpkg-deb");
            command::output(unpack.arg("--extract").arg(&archive).arg(folder))?;
        }
    }
    Ok(())
}
