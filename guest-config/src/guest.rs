//! Which guest is meant.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind};

/// A guest: Proxmox's number, or a name.
///
/// A number is from 1 to 999999999, written without leading zeroes. A name has 1 to 64 letters, digits,
/// `.`, `_` and `-` (ASCII), begins with a letter or digit, and can never be taken for a number: neither
/// is all of it digits, nor what comes before its first dash. `vm-100-web-fleece-0` is a volume of guest
/// 100, for Proxmox too, which removes the volumes of a guest with it.
///
/// Numbers come before names when sorted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GuestId(Inner);

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Inner {
    Number(u32),
    Name(String),
}

/// Proxmox's limit: nine digits (`pve-vmid` in `PVE::JSONSchema`).
const MAX_NUMBER: u32 = 999_999_999;
/// With what goes around it, a name of this length fits into a volume's (127 bytes, LVM's limit) and, below
/// the usual state directory, into a socket's (107 bytes, `unix(7)`).
const MAX_NAME: usize = 64;

const FORM: &str = "expected a number from 1 to 999999999, or a name of at most 64 letters, digits, '.', \
                    '_' and '-' that begins with a letter or digit and, up to its first '-', is no number";

impl GuestId {
    /// The number, if it is one: only such guests are Proxmox's.
    #[must_use]
    pub fn number(&self) -> Option<u32> {
        match self.0 {
            Inner::Number(number) => Some(number),
            Inner::Name(_) => None,
        }
    }

    /// A name made of somebody else's text, say what QEMU was called with `-name`: blanks and other
    /// characters that a name cannot have become `_`, and what it cannot begin with is left out. `None` if that cannot be a guest: it is empty or too
    /// long, or has control characters or a path's parts in it. A number stays one.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.len() > MAX_NAME || text.contains("..") || text.contains(char::is_control) {
            return None;
        }
        let fit = |c: char| match c {
            '.' | '_' | '-' => c,
            c if c.is_ascii_alphanumeric() => c,
            _ => '_',
        };
        let name: String = text.chars().map(fit).collect();
        name.trim_start_matches(['.', '_', '-']).parse().ok()
    }
}

impl TryFrom<u32> for GuestId {
    type Error = Error;

    fn try_from(number: u32) -> Result<Self, Error> {
        number.to_string().parse()
    }
}

impl FromStr for GuestId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = || {
            // Whoever wrote it may have written anything.
            let shown: String = text.chars().take(MAX_NAME).collect();
            Error::new(
                ErrorKind::InvalidGuest,
                format!("{shown:?} is not a guest: {FORM}"),
            )
        };
        if is_digits(text) {
            let number = text.parse().map_err(|_| refuse())?;
            return match number {
                1..=MAX_NUMBER if !text.starts_with('0') => Ok(Self(Inner::Number(number))),
                _ => Err(refuse()),
            };
        }
        let begins_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let like_a_number = text
            .split_once('-')
            .is_some_and(|(first, _)| is_digits(first));
        if !begins_well || like_a_number || text.len() > MAX_NAME || !text.bytes().all(fits) {
            return Err(refuse());
        }
        Ok(Self(Inner::Name(text.to_owned())))
    }
}

impl fmt::Display for GuestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Number(number) => write!(f, "{number}"),
            Inner::Name(name) => f.write_str(name),
        }
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn guests_are_numbers_or_names() {
        for text in ["1", "7", "100", "999999999"] {
            let id: GuestId = text.parse().unwrap();
            assert_eq!(id.number().map(|n| n.to_string()), Some(text.to_owned()));
            assert_eq!(id.to_string(), text);
        }
        for text in [
            "web",
            "a",
            "7a",
            "Web.example_1-2",
            "x-100",
            "1.2",
            &"n".repeat(64),
        ] {
            let id: GuestId = text.parse().unwrap();
            assert_eq!((id.number(), id.to_string()), (None, text.to_owned()));
        }
    }

    #[test]
    fn what_could_be_something_else_is_no_guest() {
        for text in [
            "",
            "0",
            "00",
            "010",
            "1000000000",
            "99999999999",
            "+1",
            "-1",
            "-web",
            ".web",
            "_web",
            "..",
            "../web",
            "a/b",
            "a b",
            "a\n",
            "a\0",
            "ä",
            "a,b",
            "a:b",
            "100-web",
            "0-a",
            &"n".repeat(65),
        ] {
            let error = text.parse::<GuestId>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidGuest, "{text:?}");
        }
    }

    #[test]
    fn the_text_of_others_becomes_a_name_or_nothing() {
        let made = |text: &str| GuestId::from_text(text).map(|id| id.to_string());
        assert_eq!(made("web").as_deref(), Some("web"));
        assert_eq!(made(" web server (2) ").as_deref(), Some("web_server__2_"));
        assert_eq!(made("100").as_deref(), Some("100"));
        assert_eq!(made(".tmp-x").as_deref(), Some("tmp-x"));
        assert_eq!(made("-web").as_deref(), Some("web"));
        for text in [
            "",
            "  ",
            "../x",
            "a/../b",
            "a\nb",
            "\u{1b}[31m",
            "100-web",
            "-",
            "ü",
            &"n".repeat(10_000),
        ] {
            assert_eq!(made(text), None, "{text:?}");
        }
    }

    #[test]
    fn an_error_shows_no_more_than_a_line_of_what_was_given() {
        let error = "\n".repeat(10_000).parse::<GuestId>().unwrap_err();
        let text = error.to_string();
        assert!(text.len() < 500 && !text.contains('\n'), "{text}");
    }

    proptest! {
        #[test]
        fn any_text_is_a_guest_that_reads_as_it_is_written_or_none(text in "\\PC{0,80}|[a-z0-9._-]{0,70}") {
            if let Ok(id) = text.parse::<GuestId>() {
                prop_assert_eq!(id.to_string(), text);
            } else if let Some(id) = GuestId::from_text(&text) {
                prop_assert_eq!(&id.to_string().parse::<GuestId>().unwrap(), &id);
            }
        }
    }
}
