//! Readers of archives that others have written, and a store, from PyPI.

use std::fs;
use std::path::PathBuf;

use crate::run::{Run, workspace};

/// Fox-IT's dissect, the one reader of VMA found on PyPI, and moto, which behaves as AWS' object storage, with what it
/// needs for that. Pinned, so that a new release breaks nothing here.
const PACKAGES: [&str; 31] = [
    "dissect.archive==1.8",
    "dissect.cstruct==4.7",
    "dissect.util==3.24",
    "moto==5.2.5",
    "blinker==1.9.0",
    "boto3==1.44.8",
    "botocore==1.44.8",
    "certifi==2026.10.19.post1",
    "cffi==2.1.1",
    "charset-normalizer==3.5.3",
    "click==8.5.1",
    "cryptography==50.0.2",
    "flask==3.1.3",
    "flask-cors==6.0.5",
    "idna==3.20",
    "itsdangerous==2.2.0",
    "jinja2==3.1.6",
    "jmespath==1.1.0",
    "markupsafe==3.0.4",
    "py-partiql-parser==0.6.3",
    "pycparser==3.12",
    "python-dateutil==2.9.0.post0",
    "pyyaml==6.0.4",
    "requests==2.34.2",
    "responses==0.26.3",
    "s3transfer==0.19.3",
    "six==1.17.0",
    "typing-extensions==4.16.0",
    "urllib3==2.8.0",
    "werkzeug==3.1.9",
    "xmltodict==1.0.4",
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
