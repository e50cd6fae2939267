//! The rule for subjects of commits (`CONTRIBUTING.md`): `component: what changes`, at most 72 characters.

use crate::run::{Outcome, Run};

/// The last commit that was made before the rule was checked.
const BEFORE: &str = "df054a55e109d6b22ea621df3cde4f3d4a939a72";

/// As many as `git log --oneline` and mails show without a cut.
const MOST: usize = 72;

pub(crate) fn check() -> Outcome {
    let range = format!("{BEFORE}..HEAD");
    let list = ["log", "--no-merges", "--format=%h %s", &range];
    // A checkout may have no history, or not all of it.
    let Ok(subjects) = Run::new("git", &list).quietly() else {
        return Ok("not checked: this checkout has no history".to_owned());
    };
    let breaches: Vec<String> = subjects.lines().filter_map(breach).collect();
    if breaches.is_empty() {
        Ok(format!("{} commits", subjects.lines().count()))
    } else {
        Err(breaches.join("\n"))
    }
}

fn breach(line: &str) -> Option<String> {
    let (_, subject) = line.split_once(' ')?;
    let why = if subject.chars().count() > MOST {
        "is longer than 72 characters"
    } else if !has_component(subject) {
        "does not begin with a component and a colon"
    } else if subject.ends_with('.') {
        "ends with a full stop"
    } else {
        return None;
    };
    Some(format!("{line}: the subject {why}"))
}

/// `nbd: …`, `storage, fleecing: …`
fn has_component(subject: &str) -> bool {
    let is_name = |name: &str| {
        !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    subject
        .split_once(": ")
        .is_some_and(|(names, what)| names.split(", ").all(is_name) && !what.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_names_its_component_and_is_short() {
        let long = format!("1234567 nbd: {}", "x".repeat(68));
        for (line, is_fine) in [
            ("1234567 nbd: end a failed handshake with ABORT", true),
            ("1234567 storage, vma-format: name errors alike", true),
            ("1234567 end a failed handshake", false),
            ("1234567 Nbd: end a failed handshake", false),
            ("1234567 nbd: end a failed handshake.", false),
            (&long, false),
            (&long[..long.len() - 1], true),
        ] {
            assert_eq!(breach(line).is_none(), is_fine, "{line}");
        }
    }
}
