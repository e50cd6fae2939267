//! The rule that dependencies between crates only go down (`ARCHITECTURE.md`), and that no library knows the command
//! line of a program above it.

use std::collections::BTreeSet;

use crate::files;
use crate::metadata::{self, Kind, Member};
use crate::run::Outcome;

/// Each crate with its layer. Those of layer 1 depend on no other member but layer 0.
const LAYERS: [(&str, u8); 22] = [
    ("fleece-plain-text", 0),
    ("fleece-staged-file", 0),
    ("fleece-units", 0),
    ("fleece-cancel", 0),
    ("fleece-sparse-file", 0),
    ("fleece-encryption", 1),
    ("fleece-vma-format", 1),
    ("fleece-qmp-client", 1),
    ("fleece-nbd", 1),
    ("fleece-guest-config", 1),
    ("fleece-settings", 1),
    ("fleece-fleet", 1),
    ("fleece-object-storage", 1),
    ("fleece-storage", 2),
    ("fleece-archive-io", 2),
    ("fleece-libvirt", 2),
    ("fleece-archive-files", 2),
    ("fleece-mount", 3),
    ("fleece-fleecing", 3),
    ("fleece-backup-core", 4),
    ("fleece-report", 5),
    (PROGRAMS, 6),
];

/// The crate of the command lines.
const PROGRAMS: &str = "fleece-bins";

/// What only tests and tasks use: the lab is below all layers and knows nothing of them.
const LAB: [&str; 2] = ["fleece-lab", "fleece-lab-guest"];

/// What may use everything and is used by nobody.
const OUTSIDE: [&str; 2] = ["fleece-benches", "xtask"];

pub(crate) fn check() -> Outcome {
    let members = metadata::members(&metadata::read()?);
    let mut breaches = breaches(&members);
    for root in members.iter().flat_map(|member| &member.roots) {
        breaches.extend(files::breaches(root)?);
    }
    breaches.extend(names_of_options(&members)?);
    if breaches.is_empty() {
        Ok(format!("{} crates", members.len()))
    } else {
        Err(breaches.join("\n"))
    }
}

/// Libraries that name options of our programs.
fn names_of_options(members: &[Member]) -> Result<Vec<String>, String> {
    let (programs, others): (Vec<_>, Vec<_>) =
        members.iter().partition(|member| member.name == PROGRAMS);
    let mut options = BTreeSet::new();
    for root in programs.iter().flat_map(|member| &member.roots) {
        options.extend(files::options(root)?);
    }
    let libraries = others.iter().filter(|member| layer(&member.name).is_some());
    let mut breaches = Vec::new();
    for root in libraries.flat_map(|member| &member.roots) {
        breaches.extend(files::names_of_options(root, &options)?);
    }
    Ok(breaches)
}

fn breaches(members: &[Member]) -> Vec<String> {
    let mut breaches = Vec::new();
    for member in members {
        let name = member.name.as_str();
        if layer(name).is_none() && !LAB.contains(&name) && !OUTSIDE.contains(&name) {
            breaches.push(format!(
                "{name} has no layer: give it one in xtask/src/layers.rs"
            ));
        }
        for (dependency, kind) in &member.dependencies {
            let known = members.iter().any(|member| member.name == *dependency);
            if known && !is_allowed(name, dependency, *kind) {
                breaches.push(format!("{name} must not depend on {dependency}"));
            }
        }
    }
    breaches
}

fn is_allowed(from: &str, to: &str, kind: Kind) -> bool {
    if OUTSIDE.contains(&from) {
        return !OUTSIDE.contains(&to);
    }
    if LAB.contains(&to) {
        return kind == Kind::Development || LAB.contains(&from);
    }
    match (layer(from), layer(to), kind) {
        (Some(from), Some(to), Kind::Normal) => to < from,
        // Tests may use a neighbour as a peer.
        (Some(from), Some(to), Kind::Development) => to <= from,
        _ => false,
    }
}

fn layer(name: &str) -> Option<u8> {
    let entry = LAYERS.iter().find(|entry| entry.0 == name)?;
    Some(entry.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_go_down() {
        let allowed = |from, to| is_allowed(from, to, Kind::Normal);
        assert!(allowed("fleece-bins", "fleece-vma-format"));
        assert!(allowed("fleece-storage", "fleece-guest-config"));
        assert!(!allowed("fleece-vma-format", "fleece-storage"));
        assert!(!allowed("fleece-nbd", "fleece-qmp-client"));
        assert!(!allowed("fleece-bins", "xtask"));
    }

    #[test]
    fn the_lab_is_for_tests_and_knows_nothing_of_the_house() {
        assert!(is_allowed("fleece-nbd", "fleece-lab", Kind::Development));
        assert!(!is_allowed("fleece-nbd", "fleece-lab", Kind::Normal));
        assert!(!is_allowed("fleece-lab", "fleece-qmp-client", Kind::Normal));
        assert!(is_allowed("fleece-lab", "fleece-lab-guest", Kind::Normal));
    }

    #[test]
    fn a_new_crate_must_get_a_floor() {
        let member = Member {
            name: "fleece-new".to_owned(),
            folder: "new".to_owned(),
            dependencies: Vec::new(),
            roots: Vec::new(),
            examples: Vec::new(),
        };
        assert_eq!(breaches(&[member]).len(), 1);
    }
}
