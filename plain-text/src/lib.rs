//! Text of others, made fit for a line of ours.
//!
//! What a guest's agent, QEMU, a plugin, a server or an archive says ends up in an error, on a terminal, in a
//! log, and there it must not be more than words: no escape that paints over the terminal, no newline that
//! begins a line of its own, nothing that turns the direction of writing, and no megabytes.

mod bytes;

use std::borrow::Cow;

pub use bytes::{from_bytes, to_bytes};

/// The longest text of somebody else within a message, in characters.
pub const MAX_WORDS: usize = 500;

/// The longest message as a whole, in characters: a chain of causes, each with such words.
pub const MAX_MESSAGE: usize = 4000;

/// Words of somebody else, as one line.
#[must_use]
pub fn words(text: &str) -> String {
    clean(text, MAX_WORDS)
}

/// The same of bytes that should be UTF-8.
#[must_use]
pub fn words_of(bytes: &[u8]) -> String {
    // No character has more than four.
    let start = bytes.get(..MAX_WORDS.saturating_mul(4).saturating_add(1));
    words(&String::from_utf8_lossy(start.unwrap_or(bytes)))
}

/// A whole message as one line, wherever its parts come from.
#[must_use]
pub fn message(text: &str) -> Cow<'_, str> {
    let fine = text.len() <= MAX_MESSAGE && text.chars().all(is_plain) && text.trim() == text;
    match fine {
        true => Cow::Borrowed(text),
        false => Cow::Owned(clean(text, MAX_MESSAGE)),
    }
}

/// A text of several lines, for people to read: it stays as it is but for what is no text.
#[must_use]
pub fn lines(text: &str) -> String {
    let keep = |c: char| match c {
        '\n' | '\t' => c,
        c if is_plain(c) => c,
        _ => '?',
    };
    text.chars().map(keep).collect()
}

fn clean(text: &str, longest: usize) -> String {
    let mut chars = text.trim().chars();
    let mut line: String = chars
        .by_ref()
        .take(longest)
        .map(|c| match c {
            c if is_plain(c) => c,
            c if c.is_whitespace() => ' ',
            _ => '?',
        })
        .collect();
    if chars.next().is_some() {
        line.push('…');
    }
    line
}

/// Whether a character has a place in a line and does nothing else.
fn is_plain(c: char) -> bool {
    // Unicode's separators of lines, its marks and controls of direction (UAX 9), and what is not seen.
    let acts = matches!(
        c,
        '\u{2028}' | '\u{2029}' | '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}'
    );
    !acts && !c.is_control()
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_is_one_line_of_words() {
        let hostile = "no\r\nERROR: \u{1b}[2J\u{9b}31m all lost\u{202e}txt\u{2028}x\u{0}\t";
        let line = words(hostile);
        assert_eq!(line, "no  ERROR: ?[2J?31m all lost?txt x?");
        assert_eq!(message(hostile), line);
        assert_eq!(words_of(b"caf\xc3\xa9 \xff"), "café \u{fffd}");
    }

    #[test]
    fn no_more_is_taken_than_anybody_reads() {
        assert_eq!(words(&"é".repeat(1_000_000)).chars().count(), 501);
        assert_eq!(
            words_of("é".repeat(1_000_000).as_bytes()).chars().count(),
            501
        );
        assert_eq!(message(&"x".repeat(5000)).chars().count(), 4001);
        let whole = "x".repeat(MAX_WORDS);
        assert_eq!(words(&whole), whole);
    }

    #[test]
    fn a_message_that_is_fine_stays_as_it_is() {
        for text in ["", "the target is full: 日本", "a  b"] {
            assert!(matches!(message(text), Cow::Borrowed(same) if same == text));
        }
    }

    #[test]
    fn a_text_of_several_lines_keeps_them() {
        assert_eq!(lines("a\n\tb\u{1b}c\u{202e}\n"), "a\n\tb?c?\n");
    }
}
