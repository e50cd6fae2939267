//! What cargo knows of the workspace.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::run::{Run, workspace};

/// A member's dependency on another member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// For its library or programs.
    Normal,
    /// For its tests and benches only.
    Development,
}

/// A member of the workspace.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    /// Where it is in the workspace.
    pub(crate) folder: String,
    pub(crate) dependencies: Vec<(String, Kind)>,
    /// The files in the workspace that its library and programs start with.
    pub(crate) roots: Vec<PathBuf>,
    /// The files of its examples.
    pub(crate) examples: Vec<PathBuf>,
}

/// A crate of others that ours are built with, on any system.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Foreign {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: String,
    /// Where it comes from, as `Cargo.lock` names it.
    pub(crate) source: String,
}

/// `cargo metadata`, without the crates of others.
pub(crate) fn read() -> Result<Value, String> {
    ask(&["--no-deps"])
}

/// The crates of others, as `Cargo.lock` has them.
pub(crate) fn foreign() -> Result<Vec<Foreign>, String> {
    let metadata = ask(&["--all-features", "--locked"])?;
    let foreign = |package: &Value| Foreign {
        name: text(package, "name"),
        version: text(package, "version"),
        license: text(package, "license"),
        source: text(package, "source"),
    };
    // Ours come from a path, which has no source.
    Ok(list(&metadata, "packages")
        .iter()
        .filter(|package| package.get("source").is_some_and(Value::is_string))
        .map(foreign)
        .collect())
}

fn ask(options: &[&str]) -> Result<Value, String> {
    let text = Run::cargo(&[&["metadata", "--format-version=1"], options].concat()).quietly()?;
    serde_json::from_str(&text).map_err(|error| format!("cargo metadata: {error}"))
}

/// Whether any member has a benchmark.
pub(crate) fn has_benchmarks(metadata: &Value) -> bool {
    list(metadata, "packages")
        .iter()
        .flat_map(|package| list(package, "targets"))
        .flat_map(|target| list(target, "kind"))
        .any(|kind| kind == "bench")
}

/// The members, each with all of its dependencies.
pub(crate) fn members(metadata: &Value) -> Vec<Member> {
    list(metadata, "packages")
        .iter()
        .map(|package| Member {
            name: text(package, "name"),
            folder: folder(&text(package, "manifest_path")),
            dependencies: list(package, "dependencies")
                .iter()
                .map(|dependency| {
                    let kind = match text(dependency, "kind").as_str() {
                        "dev" => Kind::Development,
                        _ => Kind::Normal,
                    };
                    (text(dependency, "name"), kind)
                })
                .collect(),
            roots: sources(package, &["lib", "bin"]),
            examples: sources(package, &["example"]),
        })
        .collect()
}

/// The files that a package's targets of these kinds start with.
fn sources(package: &Value, kinds: &[&str]) -> Vec<PathBuf> {
    list(package, "targets")
        .iter()
        .filter(|target| {
            let mut kind = list(target, "kind").iter().filter_map(Value::as_str);
            kind.any(|kind| kinds.contains(&kind))
        })
        .map(|target| inside(&text(target, "src_path")))
        .collect()
}

/// The folder of a manifest, relative to the workspace's.
fn folder(manifest: &str) -> String {
    let manifest = inside(manifest);
    let folder = manifest.parent().unwrap_or_else(|| Path::new(""));
    folder.display().to_string()
}

/// A path relative to the workspace's folder.
fn inside(path: &str) -> PathBuf {
    let path = Path::new(path);
    path.strip_prefix(workspace()).unwrap_or(path).to_owned()
}

pub(crate) fn text(value: &Value, key: &str) -> String {
    let text = value.get(key).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

pub(crate) fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    let list = value.get(key).and_then(Value::as_array);
    list.map_or(&[], Vec::as_slice)
}
