//! The QEMUs of the lab.

use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::apt::{Apt, Suite};
use crate::command;
use crate::error::{Error, ErrorKind};
use crate::place;
use crate::tool::skip;

/// The suites whose QEMU the lab has, oldest first, and whether a test may miss it.
pub(crate) const SUITES: [(Suite, Need); 3] = [
    (suite("bookworm", false), Need::Always),
    (suite("bookworm", true), Need::Always),
    (suite("trixie", true), Need::WhereItCanBeHad),
];

const fn suite(release: &'static str, backports: bool) -> Suite {
    Suite { release, backports }
}

/// Whether the lab is complete without a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    Always,
    WhereItCanBeHad,
}

/// The programs that a version consists of.
const PROGRAMS: [&str; 5] = [
    "qemu-system-x86_64",
    "qemu-img",
    "qemu-io",
    "qemu-nbd",
    "qemu-storage-daemon",
];

/// A version of QEMU, as in `7.2.22`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a version has these three numbers"
)]
pub struct Version {
    /// The first number.
    pub major: u32,
    /// The second.
    pub minor: u32,
    /// The third.
    pub micro: u32,
}

/// One version of QEMU with its tools, unpacked from Debian's packages.
///
/// The commands run on their own libraries and see the host's files and sockets.
#[derive(Clone, Debug)]
pub struct Qemu {
    folder: PathBuf,
    version: Version,
}

/// All versions that the lab has, oldest first; none after a `SKIP:` line.
pub fn qemus() -> Vec<Qemu> {
    let mut found = Vec::new();
    for (suite, need) in SUITES {
        match Qemu::installed(suite) {
            Some(qemu) => found.push(qemu),
            None if need == Need::Always => skip(&missing(suite)),
            None => eprintln!("not tested with the QEMU of {}", suite.target()),
        }
    }
    found
}

/// The lab's QEMU whose version begins with `version`, such as `"10.0"`.
///
/// `None` where the lab lacks it; a `SKIP:` line says so, unless that version may be missing.
pub fn qemu(version: &str) -> Option<Qemu> {
    let prefix = format!("{version}.");
    qemus()
        .into_iter()
        .find(|qemu| format!("{}.", qemu.version).starts_with(&prefix))
}

impl Qemu {
    /// The version that the programs report.
    pub fn version(&self) -> Version {
        self.version
    }

    /// `qemu-system-x86_64`.
    pub fn system(&self) -> Command {
        self.program("qemu-system-x86_64")
    }

    /// `qemu-img`.
    pub fn img(&self) -> Command {
        self.program("qemu-img")
    }

    /// `qemu-io`.
    pub fn io(&self) -> Command {
        self.program("qemu-io")
    }

    /// `qemu-nbd`.
    pub fn nbd(&self) -> Command {
        self.program("qemu-nbd")
    }

    /// `qemu-storage-daemon`.
    pub fn storage_daemon(&self) -> Command {
        self.program("qemu-storage-daemon")
    }

    /// The folder of the programs above, fit for a `PATH`.
    pub fn programs(&self) -> PathBuf {
        self.folder.join("bin")
    }

    fn program(&self, name: &str) -> Command {
        Command::new(self.programs().join(name))
    }

    fn installed(suite: Suite) -> Option<Self> {
        let folder = place::qemu(&suite.target());
        let version = fs::read_to_string(folder.join("version")).ok()?;
        let version = Version::parse(&version)?;
        Some(Self { folder, version })
    }

    /// Takes the version from the lab, or fetches it there.
    pub(crate) fn prepare(suite: Suite) -> Result<Self, Error> {
        if let Some(installed) = Self::installed(suite) {
            return Ok(installed);
        }
        place::make(&place::qemu(&suite.target()), |folder| {
            let apt = Apt::open(suite, folder)?;
            // The last has what opens images on Ceph.
            let packages = ["qemu-system-x86", "qemu-utils", "qemu-block-extra"];
            apt.unpack_closure(&packages, folder)?;
            write_wrappers(folder)?;
            let mut system = Command::new(folder.join("bin/qemu-system-x86_64"));
            let text = command::output(system.arg("--version"))?;
            let version = Version::parse(&text).ok_or_else(|| {
                Error::new(ErrorKind::Unusable, format!("no version in '{text}'"))
            })?;
            write(&folder.join("version"), &format!("{version}\n"), 0o644)
        })?;
        Self::installed(suite).ok_or_else(|| Error::new(ErrorKind::Unusable, missing(suite)))
    }
}

impl Version {
    /// The first three dotted numbers in `text`.
    fn parse(text: &str) -> Option<Self> {
        text.split_whitespace().find_map(|word| {
            let mut numbers = word.split('.').map(|number| number.parse().ok());
            let mut next = || numbers.next().flatten();
            Some(Self {
                major: next()?,
                minor: next()?,
                micro: next()?,
            })
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.micro)
    }
}

fn missing(suite: Suite) -> String {
    format!(
        "the lab has no QEMU of {}: run `cargo xtask lab`",
        suite.target()
    )
}

/// Each program gets a script that runs it by its own dynamic linker, on its own libraries.
fn write_wrappers(folder: &Path) -> Result<(), Error> {
    let bin = folder.join("bin");
    fs::create_dir_all(&bin).map_err(Error::io(format!("make {}", bin.display())))?;
    for program in PROGRAMS {
        let firmware = if program.starts_with("qemu-system") {
            r#"-L "$here/usr/share/qemu" -L "$here/usr/share/seabios""#
        } else {
            ""
        };
        let script = format!(
            r#"#!/bin/sh
# Runs the program on the libraries and data that were unpacked with it.
here=$(dirname "$(readlink -f "$0")")/..
libraries=$here/lib/x86_64-linux-gnu:$here/usr/lib/x86_64-linux-gnu
linker=$here/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2
[ -e "$linker" ] || linker=$here/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2
export QEMU_MODULE_DIR="$here/usr/lib/x86_64-linux-gnu/qemu"
exec "$linker" --library-path "$libraries" "$here/usr/bin/{program}" {firmware} "$@"
"#
        );
        write(&bin.join(program), &script, 0o755)?;
    }
    Ok(())
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), Error> {
    fs::write(path, text)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)))
        .map_err(Error::io(format!("write {}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_in_what_qemu_prints() {
        let text = "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2+deb13u1~bpo12+1)\nCopyright";
        assert_eq!(
            Version::parse(text),
            Some(Version {
                major: 10,
                minor: 0,
                micro: 2
            })
        );
        assert_eq!(Version::parse("no version here"), None);
    }

    #[test]
    fn versions_are_ordered_by_number() {
        let version = |text| Version::parse(text).unwrap();
        assert!(version("7.2.22") < version("10.0.2"));
        assert!(version("10.0.2") < version("10.0.13"));
    }
}
