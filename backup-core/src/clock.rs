//! What time it is: by this clock backups are named, pruned and verified.

use std::sync::OnceLock;

use jiff::{SignedDuration, Timestamp, Zoned};

/// For tests only: what time it was when the program began, in place of the system's clock, as in
/// `2026-11-30T02:00:00Z`. It goes on as that does.
const VARIABLE: &str = "FLEECE_CLOCK";

/// The time now, in this host's zone.
#[must_use]
pub fn now() -> Zoned {
    static AHEAD: OnceLock<SignedDuration> = OnceLock::new();
    let ahead = *AHEAD.get_or_init(|| {
        let begun = std::env::var(VARIABLE).ok();
        let begun = begun.and_then(|text| text.parse::<Timestamp>().ok());
        begun.map_or(SignedDuration::ZERO, |begun| {
            begun.duration_since(Timestamp::now())
        })
    });
    let now = Zoned::now();
    now.checked_add(ahead).unwrap_or(now)
}
