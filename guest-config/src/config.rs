//! A whole configuration: its sections in their order.

use std::fmt;

use fleece_plain_text::{from_bytes, to_bytes};

use crate::error::{Error, ErrorKind};
use crate::line::{Content, Line};
use crate::section::Section;

/// The most bytes a guest configuration may have: 1 MiB, the largest file that Proxmox's cluster
/// file system stores (`MEMDB_MAX_FILE_SIZE`).
pub(crate) const MAX_SIZE: usize = 1 << 20;

/// A guest configuration. [`to_bytes`](Self::to_bytes) gives back every undisturbed line byte for byte, also what
/// is no UTF-8: in names and values such a byte is a private character ([`fleece_plain_text::from_bytes`]).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GuestConfig {
    main: Section,
    sections: Vec<Section>,
}

impl GuestConfig {
    /// Reads a configuration.
    ///
    /// Lines that are not understood are kept and are no error, and so are bytes that are no UTF-8.
    ///
    /// # Errors
    ///
    /// `TooLarge` for more than 1 MiB.
    pub fn parse(text: impl AsRef<[u8]>) -> Result<Self, Error> {
        let text = text.as_ref();
        if text.len() > MAX_SIZE {
            let message = format!("a guest configuration has at most {MAX_SIZE} bytes");
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        let mut config = Self {
            main: Section::main(),
            sections: Vec::new(),
        };
        for line in from_bytes(text).split_inclusive('\n').map(Line::raw) {
            let current = config.sections.last_mut().unwrap_or(&mut config.main);
            if matches!(line.content(), Content::Header(_)) {
                let lead = current.split_trailing_blanks();
                config.sections.push(Section::headed(lead, line));
            } else {
                current.push(line);
            }
        }
        Ok(config)
    }

    /// The configuration as it stands in its file.
    pub fn to_bytes(&self) -> Vec<u8> {
        to_bytes(&self.text())
    }

    /// The main section: the guest as it is.
    pub fn main(&self) -> &Section {
        &self.main
    }

    /// The main section, to be edited.
    pub fn main_mut(&mut self) -> &mut Section {
        &mut self.main
    }

    /// All sections after the main one, in their order.
    pub fn sections(&self) -> impl Iterator<Item = &Section> {
        self.sections.iter()
    }

    /// The section under `[name]`, for example `special:fleecing`.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name() == name)
    }

    /// The section under `[name]`; a new one stands where Proxmox would write it: pending
    /// changes, special sections, snapshots, each sorted by name.
    ///
    /// # Errors
    ///
    /// `InvalidKey` for a name that is empty or holds brackets or line ends.
    pub fn section_mut_or_insert(&mut self, name: &str) -> Result<&mut Section, Error> {
        if name.is_empty() || name.contains(['[', ']', '\n', '\r']) {
            let message = format!("{name:?} is not a valid name of a section");
            return Err(Error::new(ErrorKind::InvalidKey, message));
        }
        let place = match self
            .sections
            .iter()
            .position(|section| section.name() == name)
        {
            Some(place) => place,
            None => self.insert(Section::named(name)),
        };
        self.sections.get_mut(place).ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidKey,
                format!("the section {name:?} is gone"),
            )
        })
    }

    /// Removes the section under `[name]`; tells whether there was one.
    pub fn remove_section(&mut self, name: &str) -> bool {
        let before = self.sections.len();
        self.sections.retain(|section| section.name() != name);
        self.sections.len() != before
    }

    /// The guest's description: its `#` lines with their percent escapes undone, one line each.
    /// `None` if there is none.
    pub fn description(&self) -> Option<String> {
        let mut lines = Vec::new();
        for line in self.main.lines() {
            match line.content() {
                Content::Comment(text) => lines.push(percent_decode(text)),
                Content::Entry("description", text) => lines.push(percent_decode(text)),
                _ => {}
            }
        }
        (!lines.is_empty()).then(|| lines.join("\n"))
    }

    /// With private characters for bytes that are no UTF-8.
    fn text(&self) -> String {
        let sections = std::iter::once(&self.main).chain(&self.sections);
        sections.map(Section::text).collect()
    }

    fn insert(&mut self, section: Section) -> usize {
        let place = self
            .sections
            .iter()
            .position(|other| other.kind() > section.kind());
        let place = place.unwrap_or(self.sections.len());
        let before = match place.checked_sub(1).and_then(|i| self.sections.get_mut(i)) {
            Some(section) => section,
            None => &mut self.main,
        };
        if let Some(last) = before.last_line_mut() {
            last.terminate();
        }
        self.sections.insert(place, section);
        place
    }
}

/// What is no UTF-8 is shown as U+FFFD.
impl fmt::Display for GuestConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.to_bytes()))
    }
}

/// `%3A` → `:`. What is no escape stays as it is, and so does what decodes to no UTF-8.
fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escape = (first == b'%')
            .then(|| tail.split_at_checked(2))
            .flatten()
            .and_then(|(hex, tail)| Some((std::str::from_utf8(hex).ok()?, tail)))
            .and_then(|(hex, tail)| Some((u8::from_str_radix(hex, 16).ok()?, tail)));
        let (byte, tail) = escape.unwrap_or((first, tail));
        bytes.push(byte);
        rest = tail;
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests;
