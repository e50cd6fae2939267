//! `cargo xtask faults`: what `docs/FAULTS.md` promises, and in its long form more of it than there is
//! time for in `cargo ci`.

use crate::run::{Outcome, Run};
use crate::test::path_with_lab;

/// The programs of tests that hold the promises. A guest wants the machine's processors: one at a time.
const WITH_GUESTS: [&str; 7] = [
    "live_kill",
    "live_ends",
    "live_others",
    "live_storages",
    "live_targets",
    "live_agent",
    "live_refusals",
];

/// The same of disks that `fleece serve` serves, of failing system calls, and of dirty bitmaps and what takes their place: no
/// guests, and so side by side.
const WITHOUT: [&str; 4] = [
    "live_serve",
    "fault_sweep",
    "incremental",
    "incremental_served",
];

/// What only the long form runs: where all disks of a backup are proved to be of one instant, and whatever ends a backup
/// by way of libvirt.
const LONG: [&str; 2] = ["live_guest", "live_libvirt"];

/// How many backups of each guest the long form proves to be of one instant.
const ROUNDS: &str = "50";

/// Runs the tests; `long` goes through every method on every QEMU, which takes an hour or more.
pub(crate) fn run(long: bool) -> Outcome {
    let only_long = LONG.into_iter().filter(|_| long);
    let with_guests = WITH_GUESTS.into_iter().chain(only_long);
    let with_guests = test(with_guests, &["--test-threads=1"], long);
    let without = test(WITHOUT, &[], long);
    with_guests.and(without)?;
    Ok("every fault ended as docs/FAULTS.md says".to_owned())
}

fn test<'a>(
    programs: impl IntoIterator<Item = &'a str>,
    harness: &[&str],
    long: bool,
) -> Result<(), String> {
    let mut arguments = vec!["test", "--package=fleece-bins", "--all-features"];
    for program in programs {
        arguments.extend(["--test", program]);
    }
    arguments.extend(["--no-fail-fast", "--"]);
    arguments.extend(harness);
    let mut run = Run::cargo(&arguments).env("PATH", path_with_lab()?);
    if long {
        run = run
            .env("FLEECE_FAULTS", "long")
            .env("FLEECE_ROUNDS", ROUNDS);
    }
    run.openly(|_| false).map(drop)
}
