//! `cargo xtask faults`: what `docs/FAULTS.md` promises, and in its long form more of it than there is
//! time for in `cargo ci`.

use crate::Outcome;
use crate::ci::path_with_lab;
use crate::run::Run;

/// The programs of tests that hold the promises.
const TESTS: [&str; 8] = [
    "live_kill",
    "live_ends",
    "live_others",
    "live_storages",
    "live_targets",
    "live_serve",
    "live_agent",
    "live_refusals",
];

/// Where all disks of a backup are proved to be of one instant.
const ONE_INSTANT: &str = "live_guest";

/// How many backups of each guest the long form proves to be of one instant.
const ROUNDS: &str = "50";

/// Runs the tests; `long` goes through every method on every QEMU, which takes an hour or more.
pub(crate) fn run(long: bool) -> Outcome {
    let mut arguments = vec!["test", "--package=fleece-bins", "--all-features"];
    for test in TESTS.into_iter().chain(long.then_some(ONE_INSTANT)) {
        arguments.extend(["--test", test]);
    }
    arguments.extend(["--no-fail-fast", "--", "--test-threads=1"]);
    let mut run = Run::cargo(&arguments).env("PATH", path_with_lab()?);
    if long {
        run = run
            .env("FLEECE_FAULTS", "long")
            .env("FLEECE_ROUNDS", ROUNDS);
    }
    run.openly(|_| false)?;
    Ok("every fault ended as docs/FAULTS.md says".to_owned())
}
