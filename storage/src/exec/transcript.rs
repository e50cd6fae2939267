//! Recorded conversations with programs, for tests.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use super::{Runner, failed};
use crate::error::Error;

/// Answers commands from a transcript, in its order:
///
/// ```text
/// $ lvs --noheadings pve
///   data
/// $ lvcreate pve
/// ! exit 5: already exists
/// ```
#[derive(Debug)]
pub(crate) struct Transcript {
    exchanges: Mutex<VecDeque<(String, Result<String, String>)>>,
}

impl Transcript {
    pub(crate) fn new(text: &str) -> Self {
        let mut exchanges: VecDeque<(String, Result<String, String>)> = VecDeque::new();
        for line in text.lines() {
            let current = exchanges.back_mut();
            match (line.strip_prefix("$ "), line.strip_prefix("! "), current) {
                (Some(command), _, _) => {
                    exchanges.push_back((command.to_owned(), Ok(String::new())));
                }
                (_, Some(error), Some((_, result))) => *result = Err(error.to_owned()),
                (_, _, Some((_, Ok(output)))) => {
                    output.push_str(line);
                    output.push('\n');
                }
                _ => {}
            }
        }
        Self {
            exchanges: Mutex::new(exchanges),
        }
    }
}

impl Runner for Transcript {
    fn run_with(&self, argv: &[&str], _: &[u8], _: Duration) -> Result<Vec<u8>, Error> {
        let next = self.exchanges.lock().unwrap().pop_front();
        let (command, result) = next.unwrap_or_else(|| panic!("unexpected command: {argv:?}"));
        assert_eq!(argv.join(" "), command);
        result
            .map(String::into_bytes)
            .map_err(|error| failed(argv, &error))
    }
}

impl Drop for Transcript {
    /// Every recorded command must have been run.
    fn drop(&mut self) {
        let left = self.exchanges.get_mut().unwrap();
        // A test that has failed already says why.
        if !std::thread::panicking() {
            assert!(left.is_empty(), "commands that were not run: {left:#?}");
        }
    }
}
