//! The rule that every example is run by a test of its crate, lest it only compile.

use std::fs;
use std::path::Path;

use crate::metadata::{self, Member};
use crate::run::{Outcome, Run, workspace};

/// Tools for developers, not examples for users: they measure, or need something of one's own.
const TOOLS: [&str; 5] = [
    "encryption/examples/throughput.rs",
    "lab/examples/boot.rs",
    "nbd/examples/speed.rs",
    "qmp-client/examples/record.rs",
    "storage/examples/conformance.rs",
];

pub(crate) fn check() -> Outcome {
    let members = metadata::members(&metadata::read()?);
    let examples = members.iter().flat_map(|member| {
        let paths = member.examples.iter();
        paths.map(move |path| (member, path))
    });
    let mut count = 0_u32;
    let mut breaches = Vec::new();
    for (member, example) in examples {
        if TOOLS.iter().any(|tool| Path::new(tool) == example) {
            continue;
        }
        count = count.saturating_add(1);
        let name = example.file_stem().unwrap_or_default().to_string_lossy();
        if !tests(member)?.iter().any(|test| runs(test, &name)) {
            breaches.push(format!("{}: no test runs it", example.display()));
        }
    }
    if breaches.is_empty() {
        Ok(format!("{count} examples"))
    } else {
        Err(breaches.join("\n"))
    }
}

/// The texts of a member's tests.
fn tests(member: &Member) -> Result<Vec<String>, String> {
    let list = [
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "--",
    ];
    let pattern = format!("{}/tests/*.rs", member.folder);
    let files = Run::new("git", &[&list[..], &[&pattern]].concat()).quietly()?;
    let texts = files
        .lines()
        .map(|file| fs::read_to_string(workspace().join(file)));
    Ok(texts.filter_map(Result::ok).collect())
}

/// The lab knows where cargo puts examples; a test without the lab joins the name to the folder `examples`.
fn runs(test: &str, example: &str) -> bool {
    let is_named = test.contains(&format!("\"{example}\""));
    let in_folder = test.contains("\"examples\"") || test.contains("example(");
    (in_folder && is_named) || test.contains(&format!("examples/{example}\""))
}

#[cfg(test)]
mod tests {
    use super::runs;

    #[test]
    fn a_test_that_runs_an_example_names_its_program() {
        assert!(runs(
            r#"target.join("examples").join(name); f("watch")"#,
            "watch"
        ));
        assert!(runs(r#"target.join("examples/watch")"#, "watch"));
        assert!(runs(
            r#"use fleece_lab::{Disk, example}; example("watch")"#,
            "watch"
        ));
        assert!(!runs(r#"target.join("examples/watch")"#, "tch"));
        assert!(!runs(
            r#"target.join("examples").join(name); f("watchers")"#,
            "watch"
        ));
        assert!(!runs(r#"f("watch")"#, "watch"));
    }
}
