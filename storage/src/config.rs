//! `storage.cfg`: which storages there are, in Proxmox's grammar.
//!
//! ```text
//! dir: local
//!         path /var/lib/vz
//!         content iso,backup
//!
//! lvmthin: fast
//!         thinpool data
//!         vgname pve
//! ```
//!
//! A header `TYPE: ID` at the start of a line, indented `KEY [VALUE]` lines, an empty line at the
//! end (`PVE::SectionConfig::parse_config`). Every line that is not edited keeps its bytes.

mod file;

use std::fmt;

use crate::error::{Error, ErrorKind};
use crate::volume::check_storage_id;

pub use file::StorageFile;

/// The most bytes the file may have: 1 MiB, the largest file that Proxmox's cluster file system
/// stores.
pub(crate) const MAX_SIZE: usize = 1 << 20;

/// A storage configuration. `to_string()` gives back every undisturbed line byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StorageConfig {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Section(StorageSection),
    /// A line outside of sections: blank, a comment, or what nobody understands.
    Line(String),
}

/// One storage: its type, its id and its properties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageSection {
    kind: String,
    id: String,
    header: String,
    lines: Vec<String>,
}

impl StorageConfig {
    /// Reads a configuration. Lines that are not understood are kept; [`problems`](Self::problems)
    /// tells about them.
    ///
    /// # Errors
    ///
    /// `InvalidConfig` for more than 1 MiB.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > MAX_SIZE {
            let message = format!("a storage configuration has at most {MAX_SIZE} bytes");
            return Err(Error::new(ErrorKind::InvalidConfig, "storage.cfg", message));
        }
        let mut config = Self::default();
        let mut open = false;
        for line in text.split_inclusive('\n') {
            // Only a line that is really empty ends a section.
            let empty = line.trim_end_matches(['\n', '\r']).is_empty();
            let header = if open {
                None
            } else {
                StorageSection::parse_header(line)
            };
            match (config.parts.last_mut(), header) {
                (_, Some(section)) => {
                    config.parts.push(Part::Section(section));
                    open = true;
                }
                (Some(Part::Section(section)), None) if open && !empty => {
                    section.lines.push(line.to_owned());
                }
                _ => {
                    open = false;
                    config.parts.push(Part::Line(line.to_owned()));
                }
            }
        }
        Ok(config)
    }

    /// The storages in their order.
    pub fn sections(&self) -> impl Iterator<Item = &StorageSection> {
        self.parts.iter().filter_map(|part| match part {
            Part::Section(section) => Some(section),
            Part::Line(_) => None,
        })
    }

    /// The storage of this id.
    pub fn section(&self, id: &str) -> Option<&StorageSection> {
        self.sections().find(|section| section.id == id)
    }

    /// Adds a storage at the end.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if there is one of this id.
    pub fn add(&mut self, section: StorageSection) -> Result<(), Error> {
        if self.section(&section.id).is_some() {
            let message = "a storage of this id is configured already";
            return Err(Error::new(ErrorKind::AlreadyExists, &section.id, message));
        }
        let text = self.to_string();
        if !text.is_empty() && !text.ends_with("\n\n") {
            let missing = if text.ends_with('\n') { "\n" } else { "\n\n" };
            self.parts.push(Part::Line(missing.to_owned()));
        }
        self.parts.push(Part::Section(section));
        self.parts.push(Part::Line("\n".to_owned()));
        Ok(())
    }

    /// Removes a storage with the empty line after it; tells whether there was one.
    pub fn remove(&mut self, id: &str) -> bool {
        let is_it = |part: &Part| matches!(part, Part::Section(section) if section.id == id);
        let Some(place) = self.parts.iter().position(is_it) else {
            return false;
        };
        self.parts.remove(place);
        if matches!(self.parts.get(place), Some(Part::Line(line)) if line.trim().is_empty()) {
            self.parts.remove(place);
        }
        true
    }

    /// What Proxmox would warn about, one sentence for each.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut seen = Vec::new();
        for part in &self.parts {
            match part {
                Part::Line(line) if is_ignorable(line) => {}
                Part::Line(line) => problems.push(format!("ignored line: {:?}", line.trim_end())),
                Part::Section(section) => {
                    if seen.contains(&&section.id) {
                        problems.push(format!("storage '{}' is configured twice", section.id));
                    }
                    seen.push(&section.id);
                    problems.extend(section.problems());
                }
            }
        }
        problems
    }
}

impl fmt::Display for StorageConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Section(section) => write!(f, "{section}"),
            Part::Line(line) => f.write_str(line),
        })
    }
}

impl StorageSection {
    /// A storage without properties.
    ///
    /// # Errors
    ///
    /// `InvalidName` for an id that Proxmox would not take, or an odd type.
    pub fn new(kind: &str, id: &str) -> Result<Self, Error> {
        check_storage_id(id)?;
        let odd = |c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit());
        if kind.is_empty() || kind.contains(odd) {
            let message = "the type of a storage has lower-case letters and digits";
            return Err(Error::new(
                ErrorKind::InvalidName,
                format!("{kind:?}"),
                message,
            ));
        }
        Ok(Self {
            kind: kind.to_owned(),
            id: id.to_owned(),
            header: format!("{kind}: {id}\n"),
            lines: Vec::new(),
        })
    }

    fn parse_header(line: &str) -> Option<Self> {
        // Editors of other systems begin a file with a byte order mark.
        let text = line.trim_start_matches('\u{feff}').trim_end();
        if text.starts_with(|c: char| c.is_whitespace() || c == '#') {
            return None;
        }
        let (kind, id) = text.split_once(':')?;
        let id = id.trim_start();
        if kind.is_empty() || id.is_empty() || format!("{kind}{id}").contains(char::is_whitespace) {
            return None;
        }
        let header = line.to_owned();
        Some(Self {
            kind: kind.to_lowercase(),
            id: id.to_owned(),
            header,
            lines: Vec::new(),
        })
    }

    /// The type: `dir`, `lvmthin`, …
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The value of a property; empty for one without a value. Of repeated ones the first counts.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.properties()
            .find(|(k, _)| *k == key)
            .map(|(_, value)| value)
    }

    /// The value of a property that the type cannot do without.
    ///
    /// # Errors
    ///
    /// `InvalidConfig` if it is missing.
    pub fn require(&self, key: &str) -> Result<&str, Error> {
        self.get(key)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| {
                let message = format!("the {} storage lacks its '{key}'", self.kind);
                Error::new(ErrorKind::InvalidConfig, &self.id, message)
            })
    }

    /// A boolean property: one without a value is true, one that is not there is false.
    pub fn flag(&self, key: &str) -> bool {
        let value = self.get(key).map(str::to_ascii_lowercase);
        matches!(value.as_deref(), Some("" | "1" | "on" | "yes" | "true"))
    }

    /// Whether something must be mounted where it is, and its directory is not to be made by anybody
    /// (`is_mountpoint`).
    pub fn needs_mount(&self) -> bool {
        !matches!(
            self.get("is_mountpoint"),
            None | Some("0" | "no" | "off" | "false")
        )
    }

    /// All properties in their order.
    pub fn properties(&self) -> impl Iterator<Item = (&str, &str)> {
        self.lines.iter().filter_map(|line| parse_property(line))
    }

    /// Sets a property in its line, or in a new one.
    ///
    /// # Errors
    ///
    /// `InvalidConfig` for what would not be read back: blanks in the key, line ends in the value.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), Error> {
        let line = format!("\t{key} {value}");
        let line = format!("{}\n", line.trim_end());
        if line.matches('\n').count() != 1 || parse_property(&line) != Some((key, value)) {
            let message = format!("'{key}' cannot have the value {value:?}");
            return Err(Error::new(ErrorKind::InvalidConfig, &self.id, message));
        }
        let old = self
            .lines
            .iter_mut()
            .find(|l| parse_property(l).is_some_and(|(k, _)| k == key));
        match old {
            Some(old) => *old = line,
            None => {
                for last in self.lines.last_mut().into_iter().chain([&mut self.header]) {
                    if !last.ends_with('\n') {
                        last.push('\n');
                    }
                }
                self.lines.push(line);
            }
        }
        Ok(())
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if let Err(error) = check_storage_id(&self.id) {
            problems.push(error.to_string());
        }
        let mut seen = Vec::new();
        for line in self.lines.iter().filter(|line| !is_ignorable(line)) {
            match parse_property(line) {
                Some((key, _)) if seen.contains(&key) => {
                    problems.push(format!("storage '{}': '{key}' appears twice", self.id));
                }
                Some((key, _)) => seen.push(key),
                None => problems.push(format!(
                    "storage '{}': ignored line: {:?} (is an empty line missing before it?)",
                    self.id,
                    line.trim_end()
                )),
            }
        }
        problems
    }
}

impl fmt::Display for StorageSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.header)?;
        self.lines.iter().try_for_each(|line| f.write_str(line))
    }
}

fn is_ignorable(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#')
}

/// `KEY [VALUE]` after blanks.
fn parse_property(line: &str) -> Option<(&str, &str)> {
    let text = line.trim();
    if !line.starts_with(char::is_whitespace) || is_ignorable(line) {
        return None;
    }
    match text.split_once(char::is_whitespace) {
        Some((key, value)) => Some((key, value.trim_start())),
        None => Some((text, "")),
    }
}

#[cfg(test)]
mod tests;
