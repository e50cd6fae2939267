//! The settings of one file.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::{Error, ErrorKind};
use crate::setting::{Origin, Section, Setting};

/// The longest file, in bytes.
pub(crate) const MAX_SIZE: u64 = 1 << 20;

/// The names of the tables of guests, of jobs, and of stores.
const GUEST: &str = "guest";
const JOB: &str = "job";
const STORE: &str = "store";

/// All settings of a text, in the order of its lines.
pub(crate) fn parse(text: &str, file: &Path) -> Result<Vec<Setting>, Error> {
    let parser = Parser {
        file,
        lines: text.match_indices('\n').map(|(at, _)| at).collect(),
    };
    let document = DeTable::parse(text).map_err(|error| {
        let origin = parser.origin(&error.span().unwrap_or_default());
        Error::at(ErrorKind::Syntax, &origin, error.message())
    })?;
    let mut settings = Vec::new();
    for (key, value) in document.get_ref() {
        match value.get_ref() {
            DeValue::Table(named) if matches!(key.get_ref().as_ref(), GUEST | JOB | STORE) => {
                let kind = key.get_ref().as_ref();
                for (name, table) in named {
                    let table = parser.table(kind, name, table)?;
                    let name = name.get_ref().to_string();
                    let section = match kind {
                        JOB => Section::Job(name),
                        STORE => Section::Store(name),
                        _ => Section::Guest(name),
                    };
                    settings.append(&mut parser.settings(&section, table)?);
                }
            }
            DeValue::Table(table) => {
                let section = Section::Command(key.get_ref().to_string());
                settings.append(&mut parser.settings(&section, table)?);
            }
            _ => settings.push(parser.setting(&Section::All, key, value)?),
        }
    }
    settings.sort_by_key(|setting| setting.origin.line);
    Ok(settings)
}

struct Parser<'a> {
    file: &'a Path,
    /// Where lines end.
    lines: Vec<usize>,
}

impl Parser<'_> {
    fn origin(&self, span: &Range<usize>) -> Origin {
        let before = self.lines.partition_point(|end| *end < span.start);
        Origin {
            file: self.file.to_owned(),
            line: before.saturating_add(1),
        }
    }

    fn table<'v, 'i>(
        &self,
        kind: &str,
        key: &Spanned<impl AsRef<str>>,
        value: &'v Spanned<DeValue<'i>>,
    ) -> Result<&'v DeTable<'i>, Error> {
        match value.get_ref() {
            DeValue::Table(table) => Ok(table),
            _ => {
                let key = key.get_ref().as_ref();
                let message = format!("{key:?} is no {kind}: write [{kind}.\"{key}\"]");
                let origin = self.origin(&value.span());
                Err(Error::at(ErrorKind::Unknown, &origin, &message))
            }
        }
    }

    fn settings(&self, section: &Section, table: &DeTable<'_>) -> Result<Vec<Setting>, Error> {
        let settings = table.iter();
        settings
            .map(|(key, value)| self.setting(section, key, value))
            .collect()
    }

    fn setting(
        &self,
        section: &Section,
        key: &Spanned<impl AsRef<str>>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<Setting, Error> {
        let origin = self.origin(&key.span());
        let name = key.get_ref().as_ref();
        let values = match value.get_ref() {
            DeValue::Array(values) => values.iter().map(|value| scalar(value.get_ref())).collect(),
            value => scalar(value).map(|value| vec![value]),
        };
        let values = values.ok_or_else(|| {
            let message =
                format!("{name:?} takes a text, a number, true or false, or a list of them");
            Error::at(ErrorKind::Unknown, &origin, &message)
        })?;
        Ok(Setting {
            section: section.clone(),
            key: name.to_owned(),
            values,
            origin,
        })
    }
}

/// A value that is no table or list, as a text.
fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => {
            let number = i64::from_str_radix(number.as_str(), number.radix()).ok()?;
            Some(number.to_string())
        }
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(value) => Some(value.to_string()),
        _ => None,
    }
}
