//! What cargo knows of the workspace.

use serde_json::Value;

use crate::run::Run;

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
    pub(crate) dependencies: Vec<(String, Kind)>,
}

/// `cargo metadata`, without the crates of others.
pub(crate) fn read() -> Result<Value, String> {
    let text = Run::cargo(&["metadata", "--format-version=1", "--no-deps"]).quietly()?;
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
        })
        .collect()
}

fn text(value: &Value, key: &str) -> String {
    let text = value.get(key).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    let list = value.get(key).and_then(Value::as_array);
    list.map_or(&[], Vec::as_slice)
}
