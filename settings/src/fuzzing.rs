//! What the fuzz target feeds, and what must hold of any text.

use std::path::Path;

use crate::lines;
use crate::setting::Section;
use crate::settings::Settings;

/// A file as somebody may have written it.
///
/// # Panics
///
/// If a setting has no line of the text, or is not found under its key.
pub fn settings(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let lines = text.split('\n').count();
    let translate = |key: &str, value: &str| vec![(Section::All, key.to_owned(), value.to_owned())];
    for setting in lines::parse(text, Path::new("file"), &translate) {
        assert!((1..=lines).contains(&setting.origin().line));
    }
    let Ok(settings) = Settings::parse(text, "file") else {
        return;
    };
    for setting in settings.all() {
        assert!((1..=lines).contains(&setting.origin().line));
    }
    for setting in settings.of("backup", Some("web")) {
        let found = settings.get("backup", Some("web"), setting.key());
        assert_eq!(found, Some(setting));
    }
}
