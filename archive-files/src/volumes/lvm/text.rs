//! The text in which LVM keeps its metadata: sections of settings and sections.

use crate::error::{Error, Result};

/// How deep sections are: a group, its volumes, a volume, a segment.
const MAX_DEPTH: usize = 8;

/// How many settings and sections are read: those of a hundred thousand segments.
const MAX_ENTRIES: usize = 2_000_000;

/// Settings and sections by name, in their order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Section(Vec<(String, Value)>);

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Number(u64),
    Text(String),
    List(Vec<Self>),
    Section(Section),
}

impl Section {
    fn get(&self, name: &str) -> Option<&Value> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value)
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        match self.get(name)? {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn section(&self, name: &str) -> Option<&Self> {
        match self.get(name)? {
            Value::Section(section) => Some(section),
            _ => None,
        }
    }

    pub(super) fn sections(&self) -> impl Iterator<Item = (&str, &Self)> {
        self.0.iter().filter_map(|(name, value)| match value {
            Value::Section(section) => Some((name.as_str(), section)),
            _ => None,
        })
    }

    fn list(&self, name: &str) -> &[Value] {
        match self.get(name) {
            Some(Value::List(list)) => list,
            _ => &[],
        }
    }

    /// The texts in a list.
    pub(super) fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        self.list(name).iter().filter_map(|value| match value {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    pub(super) fn has(&self, name: &str, text: &str) -> bool {
        self.texts(name).any(|known| known == text)
    }

    /// A list that has a number behind each text.
    pub(super) fn pairs(&self, name: &str) -> Vec<(&str, u64)> {
        let (pairs, _) = self.list(name).as_chunks::<2>();
        let pair = |pair: &'_ [Value; 2]| match pair {
            [Value::Text(_), Value::Number(number)] => Some(*number),
            _ => None,
        };
        let texts = pairs.iter().filter_map(|both| match &both[0] {
            Value::Text(text) => Some((text.as_str(), pair(both)?)),
            _ => None,
        });
        texts.collect()
    }
}

/// Reads a whole text.
pub(super) fn parse(text: &[u8]) -> Result<Section> {
    let text = String::from_utf8_lossy(text);
    let mut parser = Parser {
        rest: text.trim_end_matches('\0'),
        left: MAX_ENTRIES,
    };
    let section = parser.section(0)?;
    match parser.token() {
        None => Ok(section),
        Some(_) => Err(wrong("something behind its end")),
    }
}

fn wrong(what: &str) -> Error {
    Error::damaged(format!("a text of LVM metadata has {what}"))
}

struct Parser<'t> {
    rest: &'t str,
    left: usize,
}

enum Token<'t> {
    Word(&'t str),
    Text(String),
    Sign(char),
}

impl<'t> Parser<'t> {
    fn token(&mut self) -> Option<Token<'t>> {
        loop {
            self.rest = self.rest.trim_start();
            match self.rest.strip_prefix('#') {
                Some(comment) => self.rest = comment.split_once('\n').map_or("", |(_, rest)| rest),
                None => break,
            }
        }
        let first = self.rest.chars().next()?;
        match first {
            '{' | '}' | '[' | ']' | '=' | ',' => {
                self.rest = self.rest.get(1..)?;
                Some(Token::Sign(first))
            }
            '"' => {
                self.rest = self.rest.get(1..)?;
                let mut text = String::new();
                let mut characters = self.rest.char_indices();
                while let Some((place, character)) = characters.next() {
                    match character {
                        '"' => {
                            self.rest = self.rest.get(place.saturating_add(1)..)?;
                            return Some(Token::Text(text));
                        }
                        '\\' => text.extend(characters.next().map(|(_, escaped)| escaped)),
                        character => text.push(character),
                    }
                }
                // Without an end: what follows is missing.
                self.rest = "";
                Some(Token::Text(text))
            }
            _ => {
                let is_end = |c: char| c.is_whitespace() || "{}[]=,\"#".contains(c);
                let end = self.rest.find(is_end).unwrap_or(self.rest.len());
                let (word, rest) = self.rest.split_at_checked(end)?;
                self.rest = rest;
                Some(Token::Word(word))
            }
        }
    }

    /// Settings and sections up to the end, or at some depth up to `}`.
    fn section(&mut self, depth: usize) -> Result<Section> {
        if depth > MAX_DEPTH {
            return Err(wrong("sections in sections without end"));
        }
        let mut section = Section::default();
        loop {
            let name = match self.token() {
                None if depth == 0 => return Ok(section),
                Some(Token::Sign('}')) if depth > 0 => return Ok(section),
                Some(Token::Word(name)) => name.to_owned(),
                Some(Token::Text(name)) => name,
                None => return Err(wrong("no end")),
                Some(Token::Sign(_)) => return Err(wrong("a sign where a name should be")),
            };
            self.count()?;
            let value = match self.token() {
                Some(Token::Sign('{')) => Value::Section(self.section(depth.saturating_add(1))?),
                Some(Token::Sign('=')) => self.value()?,
                _ => return Err(wrong("a name without a value")),
            };
            section.0.push((name, value));
        }
    }

    fn value(&mut self) -> Result<Value> {
        match self.token() {
            Some(Token::Sign('[')) => {
                let mut list = Vec::new();
                loop {
                    self.count()?;
                    match self.token() {
                        Some(Token::Sign(']')) => return Ok(Value::List(list)),
                        Some(Token::Sign(',')) => {}
                        token => list.push(plain(token)?),
                    }
                }
            }
            token => plain(token),
        }
    }

    fn count(&mut self) -> Result<()> {
        let left = self.left.checked_sub(1);
        self.left = left.ok_or_else(|| wrong("more entries than any group needs"))?;
        Ok(())
    }
}

fn plain(token: Option<Token<'_>>) -> Result<Value> {
    match token {
        Some(Token::Text(text)) => Ok(Value::Text(text)),
        // Numbers that are no whole ones, and no positive ones, say nothing of where anything is.
        Some(Token::Word(word)) => Ok(match word.parse() {
            Ok(number) => Value::Number(number),
            Err(_) => Value::Text(word.to_owned()),
        }),
        _ => Err(wrong("no value where one should be")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
# made by somebody
vg {
	id = "a-b"
	seqno = 3   # so many
	flags = []
	physical_volumes {
		pv0 { id = "x" pe_start = 2048 }
	}
	logical_volumes {
		root { status = ["READ", "VISIBLE"]
			segment1 { type = "striped" stripes = ["pv0", 7, "pv1", 0] }
		}
	}
}
contents = "Text \"Format\" Volume Group"
"#;

    #[test]
    fn a_text_is_read() {
        let whole = parse(TEXT.as_bytes()).unwrap();
        assert_eq!(whole.text("contents"), Some("Text \"Format\" Volume Group"));
        let (name, group) = whole.sections().next().unwrap();
        assert_eq!((name, group.number("seqno")), ("vg", Some(3)));
        let root = group
            .section("logical_volumes")
            .unwrap()
            .section("root")
            .unwrap();
        assert!(root.has("status", "VISIBLE") && !root.has("status", "HIDDEN"));
        let segment = root.section("segment1").unwrap();
        assert_eq!(segment.pairs("stripes"), [("pv0", 7), ("pv1", 0)]);
    }

    #[test]
    fn what_is_no_such_text_is_damage() {
        for text in [
            "a {",
            "a = ",
            "a",
            "}",
            "a = { ",
            "a = [",
            "= 3",
            "a { b = \"x",
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(parse("a { ".repeat(100_000).as_bytes()).is_err());
    }
}
