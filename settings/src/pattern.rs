//! Patterns of names.

/// Whether it stands for more than one name.
pub(crate) fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?'])
}

/// Whether `pattern` matches all of `name`: `*` is any text, and `?` any character.
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut n) = (0_usize, 0_usize);
    // Behind the last `*`, and the end of what it has taken so far.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                p = p.saturating_add(1);
                star = Some((p, n));
            }
            Some(&c) if c == '?' || Some(&c) == name.get(n) => {
                p = p.saturating_add(1);
                n = n.saturating_add(1);
            }
            // The last `*` takes one character more.
            _ => match &mut star {
                Some((behind, end)) => {
                    *end = end.saturating_add(1);
                    (p, n) = (*behind, *end);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_pattern_matches_whole_names() {
        for (pattern, name) in [
            ("web", "web"),
            ("web-*", "web-"),
            ("web-*", "web-12"),
            ("*-db", "a-db-db"),
            ("w?b", "wäb"),
            ("*", ""),
            ("1*0*", "100"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("web", "web1"), ("web-?", "web-"), ("", "a"), ("*a", "ab")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
