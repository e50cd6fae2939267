//! The example programs of the crate under test.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The example `name` of the crate whose test this is. cargo builds examples when it builds all of a crate's tests.
///
/// # Panics
///
/// It was not built.
pub fn example(name: &str) -> Command {
    let program = path(name).unwrap_or_default();
    assert!(
        program.is_file(),
        "the example {name} is not built: run the tests without --test"
    );
    Command::new(program)
}

/// Tests lie in `deps`, beside `examples`.
fn path(name: &str) -> Option<PathBuf> {
    let test = std::env::current_exe().ok()?;
    let target = test.parent().and_then(Path::parent)?;
    Some(target.join("examples").join(name))
}
