//! Tools of the host that a test may lack.

use std::env;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// The path of the program `name`, or `None` after a `SKIP:` line, on which the test returns.
pub fn require(name: &str) -> Option<PathBuf> {
    let found = find(name);
    if found.is_none() {
        skip(&format!("{name} is not installed"));
    }
    found
}

/// Says that a test, or a part of one, does not run. `cargo ci` fails on such a line.
pub fn skip(reason: &str) {
    eprintln!("SKIP: {reason}");
}

/// Looks where programs are, `sbin` included, which a user's `PATH` often lacks.
fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|folder| folder.join(name))
        .find(|file| {
            file.metadata()
                .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_is_found_and_nonsense_is_not() {
        assert!(find("sh").is_some());
        assert_eq!(find("no-such-tool-anywhere"), None);
    }
}
