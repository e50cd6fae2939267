//! Settings of another program's file, which has a line `key: value` for each.

use std::path::Path;

use crate::setting::{Origin, Section, Setting};

/// What a line means: a setting's section, key and value.
pub type Meaning = (Section, String, String);

/// The settings of a text; `translate` says what a key and its value mean here. Lines that begin with `#`, and those
/// without a colon, are none.
pub(crate) fn parse(
    text: &str,
    file: &Path,
    translate: &dyn Fn(&str, &str) -> Vec<Meaning>,
) -> Vec<Setting> {
    let mut settings: Vec<Setting> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        let Some((key, value)) = line.split_once(':').filter(|_| !line.starts_with('#')) else {
            continue;
        };
        for (section, key, value) in translate(key.trim(), value.trim()) {
            settings.push(Setting {
                section,
                key,
                values: vec![value],
                origin: Origin {
                    file: file.to_owned(),
                    line: number.saturating_add(1),
                },
            });
        }
    }
    settings
}
