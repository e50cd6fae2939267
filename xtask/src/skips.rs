//! Tests that said `SKIP: <reason>` and returned, since something was missing.

use std::fs;
use std::path::PathBuf;

use crate::run::workspace;

/// Whether a line of a test's output says that the test was skipped.
pub(crate) fn is_skip(line: &str) -> bool {
    reason(line).is_some()
}

/// The different reasons among `lines`.
pub(crate) fn reasons<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut reasons: Vec<String> = lines.filter_map(reason).map(str::to_owned).collect();
    reasons.sort();
    reasons.dedup();
    reasons
}

/// Where nextest leaves its report for the profile `ci` (`.config/nextest.toml`); its own folder is
/// below the workspace wherever cargo's is.
pub(crate) fn report() -> PathBuf {
    workspace().join("target/nextest/ci/junit.xml")
}

/// The reasons in nextest's report, which has the output of tests that passed, too.
pub(crate) fn in_report() -> Result<Vec<String>, String> {
    let path = report();
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(reasons(text.lines()))
}

fn reason(line: &str) -> Option<&str> {
    let (_, reason) = line.split_once("SKIP: ")?;
    // In the report, a line may be followed by the end of its element.
    let reason = reason.split('<').next()?;
    Some(reason.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_told_once_each() {
        let report = "<system-err>SKIP: lzop is not installed\nSKIP: no lab</system-err>\nother\n\
                      <system-err>SKIP: no lab</system-err>";
        assert_eq!(reasons(report.lines()), ["lzop is not installed", "no lab"]);
    }
}
