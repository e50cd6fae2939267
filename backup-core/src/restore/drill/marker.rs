//! What shows that a guest has booted.

use std::str::FromStr;

/// One sign of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Marker {
    /// A line on the first serial port that has this text in it; `*` stands for anything.
    Serial(String),
    /// The guest's agent answers.
    Agent,
    /// QEMU reports this event.
    Event(String),
    /// A service at this TCP port of the guest says something, if need be after two empty lines.
    Port(u16),
}

impl FromStr for Marker {
    type Err = String;

    /// `serial=TEXT`, `agent`, `event=NAME` or `port=NUMBER`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "expected serial=TEXT, agent, event=NAME or port=NUMBER".to_owned();
        match text.split_once('=') {
            None if text == "agent" => Ok(Self::Agent),
            Some(("serial", text)) if !text.replace('*', "").is_empty() => {
                Ok(Self::Serial(text.to_owned()))
            }
            Some(("event", name)) if !name.is_empty() => Ok(Self::Event(name.to_ascii_uppercase())),
            Some(("port", port)) => match port.parse() {
                Ok(port @ 1..) => Ok(Self::Port(port)),
                _ => Err(wrong()),
            },
            _ => Err(wrong()),
        }
    }
}

impl Marker {
    /// What was seen, or was waited for.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Serial(text) => format!("'{text}' on the serial port"),
            Self::Agent => "an answer of the guest's agent".to_owned(),
            Self::Event(name) => format!("the event {name}"),
            Self::Port(port) => format!("a service at TCP port {port}"),
        }
    }
}

/// The longest line that is looked through: a console that never ends one does not grow without bounds.
const LINE: usize = 64 << 10;

/// A serial console as it comes.
#[derive(Debug, Default)]
pub(super) struct Console {
    line: Vec<u8>,
}

impl Console {
    /// Takes what is new, and marks those of the patterns that a line matches, also one that has not ended.
    pub(super) fn take(&mut self, new: &[u8], patterns: &mut [(String, bool)]) {
        for piece in new.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            self.line.extend_from_slice(piece);
            let text = String::from_utf8_lossy(&self.line);
            for (pattern, seen) in patterns.iter_mut() {
                *seen = *seen || matches(&text, pattern);
            }
            if piece.ends_with(b"\n") || piece.ends_with(b"\r") || self.line.len() > LINE {
                self.line.clear();
            }
        }
    }
}

/// Whether the parts of a pattern are in a line, one behind the other.
fn matches(line: &str, pattern: &str) -> bool {
    let mut rest = line;
    pattern.split('*').all(|part| match rest.split_once(part) {
        Some((_, behind)) => {
            rest = behind;
            true
        }
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_written_as_it_is_documented() {
        assert_eq!("agent".parse(), Ok(Marker::Agent));
        assert_eq!("serial=a=b".parse(), Ok(Marker::Serial("a=b".into())));
        assert_eq!(
            "event=rtc_change".parse(),
            Ok(Marker::Event("RTC_CHANGE".into()))
        );
        assert_eq!("port=22".parse(), Ok(Marker::Port(22)));
        for wrong in [
            "",
            "serial=",
            "serial=*",
            "port=0",
            "port=70000",
            "event=",
            "x=1",
            "agent=1",
        ] {
            assert!(wrong.parse::<Marker>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_line_matches_however_it_arrives_and_only_within_itself() {
        let mut patterns = [("web*login:".to_owned(), false), ("a*a".to_owned(), false)];
        let mut console = Console::default();
        for piece in ["we", "b\nlogin: \nweb ", "log"] {
            console.take(piece.as_bytes(), &mut patterns);
            assert!(!patterns[0].1, "{piece}");
        }
        console.take(b"in: a\n", &mut patterns);
        assert!(patterns[0].1 && !patterns[1].1);
        for _ in 0..100 {
            console.take(&[b'x'; 4096], &mut patterns);
        }
        assert!(console.line.len() <= LINE + 4096);
    }
}
