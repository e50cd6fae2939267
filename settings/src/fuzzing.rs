//! What the fuzz target feeds, and what must hold of any text.

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
    let Ok(settings) = Settings::parse(text, "file") else {
        return;
    };
    let lines = text.split('\n').count();
    for setting in settings.all() {
        assert!((1..=lines).contains(&setting.origin().line));
    }
    for setting in settings.of("backup", Some("web")) {
        let found = settings.get("backup", Some("web"), setting.key());
        assert_eq!(found, Some(setting));
    }
}
