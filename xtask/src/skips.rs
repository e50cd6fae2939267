//! Tests that said `SKIP: <reason>` and returned, since something was missing; tests that needed a second try; and
//! tests that failed.

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
    /// The names of tests that failed, each with the end of what it said.
    pub(crate) failed: Vec<String>,
}

/// Of what a test that failed has said, so many lines are kept.
const LINES_OF_A_TEST: usize = 25;

/// Reads nextest's report.
pub(crate) fn in_report() -> Result<Report, String> {
    let path = report();
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(Report {
        skipped: reasons(text.lines()),
        flaky: flaky(&text),
        failed: failed(&text),
    })
}

/// In JUnit's form, a test that failed and then passed has an element `flakyFailure`.
fn flaky(report: &str) -> Vec<String> {
    let flaky =
        cases(report).filter(|case| case.contains("<flakyFailure") || case.contains("<flakyError"));
    flaky.filter_map(name).map(str::to_owned).collect()
}

/// One that passed at no try has an element `failure`, or `error` if it could not be run.
fn failed(report: &str) -> Vec<String> {
    let failed = cases(report).filter(|case| case.contains("<failure") || case.contains("<error"));
    let told = |case| {
        let lines: Vec<&str> = str::lines(case).collect();
        let last = lines.len().saturating_sub(LINES_OF_A_TEST);
        let end = lines.get(last..).unwrap_or_default().join("\n");
        Some(format!("{}:\n{end}", name(case)?))
    };
    failed.filter_map(told).collect()
}

fn cases(report: &str) -> impl Iterator<Item = &str> {
    report.split("<testcase ").skip(1)
}

fn name(case: &str) -> Option<&str> {
    let (_, rest) = case.split_once("name=\"")?;
    rest.split('"').next()
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
    fn a_test_that_failed_is_named_with_the_end_of_what_it_said() {
        let report = "<testcase name=\"good\" time=\"1\"></testcase>\n\
                      <testcase name=\"bad\" time=\"1\">\n<failure type=\"x\">the cause</failure></testcase>";
        let failed = failed(report);
        assert_eq!(failed.len(), 1);
        assert!(failed[0].starts_with("bad:\n") && failed[0].contains("the cause"));
    }

    #[test]
    fn reasons_are_told_once_each() {
        let report = "<system-err>SKIP: lzop is not installed\nSKIP: no lab</system-err>\nother\n\
                      <system-err>SKIP: no lab</system-err>";
        assert_eq!(reasons(report.lines()), ["lzop is not installed", "no lab"]);
    }
}
