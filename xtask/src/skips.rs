//! Tests that said `SKIP: <reason>` and returned, since something was missing; and tests that needed a
//! second try.

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

/// What nextest's report says, which has the output of tests that passed, too.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// The reasons for which tests were skipped.
    pub(crate) skipped: Vec<String>,
    /// The names of tests that passed only at their second try.
    pub(crate) flaky: Vec<String>,
}

/// Reads nextest's report.
pub(crate) fn in_report() -> Result<Report, String> {
    let path = report();
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(Report {
        skipped: reasons(text.lines()),
        flaky: flaky(&text),
    })
}

/// In JUnit's form, a test that failed and then passed has an element `flakyFailure`.
fn flaky(report: &str) -> Vec<String> {
    let name = |case: &str| {
        let (_, rest) = case.split_once("name=\"")?;
        rest.split('"').next().map(str::to_owned)
    };
    let cases = report.split("<testcase ").skip(1);
    let flaky = cases.filter(|case| case.contains("<flakyFailure") || case.contains("<flakyError"));
    flaky.filter_map(name).collect()
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
    fn a_test_that_failed_first_is_named() {
        let report = "<testcase name=\"good\" time=\"1\"></testcase>\n\
                      <testcase name=\"lucky\" time=\"1\">\n<flakyFailure type=\"x\"/></testcase>";
        assert_eq!(flaky(report), ["lucky"]);
    }

    #[test]
    fn reasons_are_told_once_each() {
        let report = "<system-err>SKIP: lzop is not installed\nSKIP: no lab</system-err>\nother\n\
                      <system-err>SKIP: no lab</system-err>";
        assert_eq!(reasons(report.lines()), ["lzop is not installed", "no lab"]);
    }
}
