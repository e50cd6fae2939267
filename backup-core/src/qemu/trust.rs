//! When the contents of an earlier archive were last looked at, and whether that is long ago.

use std::time::Duration;

use fleece_fleecing::Sound;
use jiff::{SignedDuration, Timestamp};

use crate::target::base::BaseArchive;

/// When `base` was verified last, by a backup that has left `recorded` or by a verification, if nothing has touched its
/// files since and it is less than `age` ago.
pub(super) fn verified(
    base: &BaseArchive,
    recorded: Option<&Sound>,
    age: Duration,
    now: Timestamp,
) -> Option<Timestamp> {
    let (by_verifying, changed) = (base.verified(), base.changed()?);
    let by_backup = recorded.and_then(|sound| {
        let complete: Timestamp = sound.complete.parse().ok()?;
        let verified: Timestamp = sound.verified.parse().ok()?;
        (changed <= complete && verified <= complete).then_some(verified)
    });
    let by_verifying = by_verifying.filter(|at| changed <= *at);
    let age = SignedDuration::try_from(age).unwrap_or(SignedDuration::MAX);
    // A time to come is one of a clock that was wrong.
    let is_recent = |at: &Timestamp| *at <= now && now.duration_since(*at) < age;
    by_backup.max(by_verifying).filter(is_recent)
}

/// For the record: complete as of `now`, and verified at that time.
pub(super) fn sound(verified: Timestamp, now: Timestamp) -> Sound {
    Sound::new(verified.to_string(), now.to_string())
}
