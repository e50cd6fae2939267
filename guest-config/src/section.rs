//! A section: its header and its lines.

use crate::error::Error;
use crate::line::{Content, Line};

/// One section of a guest configuration: the main one, or one under a `[header]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Section {
    /// Blank lines between the section before and this header. They belong to this section, so
    /// that adding it and removing it again leaves the text as it was.
    lead: Vec<Line>,
    header: Option<Line>,
    lines: Vec<Line>,
}

/// What a section is for, told by its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum SectionKind<'a> {
    /// The lines before the first header: the guest as it is.
    Main,
    /// `[PENDING]`: changes that wait for the next start of the guest.
    Pending,
    /// `[special:NAME]`: helper data such as `fleecing` or `cloudinit`.
    Special(&'a str),
    /// `[NAME]`: a snapshot, or something this crate does not know.
    Snapshot(&'a str),
}

impl Section {
    pub(crate) fn main() -> Self {
        Self {
            lead: Vec::new(),
            header: None,
            lines: Vec::new(),
        }
    }

    pub(crate) fn headed(lead: Vec<Line>, header: Line) -> Self {
        Self {
            lead,
            header: Some(header),
            lines: Vec::new(),
        }
    }

    pub(crate) fn named(name: &str) -> Self {
        Self::headed(vec![Line::blank()], Line::raw(&format!("[{name}]\n")))
    }

    pub(crate) fn push(&mut self, line: Line) {
        self.lines.push(line);
    }

    /// The text between the brackets of the header; empty for the main section.
    pub fn name(&self) -> &str {
        match self.header.as_ref().map(Line::content) {
            Some(Content::Header(name)) => name,
            _ => "",
        }
    }

    /// What the section is for.
    pub fn kind(&self) -> SectionKind<'_> {
        if self.header.is_none() {
            return SectionKind::Main;
        }
        let name = self.name();
        match name.strip_prefix("special:") {
            Some(special) => SectionKind::Special(special),
            None if name.eq_ignore_ascii_case("pending") => SectionKind::Pending,
            None => SectionKind::Snapshot(name),
        }
    }

    /// The value of `key`. If a key stands there more than once the last one counts, as for
    /// Proxmox.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.lines.iter().rev().find_map(|line| line.value_of(key))
    }

    /// All `key: value` lines in their order.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &str)> {
        self.lines.iter().filter_map(|line| match line.content() {
            Content::Entry(key, value) => Some((key, value)),
            _ => None,
        })
    }

    /// Sets `key`, in its own line if it has one, else in a new line after the last one.
    ///
    /// # Errors
    ///
    /// `InvalidKey`, and `InvalidValue` for a value that is empty, has blanks around it or spans
    /// lines.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), Error> {
        let new = Line::entry(key, value)?;
        if let Some(line) = self
            .lines
            .iter_mut()
            .rev()
            .find(|line| line.value_of(key).is_some())
        {
            *line = new;
            return Ok(());
        }
        let blanks = self
            .lines
            .iter()
            .rev()
            .take_while(|line| line.is_blank())
            .count();
        let end = self.lines.len().saturating_sub(blanks);
        if let Some(last) = self.last_line_mut() {
            last.terminate();
        }
        self.lines.insert(end, new);
        Ok(())
    }

    /// Removes every line of `key`; tells whether there was one.
    pub fn remove(&mut self, key: &str) -> bool {
        let before = self.lines.len();
        self.lines.retain(|line| line.value_of(key).is_none());
        self.lines.len() != before
    }

    /// The whole section, with its header.
    pub(crate) fn text(&self) -> String {
        let lines = self.lead.iter().chain(&self.header).chain(&self.lines);
        lines.map(Line::as_str).collect()
    }

    pub(crate) fn lines(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter()
    }

    pub(crate) fn last_line_mut(&mut self) -> Option<&mut Line> {
        self.lines.last_mut().or(self.header.as_mut())
    }

    /// Takes the blank lines at the end away, for the section that follows.
    pub(crate) fn split_trailing_blanks(&mut self) -> Vec<Line> {
        let blanks = self
            .lines
            .iter()
            .rev()
            .take_while(|line| line.is_blank())
            .count();
        self.lines
            .split_off(self.lines.len().saturating_sub(blanks))
    }
}
