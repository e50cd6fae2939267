//! What a registry and its readers want of the libraries.
//!
//! That each builds from its package alone takes minutes; whoever releases checks that (`docs/RELEASING.md`).

use std::fs;

use serde_json::Value;

use crate::metadata;
use crate::run::{Outcome, Run, workspace};

/// A registry takes ten times as much; nothing of ours but a reader's tests is large, and those stay at home.
const MOST_BYTES: u64 = 1 << 20;

/// What every package holds.
const FILES: [&str; 4] = ["Cargo.toml", "README.md", "LICENSE-MIT", "LICENSE-APACHE"];

pub(crate) fn check() -> Outcome {
    let metadata = metadata::read()?;
    let packages = metadata::list(&metadata, "packages");
    let published: Vec<&Value> = packages.iter().filter(|it| is_published(it)).collect();
    let mut breaches = Vec::new();
    for package in &published {
        let name = metadata::text(package, "name");
        let list = ["package", "--list", "--allow-dirty", "--package", &name];
        let files = Run::cargo(&list).quietly()?;
        let missing = missing(package, &files);
        breaches.extend(missing.iter().map(|what| format!("{name} has no {what}")));
    }
    // Packages all, each with the others in the place of the registry.
    let dry = ["publish", "--workspace", "--dry-run", "--no-verify"];
    Run::cargo(&[&dry[..], &["--allow-dirty", "--quiet"]].concat()).quietly()?;
    for package in &published {
        let (name, version) = (
            metadata::text(package, "name"),
            metadata::text(package, "version"),
        );
        let file = workspace().join(format!("target/package/{name}-{version}.crate"));
        // Whose target folder is elsewhere has checked the rest.
        let size = fs::metadata(file).map_or(0, |file| file.len());
        if size > MOST_BYTES {
            breaches.push(format!("{name} has {size} bytes when packed"));
        }
    }
    if breaches.is_empty() {
        Ok(format!("{} libraries", published.len()))
    } else {
        Err(breaches.join("\n"))
    }
}

fn is_published(package: &Value) -> bool {
    // An empty list of registries says no.
    package.get("publish").is_none_or(Value::is_null)
}

/// What a package lacks that a reader of the registry looks for.
fn missing(package: &Value, files: &str) -> Vec<String> {
    let texts = [
        "description",
        "license",
        "repository",
        "readme",
        "rust_version",
    ];
    let lists = ["keywords", "categories"];
    let is_empty = |key: &&str| metadata::text(package, key).is_empty();
    let is_no_list = |key: &&str| metadata::list(package, key).is_empty();
    let keys = texts.into_iter().filter(is_empty);
    let keys = keys.chain(lists.into_iter().filter(is_no_list));
    let is_missing = |file: &&str| !files.lines().any(|line| line == *file);
    let mut missing: Vec<String> = keys
        .chain(FILES.into_iter().filter(is_missing))
        .map(str::to_owned)
        .collect();
    if package.pointer("/metadata/docs/rs").is_none() {
        missing.push("package.metadata.docs.rs".to_owned());
    }
    missing
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_package_lacks_is_named() {
        let full = json!({
            "description": "d", "license": "MIT", "repository": "r", "readme": "README.md", "rust_version": "1",
            "keywords": ["k"], "categories": ["c"], "metadata": {"docs": {"rs": {}}},
        });
        let files = FILES.join("\n");
        assert!(missing(&full, &files).is_empty());
        assert_eq!(
            missing(&full, "Cargo.toml\nREADME.md\nLICENSE-MIT"),
            ["LICENSE-APACHE"]
        );
        for key in [
            "description",
            "license",
            "repository",
            "readme",
            "rust_version",
            "keywords",
            "categories",
        ] {
            let mut partial = full.clone();
            partial.as_object_mut().unwrap().remove(key);
            assert_eq!(missing(&partial, &files), [key]);
        }
        let mut partial = full;
        partial.as_object_mut().unwrap().remove("metadata");
        assert_eq!(missing(&partial, &files), ["package.metadata.docs.rs"]);
    }

    #[test]
    fn a_package_for_no_registry_is_not_published() {
        assert!(is_published(&json!({"publish": null})));
        assert!(!is_published(&json!({"publish": []})));
    }
}
