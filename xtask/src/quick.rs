//! `cargo xtask quick`: what tells soon whether a change is on the right way.

use std::collections::BTreeSet;

use crate::metadata::{self, Member};
use crate::run::{Outcome, Run};
use crate::test::path_with_lab;
use crate::{ci, peers};

/// Tests whose binary is called so boot guests or ask for a storage daemon.
const LIVE: &str = "binary(/^live/)";

/// Checks format, lints and tests of the members that differ from `main`, or on `main` from the last commit.
pub(crate) fn run() -> Outcome {
    let members = metadata::members(&metadata::read()?);
    let changed = members_of(&changed_files()?, &members);
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
    let names: Vec<&str> = changed.into_iter().collect();
    Ok(format!("checked {}", names.join(", ")))
}

/// The files that differ from where this branch left `main`, committed or not.
fn changed_files() -> Result<Vec<String>, String> {
    let git = |arguments: &[&str]| Run::new("git", arguments).quietly();
    let head = git(&["rev-parse", "HEAD"])?;
    // A checkout of a branch alone knows only the remote's.
    let base = git(&["merge-base", "HEAD", "main"]);
    let base = base.or_else(|_| git(&["merge-base", "HEAD", "origin/main"]));
    let base = base.unwrap_or_else(|_| head.clone());
    let differ = |from: &str| -> Result<Vec<String>, String> {
        let tracked = git(&["diff", "--name-only", "--no-renames", from.trim()])?;
        let new = git(&["ls-files", "--others", "--exclude-standard"])?;
        Ok(tracked
            .lines()
            .chain(new.lines())
            .map(str::to_owned)
            .collect())
    };
    let files = differ(&base)?;
    if files.is_empty() {
        differ("HEAD~1")
    } else {
        Ok(files)
    }
}

/// The members in whose folders these files are.
fn members_of<'a>(files: &[String], members: &'a [Member]) -> BTreeSet<&'a str> {
    let owner = |file: &String| {
        let inside = |member: &&Member| file.starts_with(&format!("{}/", member.folder));
        // A member can lie within another.
        let member = members
            .iter()
            .filter(inside)
            .max_by_key(|member| member.folder.len());
        member.map(|member| member.name.as_str())
    };
    files.iter().filter_map(owner).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_counts_for_the_innermost_member_around_it() {
        let member = |name: &str, folder: &str| Member {
            name: name.to_owned(),
            folder: folder.to_owned(),
            dependencies: Vec::new(),
            roots: Vec::new(),
            examples: Vec::new(),
        };
        let members = [
            member("nbd", "nbd"),
            member("lab", "lab"),
            member("guest", "lab/guest"),
        ];
        for (files, picked) in [
            (&["nbd/src/lib.rs", "nbd/Cargo.toml"][..], &["nbd"][..]),
            (&["lab/guest/src/main.rs"], &["guest"]),
            (&["lab/src/lib.rs", "nbd/README.md"], &["lab", "nbd"]),
            (
                &["Cargo.lock", "docs/nbd/x.md", "nbd2/src/lib.rs", "nbd"],
                &[],
            ),
        ] {
            let files: Vec<String> = files.iter().map(|&file| file.to_owned()).collect();
            let found: Vec<&str> = members_of(&files, &members).into_iter().collect();
            assert_eq!(found, picked, "{files:?}");
        }
    }
}
