//! `cargo xtask quick`: what tells soon whether a change is on the right way.

use std::collections::BTreeSet;

use crate::ci;
use crate::metadata::{self, Member};
use crate::peers;
use crate::run::{Outcome, Run};
use crate::test::path_with_lab;

/// Tests whose binary is called so boot guests or ask for a storage daemon.
const LIVE: &str = "binary(/^live/)";

/// Checks format, lints and tests of the members with uncommitted changes, or else with those of the last
/// commit.
pub(crate) fn run() -> Outcome {
    let members = metadata::members(&metadata::read()?);
    let changed = changed(&members)?;
    ci::fmt()?;
    if changed.is_empty() {
        return Ok("no crate has changed".to_owned());
    }
    let packages: Vec<String> = changed
        .iter()
        .map(|name| format!("--package={name}"))
        .collect();
    let packages: Vec<&str> = packages.iter().map(String::as_str).collect();
    let features = ["--all-targets", "--all-features"];
    let lints = ["--", "-D", "warnings"];
    Run::cargo(&[&["clippy", "--quiet"], &packages[..], &features, &lints].concat()).quietly()?;
    let live = format!("not {LIVE}");
    let tests = ["--all-features", "--no-tests=pass", "-E", &live];
    Run::cargo(&[&["nextest", "run"], &packages[..], &tests].concat())
        .env("PATH", path_with_lab()?)
        .env("PYTHONPATH", peers::folder())
        .openly(|_| false)?;
    Ok(format!("checked {}", changed.join(", ")))
}

/// The members in whose folders something has changed.
fn changed(members: &[Member]) -> Result<Vec<String>, String> {
    let status = [
        "status",
        "--porcelain",
        "--untracked-files=all",
        "--no-renames",
    ];
    let mut files: Vec<String> = Run::new("git", &status)
        .quietly()?
        .lines()
        .filter_map(|line| Some(line.get(3..)?.to_owned()))
        .collect();
    if files.is_empty() {
        let last = ["diff", "--name-only", "HEAD~1"];
        files = Run::new("git", &last)
            .quietly()?
            .lines()
            .map(str::to_owned)
            .collect();
    }
    let owner = |file: &String| {
        let inside = |member: &&Member| file.starts_with(&format!("{}/", member.folder));
        // A member can lie within another.
        let member = members
            .iter()
            .filter(inside)
            .max_by_key(|member| member.folder.len());
        member.map(|member| member.name.clone())
    };
    let names: BTreeSet<String> = files.iter().filter_map(owner).collect();
    Ok(names.into_iter().collect())
}
