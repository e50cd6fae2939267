//! One line of a configuration file: its bytes, and what they say.

use crate::error::{Error, ErrorKind};

/// A line with its terminator, kept as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    text: String,
}

/// What a line says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Content<'a> {
    Blank,
    /// `#text`, without the `#`.
    Comment(&'a str),
    /// `[name]`
    Header(&'a str),
    /// `key: value`
    Entry(&'a str, &'a str),
    /// Anything else; kept, not understood.
    Unknown,
}

impl Line {
    pub(crate) fn raw(text: &str) -> Self {
        Self {
            text: text.to_owned(),
        }
    }

    pub(crate) fn blank() -> Self {
        Self::raw("\n")
    }

    pub(crate) fn entry(key: &str, value: &str) -> Result<Self, Error> {
        check_key(key)?;
        check_value(key, value)?;
        Ok(Self {
            text: format!("{key}: {value}\n"),
        })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn content(&self) -> Content<'_> {
        // Editors of other systems begin a file with a byte order mark.
        let line = self.text.trim_start_matches('\u{feff}').trim_end();
        if line.is_empty() {
            Content::Blank
        } else if let Some(comment) = line.strip_prefix('#') {
            Content::Comment(comment)
        } else if let Some(rest) = line.strip_prefix('[') {
            Content::Header(rest.split(']').next().unwrap_or(rest))
        } else {
            match line.split_once(':') {
                Some((key, value)) if is_key(key) && !value.trim_start().is_empty() => {
                    Content::Entry(key, value.trim_start())
                }
                _ => Content::Unknown,
            }
        }
    }

    pub(crate) fn value_of(&self, wanted: &str) -> Option<&str> {
        match self.content() {
            Content::Entry(key, value) if key == wanted => Some(value),
            _ => None,
        }
    }

    pub(crate) fn is_blank(&self) -> bool {
        self.content() == Content::Blank
    }

    /// The last line of a file may lack its terminator; a line added after it needs one.
    pub(crate) fn terminate(&mut self) {
        if !self.text.ends_with('\n') {
            self.text.push('\n');
        }
    }
}

/// `[a-z][a-z_-]*[0-9]*`, as Proxmox's parser matches keys.
fn is_key(key: &str) -> bool {
    let name = key.trim_end_matches(|c: char| c.is_ascii_digit());
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c == '_' || c == '-')
}

fn check_key(key: &str) -> Result<(), Error> {
    if is_key(key) {
        return Ok(());
    }
    let message = format!("{key:?} is not a valid key of a guest configuration");
    Err(Error::new(ErrorKind::InvalidKey, message))
}

fn check_value(key: &str, value: &str) -> Result<(), Error> {
    if !value.is_empty() && value.trim() == value && !value.contains(['\n', '\r', '\0']) {
        return Ok(());
    }
    let message = format!("the value {value:?} of '{key}' does not fit on one line");
    Err(Error::new(ErrorKind::InvalidValue, message))
}
