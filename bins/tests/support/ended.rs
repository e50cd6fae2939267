//! How a program ended.

use std::process::{Command, ExitStatus, Output};

/// Its status, and all that it said.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) said: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            status: output.status,
            said: super::text(&output),
        }
    }
}

impl Ended {
    /// Runs `command` to its end.
    pub(crate) fn of(command: &mut Command) -> Self {
        command.output().unwrap().into()
    }

    /// Panics unless it ended with `code`.
    pub(crate) fn expect_code(self, code: i32) -> String {
        self.expect(code, &[])
    }

    /// Panics unless it ended with `code` and said all of `words`.
    pub(crate) fn expect(self, code: i32, words: &[&str]) -> String {
        let said = self.said;
        assert_eq!(self.status.code(), Some(code), "{said}");
        for word in words {
            assert!(said.contains(word), "'{word}' is missing: {said}");
        }
        said
    }
}
