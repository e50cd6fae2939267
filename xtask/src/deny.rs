//! What of others may be linked into Fleece: the licences that `deny.toml` allows, from the crate registry alone.

use std::collections::BTreeMap;
use std::fs;

use spdx::{Expression, LicenseReq, ParseMode};
use toml::{Table, Value};

use crate::metadata::{self, Foreign};
use crate::run::{Outcome, workspace};

/// How cargo calls its registry.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

pub(crate) fn check() -> Outcome {
    let path = workspace().join("deny.toml");
    let rules =
        fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let allowed = allowed(&rules).map_err(|error| format!("{}: {error}", path.display()))?;
    let crates = metadata::foreign()?;
    let breaches: Vec<String> = crates
        .iter()
        .filter_map(|foreign| breach(foreign, &allowed))
        .collect();
    if !breaches.is_empty() {
        return Err(breaches.join("\n"));
    }
    let twice = twice(&crates);
    // Told and no breach: it is up to others when they move to a newer version.
    let twice = if twice.is_empty() {
        String::new()
    } else {
        format!("; in several versions: {}", twice.join(", "))
    };
    let count = crates.len();
    Ok(format!(
        "{count} crates: licences as deny.toml allows, sources crates.io{twice}"
    ))
}

/// `licenses.allow`, as cargo-deny reads it too.
fn allowed(rules: &str) -> Result<Vec<String>, String> {
    let rules: Table = rules.parse().map_err(|error| format!("{error}"))?;
    let allow = rules.get("licenses").and_then(|part| part.get("allow"));
    let allow = allow
        .and_then(Value::as_array)
        .ok_or("licenses.allow is missing")?;
    let names = allow.iter().map(|name| name.as_str().map(str::to_owned));
    names
        .collect::<Option<_>>()
        .ok_or_else(|| "licenses.allow is no list of names".to_owned())
}

fn breach(foreign: &Foreign, allowed: &[String]) -> Option<String> {
    let Foreign {
        name,
        version,
        license,
        source,
    } = foreign;
    if source != REGISTRY {
        return Some(format!("{name} {version} comes from {source}"));
    }
    // Old crates write `/` for `OR`.
    let Ok(expression) = Expression::parse_mode(license, ParseMode::LAX) else {
        return Some(format!(
            "{name} {version}: cannot understand its licence {license:?}"
        ));
    };
    let is_allowed = |license: &LicenseReq| allowed.iter().any(|name| *name == license.to_string());
    (!expression.evaluate(is_allowed))
        .then(|| format!("{name} {version}: {license} is not allowed"))
}

/// Crates of which there are several versions: each costs time to build and room.
fn twice(crates: &[Foreign]) -> Vec<&str> {
    let mut versions: BTreeMap<&str, u32> = BTreeMap::new();
    for foreign in crates {
        let count = versions.entry(&foreign.name).or_default();
        *count = count.saturating_add(1);
    }
    versions.retain(|_, count| *count > 1);
    versions.into_keys().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn foreign(license: &str) -> Foreign {
        Foreign {
            name: "other".into(),
            version: "1.0.0".into(),
            license: license.into(),
            source: REGISTRY.into(),
        }
    }

    #[test]
    fn a_licence_is_allowed_by_all_of_its_parts_or_one_of_its_choices() {
        let allowed = allowed("[licenses]\nallow = [\"MIT\", \"BSD-3-Clause\"]").unwrap();
        let is_refused = |license| breach(&foreign(license), &allowed).is_some();
        for license in [
            "MIT",
            "MIT OR GPL-3.0-only",
            "GPL-2.0/MIT",
            "MIT AND BSD-3-Clause",
        ] {
            assert!(!is_refused(license), "{license}");
        }
        for license in ["GPL-3.0-only", "MIT AND GPL-3.0-only", "", "whatever"] {
            assert!(is_refused(license), "{license}");
        }
    }

    #[test]
    fn a_crate_from_elsewhere_is_refused() {
        let elsewhere = Foreign {
            source: "git+https://example.org/other".into(),
            ..foreign("MIT")
        };
        assert!(breach(&elsewhere, &["MIT".into()]).is_some());
    }

    #[test]
    fn crates_in_several_versions_are_named_once() {
        let newer = Foreign {
            version: "2.0.0".into(),
            ..foreign("MIT")
        };
        assert_eq!(twice(&[foreign("MIT"), newer]), ["other"]);
        assert!(twice(&[foreign("MIT")]).is_empty());
    }
}
