//! Readers of archives that others have written, from PyPI.

use std::fs;
use std::path::PathBuf;

use crate::run::{Run, workspace};

/// Fox-IT's dissect, the one reader of VMA found on PyPI. Pinned, so that a new release breaks nothing here.
const PACKAGES: [&str; 3] = [
    "dissect.archive==1.8",
    "dissect.cstruct==4.7",
    "dissect.util==3.24",
];

/// Where they are installed: what is put into Python's search path as `PYTHONPATH`.
pub(crate) fn folder() -> PathBuf {
    workspace().join("target/peers/python")
}

/// Installs them below `target`, unless they are there already.
pub(crate) fn install() -> Result<(), String> {
    let folder = folder();
    let list = folder.join("installed");
    let wanted = PACKAGES.join("\n");
    if fs::read_to_string(&list).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    let target = folder.display().to_string();
    let options = ["-m", "pip", "install", "--quiet", "--upgrade", "--no-deps"];
    let arguments = [&options[..], &["--target", &target], &PACKAGES[..]].concat();
    Run::new("python3", &arguments).quietly()?;
    fs::write(&list, wanted).map_err(|error| format!("{}: {error}", list.display()))
}
