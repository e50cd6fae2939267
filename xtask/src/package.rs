//! Packages for who installs: Debian, RPM, and an archive that needs no installation.
//!
//! All have the same programs, which need no library of the machine. So one package is for each release of a
//! distribution, and is made on any.

mod check;
mod debian;
mod maker;
mod packed;
mod rpm;
mod tarball;
mod tree;

use crate::musl;
use crate::run::Outcome;
use crate::windows;
use packed::Packages;

pub(crate) use check::check;

/// Builds the programs as they are released, and packs them to `target/package`.
pub(crate) fn build() -> Outcome {
    let packages = Packages::pack(&musl::PROGRAMS.release()?)?;
    windows::release(&packages.folder)?;
    Ok(format!("written to {}", packages.folder.display()))
}
